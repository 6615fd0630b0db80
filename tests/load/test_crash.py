"""`kill -9` in the middle of it all: what got its 250 is there, and whole."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from collections.abc import Callable, Generator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from tests.disks import disk_on_a_file
from tests.serving import Serving, eventually, serving
from tests.tables import table

ROUNDS = 15
SESSIONS = 20
ENOUGH = 60  # seconds: a round is over long before
RECIPIENTS = ("anna@example.org", "bert@example.org")

pytestmark = pytest.mark.slow


class Sender:
    """Sends one message after the other, and keeps the ids of those that got their 250."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = count(1)
        self.acknowledged: dict[str, tuple[str, ...]] = {}  # recipients by id
        self.enough = asyncio.Event()
        self.wanted = 0

    async def session(self, port: int) -> None:
        """Send until the server is gone."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await _answer(reader, 220)
                await _say(reader, writer, b"EHLO client.example\r\n", 250)
                while True:
                    await self._message(reader, writer)
            finally:
                writer.close()

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = f"m{next(self.numbers)}"
        recipients = tuple(self.random.sample(RECIPIENTS, self.random.choice((1, 1, 2))))
        await _say(reader, writer, b"MAIL FROM:<a@client.example>\r\n", 250)
        for recipient in recipients:
            await _say(reader, writer, f"RCPT TO:<{recipient}>\r\n".encode(), 250)
        await self.random.choice((_data, _bdat))(reader, writer, content(name, self.random))
        self.acknowledged[name] = recipients
        if len(self.acknowledged) >= self.wanted:
            self.enough.set()


async def _answer(reader: asyncio.StreamReader, code: int) -> None:
    while True:
        line = await reader.readuntil(b"\n")
        assert line.startswith(b"%d" % code), line
        if line[3:4] == b" ":
            return


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, code: int) -> None:
    writer.write(data)
    await writer.drain()
    await _answer(reader, code)


async def _data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> None:
    await _say(reader, writer, b"DATA\r\n", 354)
    await _say(reader, writer, message + b".\r\n", 250)


async def _bdat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> None:
    half = len(message) // 2
    await _say(reader, writer, b"BDAT %d\r\n" % half + message[:half], 250)
    await _say(reader, writer, b"BDAT %d LAST\r\n" % (len(message) - half) + message[half:], 250)


def content(name: str, chance: random.Random) -> bytes:
    """Return a message with its own checksum: mostly small, sometimes of several writes to the disk."""
    lines = chance.choice((5, 5, 5, 50, 50, 10_000))
    body = b"".join(b"%s %s\r\n" % (name.encode(), chance.randbytes(35).hex().encode()) for _ in range(lines))
    return b"Subject: %s\r\nX-Checksum: %s\r\n\r\n%s" % (name.encode(), _checksum(body).encode(), body)


def _checksum(body: bytes) -> str:
    return sha256(body.replace(b"\r\n", b"\n")).hexdigest()


def whole(path: Path) -> str:
    """Return the id of a message that is all there."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    found = re.search(rb"^Subject: (\w+)\nX-Checksum: (\w+)$", header, re.MULTILINE)
    assert found, f"torn: {path}"
    assert found[2].decode() == _checksum(body), f"torn: {path}"
    assert re.search(r",S=(\d+),", path.name)[1] == str(path.stat().st_size)
    return found[1].decode()


async def _under_load_until(
    sender: Sender, port: int, kill: Callable[[], None], *, is_seen: Callable[[], bool] = lambda: True
) -> None:
    """Kill at any moment; where something is to be seen before, as soon as it is."""
    sender.enough.clear()
    sender.wanted = len(sender.acknowledged) + sender.random.randrange(1, 300)
    sessions = [asyncio.create_task(sender.session(port)) for _ in range(SESSIONS)]
    async with asyncio.timeout(ENOUGH):
        await sender.enough.wait()
        await asyncio.sleep(sender.random.random() * 0.01)  # anywhere in what the sessions are doing
        while not is_seen():  # noqa: ASYNC110 - nothing tells of a file
            await asyncio.sleep(0)
        kill()
        await asyncio.gather(*sessions)


def messages_of(server: Serving, recipient: str) -> set[str]:
    return {whole(path) for path in (server.mail / "example.org" / recipient.partition("@")[0] / "new").glob("*")}


def unfinished(server: Serving) -> set[Path]:
    """Return the files of deliveries that have not come to their end."""
    return set(server.mail.glob("*/*/tmp/*"))


@pytest.fixture(params=table({"on the machine's disk": "FileSync", "on a volume of its own": "JournalSync"}))
def commit(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[tuple[str, Path]]:
    """How the disk is made to hold mail, and a folder where that is so."""
    if request.param == "FileSync":
        yield request.param, tmp_path
        return
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with disk_on_a_file(tmp_path / "disk", "ext4", mebibytes=8192):
        yield request.param, tmp_path / "disk"


async def test_what_got_its_250_survives_kill_9(commit: tuple[str, Path]) -> None:
    """Again and again over the same mailboxes: no message that was promised is missing, and none in `new` is torn."""
    kind, folder = commit
    sender = Sender(seed=3)
    for number in range(ROUNDS):
        with serving(folder, {"limits": {"maxConnectionsPerClient": 0}}) as server:
            assert server.status()["maildirs"] == [{"route": "mail", "commit": kind}]
            before = unfinished(server)
            is_seen = (lambda: True) if number % 2 else lambda: unfinished(server) > before  # noqa: B023 - called here
            await _under_load_until(sender, server.port, server.process.kill, is_seen=is_seen)
            assert server.process.wait(10) == -signal.SIGKILL

        there = {recipient: messages_of(server, recipient) for recipient in RECIPIENTS}
        promised = {(name, recipient) for name, recipients in sender.acknowledged.items() for recipient in recipients}
        assert not [(name, recipient) for name, recipient in promised if name not in there[recipient]]

    torn = list(unfinished(server))
    assert torn, "deliveries were under way when the server was killed"
    for path in torn:
        os.utime(path, (0, 0))
    with serving(folder, {}):
        eventually(lambda: not any(path.exists() for path in torn), "what is old in tmp is swept at the start")
