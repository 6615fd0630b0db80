"""A next hop that is killed every two seconds under load: what got its 250 is there, and whole."""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from tests.deliver.next_hop import servers
from tests.deliver.next_hop.servers import NextHopServer, taken_as
from tests.disks import needs_root
from tests.serving import eventually, serving

SECONDS = 60
EACH = 2.0  # seconds from a start to the next kill
KILLS = 11  # at least
SESSIONS = 8  # of each route

pytestmark = [pytest.mark.slow, needs_root, pytest.mark.timeout(600)]


class Sender:
    """Sends one message after the other to one mailbox, each again and again until it has its 250."""

    def __init__(self, mailbox: str) -> None:
        self.mailbox = mailbox
        self.random = random.Random(mailbox)
        self.numbers = count(1)
        self.attempts: Counter[str] = Counter()  # to bring a message to its end
        self.acknowledged: set[str] = set()
        self.replies: Counter[int] = Counter()
        self.over = False

    async def session(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await _reply(reader)
            await _say(reader, writer, b"EHLO client.example\r\n")
            while not self.over:
                await self._message(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = f"{self.mailbox}-{next(self.numbers)}"
        octets = content(name, self.random)
        while not self.over:
            assert await _say(reader, writer, b"MAIL FROM:<a@client.example>\r\n") == 250
            code = await _say(reader, writer, f"RCPT TO:<{self.mailbox}@example.org>\r\n".encode())
            if code == 250:
                assert await _say(reader, writer, b"DATA\r\n") == 354
                self.attempts[name] += 1
                code = await _say(reader, writer, octets + b".\r\n")
            else:
                assert await _say(reader, writer, b"RSET\r\n") == 250
            self.replies[code] += 1
            if code == 250:
                self.acknowledged.add(name)
                return
            assert code == 451
            await asyncio.sleep(0.1)  # a sender waits for minutes


async def _reply(reader: asyncio.StreamReader) -> int:
    while (line := await reader.readuntil(b"\n"))[3:4] == b"-":
        pass
    return int(line[:3])


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octets: bytes) -> int:
    writer.write(octets)
    await writer.drain()
    return await _reply(reader)


def content(name: str, chance: random.Random) -> bytes:
    """Return a message with its own checksum: mostly small, sometimes so large that it is on its way for a while."""
    lines = chance.choice((5, 5, 5, 5, 50, 50, 500, 5_000))
    body = b"".join(b"%s %s\r\n" % (name.encode(), chance.randbytes(35).hex().encode()) for _ in range(lines))
    return b"Subject: %s\r\nX-Checksum: %s\r\n\r\n%s" % (name.encode(), sha256(body).hexdigest().encode(), body)


def whole(message: bytes) -> str:
    """Return the name of a message that is all there."""
    header, _, body = message.partition(b"\r\n\r\n")
    found = re.search(rb"^Subject: (\S+)\r\nX-Checksum: (\w+)", header, re.MULTILINE)
    assert found, f"torn: {header!r}"
    assert found[2].decode() == sha256(body).hexdigest(), f"torn: {header!r}"
    return found[1].decode()


async def _kill_again_and_again(server: NextHopServer, until: float) -> int:
    """Kill it until the time is up, and longer where a slow machine has not come to the least number of kills."""
    kills = 0
    while asyncio.get_running_loop().time() < until or kills < KILLS:
        await asyncio.sleep(EACH)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        kills += 1
    return kills


async def test_what_got_its_250_is_at_the_next_hop(tmp_path: Path):
    """A minute with Dovecot and Postfix: sent is a subset of received, and what is there twice had no 250 at first."""
    with ExitStack() as stack:
        hops = {"anna": stack.enter_context(servers.dovecot()), "carl": stack.enter_context(servers.postfix())}
        routes = [
            {
                "name": mailbox,
                "recipients": [f"{mailbox}@example.org"],
                "deliver": {kind: {"host": "127.0.0.1", "port": hops[mailbox].port, "tls": {"mode": "Disabled"}}},
            }
            for mailbox, kind in (("anna", "lmtp"), ("carl", "smtp"))
        ]
        server = stack.enter_context(serving(tmp_path, {"routes": routes}, "--allow-local-destinations"))
        senders = [Sender(mailbox) for mailbox in hops]
        until = asyncio.get_running_loop().time() + SECONDS
        sessions = [asyncio.create_task(sender.session(server.port)) for sender in senders for _ in range(SESSIONS)]
        kills = await asyncio.gather(*[_kill_again_and_again(hop, until) for hop in hops.values()])
        for sender in senders:
            sender.over = True
        async with asyncio.timeout(100):  # a delivery may be under way: timeoutSeconds is 60
            await asyncio.gather(*sessions)

        try:
            eventually(lambda: not hops["carl"].queued(), "an empty queue", seconds=60)
        except AssertionError as error:
            error.add_note(hops["carl"].log()[-4000:])
            raise
        for sender, killed in zip(senders, kills, strict=True):
            # What Postfix took once, and delivered again because its own delivery was killed, is one
            taken = {(whole(message), taken_as(message)) for message in hops[sender.mailbox].messages(sender.mailbox)}
            there = Counter(name for name, _ in taken)
            twice = {name: copies for name, copies in there.items() if copies > 1}
            sys.stdout.write(
                f"\n{sender.mailbox}: {killed} kills, {len(sender.acknowledged)} messages got their 250, "
                f"{sender.replies[451]} replies were 451, {there.total() - len(there)} copies too many\n"
            )

            assert killed >= KILLS
            assert len(sender.acknowledged) > 100
            assert sender.replies[451] > 10
            assert not sender.acknowledged - set(there), "lost"
            assert all(copies <= sender.attempts[name] for name, copies in twice.items()), "twice without a reason"
