"""A connection's client, to a server of the test's own: for what no real one does when it is asked to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Receipt, Refused, Unavailable
from mailport.deliver.next_hop import client
from mailport.outward import dial
from mailport.outward.breaker import FAILURES
from mailport.outward.connection import Connection
from mailport.outward.trust import Tls
from tests.deliver.conftest import deliver, held, verify
from tests.deliver.next_hop.hops import next_hop
from tests.tables import table

pytestmark = pytest.mark.both_loops


def small_buffers(of: socket.socket) -> None:
    """Have the kernel hold little of what is on its way: on loopback that would be megabytes."""
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        of.setsockopt(socket.SOL_SOCKET, buffer, 16 * 1024)


@asynccontextmanager
async def server(
    answer: Callable[[bytes], bytes], *, early: bytes = b"", until: asyncio.Event | None = None
) -> AsyncGenerator[int]:
    """Answer each line as `answer` says, one after the other: what is not sent holds up what is read.

    `early` is said in the middle of a chunk; nothing is said `until` then.
    """

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        writer.transport.set_write_buffer_limits(high=0)
        if until is not None:
            await until.wait()
        writer.write(b"220 next.example.org\r\n")
        try:
            while line := await reader.readline():
                left = int(line.split()[1]) if line.startswith(b"BDAT") else 0
                if left and early:
                    await reader.readexactly(left // 2)
                    left -= left // 2
                    writer.write(early)
                    await asyncio.sleep(0.1)  # the client has it, and has not sent all
                while left > 0:
                    left -= len(await reader.readexactly(min(left, 4096)))
                writer.write(answer(line))
                await writer.drain()
                if line == b"DATA\r\n":
                    while await reader.readline() != b".\r\n":
                        pass
                    writer.write(b"250 Ok\r\n")
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    bound = socket.create_server(("127.0.0.1", 0))
    small_buffers(bound)
    listening = await asyncio.start_server(serve, sock=bound, limit=4096)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await asyncio.wait_for(asyncio.gather(*serving), 20)  # the client has left


def says(**others: str) -> Callable[[bytes], bytes]:
    """Answer 250, and EHLO with PIPELINING and CHUNKING; a command of `others` with that."""

    def answer(line: bytes) -> bytes:
        word = line.split()[0].decode()
        usual = "250-next.example.org\r\n250-PIPELINING\r\n250 CHUNKING" if word in ("EHLO", "LHLO") else "250 Ok"
        return others.get(word, usual).encode() + b"\r\n"

    return answer


async def test_neither_side_waits_for_the_other_with_many_recipients(monkeypatch: pytest.MonkeyPatch):
    """Its answers are read before it has to hold them."""
    speak = dial._speak

    async def with_small_buffers(connected: socket.socket, protocol: Callable[[], Connection], tls: Tls | None):
        small_buffers(connected)
        return await speak(connected, protocol, tls)

    monkeypatch.setattr(dial, "_speak", with_small_buffers)
    text = f"250 {'x' * 500}"
    recipients = [f"{'r' * 50}{number}@{'d' * 60}.example.org" for number in range(1500)]
    async with server(says(RCPT=text)) as port, next_hop("smtp", port, seconds=10) as hop:
        outcomes = await deliver(hop, *recipients)

    assert len(outcomes) == len(recipients)
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)


async def test_many_recipients_of_a_sender_that_is_refused():
    """What was pipelined behind MAIL is answered too, and the connection can be used again."""
    async with server(says(MAIL="550 5.1.8 no", RCPT="503 5.5.1 no")) as port, next_hop("smtp", port) as hop:
        for _ in range(2):
            with pytest.raises(Refused, match=r"5\.1\.8"):
                await deliver(hop, *[f"recipient{number}@example.org" for number in range(2000)])
        assert hop._delivering.idle == 1


async def test_an_answer_is_not_lost_to_a_reset_that_gets_none(monkeypatch: pytest.MonkeyPatch):
    """What the recipient was answered counts; the connection is not used again."""
    monkeypatch.setattr(client, "RESET_SECONDS", 0.05)
    silent = says(RCPT="550 5.1.1 no such user")
    async with server(lambda line: b"" if line == b"RSET\r\n" else silent(line)) as port, next_hop("smtp", port) as hop:
        async with held(b"Subject: x\r\n\r\n") as message:
            with pytest.raises(Refused, match=r"5\.1\.1"):
                await hop.verify(Address.parse("anna@example.org"), message.envelope)
        assert len(hop._verifying) == 0


async def test_a_fault_of_ours_says_nothing_of_the_next_hop():
    """A message that cannot be read leaves the breaker as it was."""
    async with server(says()) as port, next_hop("smtp", port) as hop, held(b"Subject: x\r\n\r\n") as message:
        hop._trials.breaker.failed(asyncio.get_running_loop().time())
        message._content.close()
        with pytest.raises(OSError, match="over"):
            await hop.deliver(message, [Address.parse("anna@example.org")])

        assert hop._trials.breaker._failures == 1
        assert len(hop._delivering) == 0


@pytest.mark.parametrize("early", table({"250": b"250 Ok\r\n", "552": b"552 5.3.4 no\r\n", "no SMTP": b"what?\r\n"}))
async def test_what_comes_before_the_end_of_the_content_is_no_answer_to_it(early: bytes):
    """Neither a receipt nor a refusal: 451, and the connection is not used again."""
    content = b"Subject: x\r\n\r\n" + b"a line\r\n" * 1_000_000
    async with server(says(), early=early) as port, next_hop("smtp", port) as hop:
        with pytest.raises(Unavailable, match="before the end of the content"):
            await deliver(hop, "anna@example.org", content=content)

        assert len(hop._delivering) == 0


@pytest.mark.parametrize(
    "octets", table({"a small one": 100, "two pieces": 300_000, "pieces and a bit": 512 * 1024 + 10})
)
@pytest.mark.parametrize("chunking", table({"by BDAT": True, "by DATA": False}))
async def test_an_answer_that_comes_at_once_is_one(monkeypatch: pytest.MonkeyPatch, octets: int, chunking: bool):
    """While the last octets are still being written: nothing is looked for behind them."""
    write = Connection.write

    async def slowly(self: Connection, data: bytes | bytearray) -> None:
        await write(self, data)
        await asyncio.sleep(0.05)

    monkeypatch.setattr(Connection, "write", slowly)
    others = {} if chunking else {"EHLO": "250-next.example.org\r\n250 PIPELINING", "DATA": "354 go on"}
    async with server(says(**others)) as port, next_hop("smtp", port) as hop:
        [outcome] = await deliver(
            hop, "anna@example.org", content=b"Subject: x\r\n\r\n" + b"123456\r\n" * (octets // 8)
        )

    assert isinstance(outcome, Receipt)


async def test_a_small_message_wakes_the_next_hop_twice(monkeypatch: pytest.MonkeyPatch):
    """By the envelope, and by the content with its command; nobody asks for a recipient that mail reaches."""
    written: list[bytes] = []
    write = Connection.write

    async def noted(self: Connection, data: bytes | bytearray) -> None:
        written.append(bytes(data))
        await write(self, data)

    monkeypatch.setattr(Connection, "write", noted)
    async with server(says()) as port, next_hop("smtp", port) as hop:
        for _ in range(2):
            await deliver(hop, "anna@example.org")
        await verify(hop, "anna@example.org")

    greeting, *messages = written
    words = [[line.split()[0] for line in octets.splitlines()[:2]] for octets in messages]
    assert greeting.startswith(b"EHLO")
    assert words == [[b"MAIL", b"RCPT"], [b"BDAT", b"Received:"]] * 2


async def test_an_answer_too_many_is_not_taken_for_the_next_one():
    """A server that answers RCPT twice does not get the content, whose answer the second would pass for."""
    taken: list[bytes] = []

    def twice(line: bytes) -> bytes:
        taken.append(line)
        return says(RCPT="250 Ok\r\n250 Ok")(line)

    async with server(twice) as port, next_hop("smtp", port) as hop:
        with pytest.raises(Unavailable, match="not asked for"):
            await deliver(hop, "anna@example.org")

    assert not [line for line in taken if line.startswith(b"BDAT")]


async def test_while_the_breaker_is_half_open_one_recipient_is_asked_for_at_a_time():
    """The others hear 451 at once; when that one has been answered the next may be asked for."""
    answer, asked = asyncio.Event(), []

    def note(line: bytes) -> bytes:
        asked.append(line)
        return says()(line)

    async with server(note, until=answer) as port, next_hop("smtp", port) as hop, held(b"Subject: x\r\n\r\n") as one:
        now = asyncio.get_running_loop().time()
        for _ in range(FAILURES):
            hop._trials.breaker.failed(now)
        hop._trials.breaker._open_until = now  # the pause is over
        first = asyncio.create_task(hop.verify(Address.parse("anna@example.org"), one.envelope))
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await hop.verify(Address.parse("carl@example.org"), one.envelope)
        answer.set()
        await first
        await hop.verify(Address.parse("carl@example.org"), one.envelope)

    assert [line for line in asked if line.startswith(b"RCPT")] == [
        b"RCPT TO:<anna@example.org>\r\n",
        b"RCPT TO:<carl@example.org>\r\n",
    ]
