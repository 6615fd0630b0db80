"""A connection's bytes: lines and pieces, one segment for many replies, deadlines, back-pressure, the end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from mailport.listener.tls import self_signed
from mailport.listener.tls_layer import Handshakes
from mailport.listener.wire import HIGH_WATER, Closed, LineTooLong, TimedOut, Wire
from tests.tables import table

LIMIT = 20
SOON = 0.05  # seconds of a deadline that is meant to pass
SECONDS = 5.0  # within which whatever is expected happens
MUCH = b"x" * 10_000_000  # more than all buffers between two ends hold

pytestmark = pytest.mark.both_loops


class Peer:
    """The other end, octet by octet."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    async def receive(self, most: int = 65536) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await asyncio.get_running_loop().sock_recv(self.socket, most)


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[tuple[Peer, Wire]]:
    """A client's end of a connection, and a Wire on ours."""
    loop = asyncio.get_running_loop()
    wire = Wire(loop)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname(), SECONDS)
        ours, _ = listening.accept()
    ours.setblocking(False)
    await loop.connect_accepted_socket(lambda: wire, ours)
    theirs.setblocking(False)
    with theirs:
        yield Peer(theirs), wire
    wire.abort()
    await gone(wire)


async def gone(wire: Wire) -> None:
    async with asyncio.timeout(SECONDS):
        while not wire.closed:  # noqa: ASYNC110 - the Wire has no event for it
            await asyncio.sleep(0)


# Lines.


@pytest.mark.parametrize(
    "sent",
    table(
        {
            "CRLF": [b"EHLO a\r\nNOOP\r\n"],
            "LF": [b"EHLO a\nNOOP\n"],
            "octet by octet": [b"EHLO a\r\nNOOP\r\n"[i : i + 1] for i in range(14)],
            "cut in CRLF": [b"EHLO a\r", b"\nNOOP\r", b"\n"],
        }
    ),
)
async def test_lines(sent: list[bytes], ends: tuple[Peer, Wire]):
    """However they are cut, each is one, with the end that it had."""
    peer, wire = ends
    reading = asyncio.create_task(two_lines(wire))
    for piece in sent:
        peer.send(piece)
        await asyncio.sleep(0.001)

    first, second = await reading

    assert first.rstrip(b"\r\n") == b"EHLO a"
    assert second.rstrip(b"\r\n") == b"NOOP"
    assert first + second == b"".join(sent)


async def two_lines(wire: Wire) -> tuple[bytes, bytes]:
    return await wire.readline(LIMIT), await wire.readline(LIMIT)


@pytest.mark.parametrize(
    "line, fits",
    table(
        {
            "as long as may be": (b"x" * (LIMIT - 2) + b"\r\n", True),
            "one octet more": (b"x" * (LIMIT - 1) + b"\r\n", False),
            "a million": (b"x" * 1_000_000 + b"\r\n", False),
        }
    ),
)
async def test_long_lines(line: bytes, fits: bool, ends: tuple[Peer, Wire]):
    """One that is too long is read to its end and dropped, whole; the next is what follows it."""
    peer, wire = ends
    sending = asyncio.get_running_loop().sock_sendall(peer.socket, line + b"next\r\n")
    task = asyncio.ensure_future(sending)

    if fits:
        assert await wire.readline(LIMIT) == line
    else:
        with pytest.raises(LineTooLong) as raised:
            await wire.readline(LIMIT)
        assert raised.value.start == line[:64]
    assert await wire.readline(LIMIT) == b"next\r\n"
    await task


async def test_a_line_without_end_takes_no_memory(ends: tuple[Peer, Wire]):
    """Its length is the client's choice, what we keep of it is ours."""
    peer, wire = ends
    sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(peer.socket, MUCH))
    reading = asyncio.create_task(wire.readline(LIMIT))
    held = 0
    while not sending.done():
        await asyncio.sleep(0)
        held = max(held, len(wire.ahead(len(MUCH))))

    assert held <= HIGH_WATER + 256 * 1024
    peer.send(b"\n")
    with pytest.raises(LineTooLong):
        await reading


# Pieces.


async def test_looking_ahead(ends: tuple[Peer, Wire]):
    """What has arrived can be looked at, and stays where it is."""
    peer, wire = ends
    assert wire.ahead(10) == b""
    peer.send(b"NOOP\r\nQUIT\r\n")

    assert await wire.readline(LIMIT) == b"NOOP\r\n"
    assert wire.ahead(4) == b"QUIT"
    assert wire.ahead(100) == b"QUIT\r\n"
    assert await wire.readline(LIMIT) == b"QUIT\r\n"


async def test_what_is_unread_comes_first(ends: tuple[Peer, Wire]):
    """What followed a message in the same piece is the next command."""
    peer, wire = ends
    peer.send(b"content.NOOP\r\nQU")

    data = await wire.read()
    peer.send(b"IT\r\n")
    wire.unread(data[8:])

    assert data.startswith(b"content.NOOP\r\n")
    assert wire.pending
    assert await two_lines(wire) == (b"NOOP\r\n", b"QUIT\r\n")
    assert not wire.pending


async def test_at_most(ends: tuple[Peer, Wire]):
    """A chunk is read up to its end, and what follows stays where it is."""
    peer, wire = ends
    peer.send(b"abcdefQUIT\r\n")

    assert await wire.read(2) == b"ab"
    assert await wire.read(4) == b"cdef"
    assert await wire.readline(LIMIT) == b"QUIT\r\n"


async def test_who_sends_faster_than_is_read_has_to_wait(ends: tuple[Peer, Wire]):
    """What is held is bounded; all of it arrives in the end."""
    peer, wire = ends
    sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(peer.socket, MUCH))
    done, _ = await asyncio.wait([sending], timeout=0.1)
    held = len(wire.ahead(len(MUCH)))

    assert not done
    assert held <= HIGH_WATER + 256 * 1024
    received = 0
    async with asyncio.timeout(SECONDS):
        while received < len(MUCH):
            received += len(await wire.read())
    await sending


# Replies.


async def test_replies_to_a_pipeline_go_out_in_one_segment(ends: tuple[Peer, Wire]):
    """RFC 2920 §3.2: they are kept until the session waits for the client again."""
    peer, wire = ends
    peer.send(b"NOOP\r\nNOOP\r\nNO")
    segments: list[bytes] = []
    wire.transport = Recording(wire.transport, segments)

    await wire.readline(LIMIT)
    wire.write(b"250 one\r\n")
    await wire.readline(LIMIT)
    wire.write(b"250 two\r\n")
    assert segments == []
    waiting = asyncio.create_task(wire.readline(LIMIT))

    assert await peer.receive() == b"250 one\r\n250 two\r\n"
    assert segments == [b"250 one\r\n250 two\r\n"]
    peer.send(b"OP\r\n")
    assert await waiting == b"NOOP\r\n"


class Recording:
    """A transport whose writes can be counted."""

    def __init__(self, transport: asyncio.Transport, segments: list[bytes]) -> None:
        self._transport = transport
        self._segments = segments

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._segments.append(data)
        self._transport.write(data)


async def test_who_does_not_read_is_waited_for(ends: tuple[Peer, Wire]):
    """Nobody can make us hold more replies than a buffer's worth."""
    peer, wire = ends
    wire.write(MUCH)
    flushing = asyncio.create_task(wire.flush())
    done, _ = await asyncio.wait([flushing], timeout=SOON)

    assert not done
    received = 0
    while received < len(MUCH):
        received += len(await peer.receive(1 << 20))
    await flushing


async def test_who_does_not_read_at_all_is_cut_off(ends: tuple[Peer, Wire]):
    """By the deadline that holds for the next line."""
    _, wire = ends
    wire.set_deadline(SOON)
    wire.write(MUCH)

    with pytest.raises(Closed):
        await wire.readline(LIMIT)
    assert wire.closed


# Deadlines.


async def test_octets_that_trickle_in_do_not_move_the_deadline(ends: tuple[Peer, Wire]):
    """A line has to be whole in time."""
    peer, wire = ends
    loop = asyncio.get_running_loop()
    began = loop.time()
    wire.set_deadline(SOON)
    reading = asyncio.create_task(wire.readline(LIMIT))
    while not reading.done():
        peer.send(b"x")
        await asyncio.sleep(SOON / 5)

    with pytest.raises(TimedOut):
        await reading
    assert round(loop.time() - began, 3) >= SOON  # uvloop counts whole milliseconds


async def test_a_deadline_can_be_moved(ends: tuple[Peer, Wire]):
    """Forwards, backwards, and away."""
    peer, wire = ends
    wire.set_deadline(SOON)
    wire.set_deadline(SECONDS)
    reading = asyncio.create_task(wire.readline(LIMIT))
    done, _ = await asyncio.wait([reading], timeout=2 * SOON)
    assert not done
    peer.send(b"NOOP\r\n")
    assert await reading == b"NOOP\r\n"

    wire.set_deadline(SOON)
    with pytest.raises(TimedOut):
        await wire.readline(LIMIT)

    wire.set_deadline(SOON)
    wire.set_deadline(0)
    reading = asyncio.create_task(wire.readline(LIMIT))
    done, _ = await asyncio.wait([reading], timeout=2 * SOON)
    assert not done
    peer.send(b"NOOP\r\n")
    assert await reading == b"NOOP\r\n"


async def test_a_deadline_that_passes_while_nobody_waits(ends: tuple[Peer, Wire]):
    """What is there is still read; the wait for more is over before it begins."""
    peer, wire = ends
    wire.set_deadline(SOON)
    peer.send(b"NOOP\r\n")
    await asyncio.sleep(2 * SOON)

    assert await wire.readline(LIMIT) == b"NOOP\r\n"
    with pytest.raises(TimedOut):
        await wire.readline(LIMIT)


async def test_interrupt(ends: tuple[Peer, Wire]):
    """A server that stops does not wait for idle clients. Who is not waiting is not disturbed."""
    peer, wire = ends
    wire.interrupt()
    peer.send(b"NOOP\r\n")
    assert await wire.readline(LIMIT) == b"NOOP\r\n"
    waiting = asyncio.create_task(wire.readline(LIMIT))
    await asyncio.sleep(0)

    wire.interrupt()

    with pytest.raises(TimedOut):
        await waiting


# The end.


async def test_what_was_sent_before_the_end_is_read_and_answered(ends: tuple[Peer, Wire]):
    """A client may close its own side after the last command."""
    peer, wire = ends
    peer.send(b"NOOP\r\nQUIT\r\nhalf")
    peer.socket.shutdown(socket.SHUT_WR)

    assert await two_lines(wire) == (b"NOOP\r\n", b"QUIT\r\n")
    wire.write(b"250 Ok\r\n")
    with pytest.raises(Closed):
        await wire.readline(LIMIT)
    assert await peer.receive() == b"250 Ok\r\n"
    wire.close()
    assert await peer.receive() == b""


async def test_a_peer_that_is_gone(ends: tuple[Peer, Wire]):
    """Reading ends, and writing is nobody's concern any more."""
    peer, wire = ends
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
    peer.socket.close()

    with pytest.raises(Closed):
        await wire.readline(LIMIT)
    wire.write(b"250 Ok\r\n")
    await wire.flush()
    wire.finish_writing()
    wire.close()


async def test_a_peer_that_is_gone_before_we_know(ends: tuple[Peer, Wire]):
    """The reset may come to light in our own farewell."""
    peer, wire = ends
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.socket.close()

    wire.write(b"221 Bye\r\n")
    wire.finish_writing()
    wire.close()

    await gone(wire)


async def test_the_last_word_is_read_although_the_client_still_sends(ends: tuple[Peer, Wire]):
    """The writing side is closed first: a reset would overtake the reply."""
    peer, wire = ends
    peer.send(b"NOOP\r\n" * 1000)
    wire.write(b"421 Bye\r\n")

    wire.finish_writing()

    assert await peer.receive() == b"421 Bye\r\n"
    assert await peer.receive() == b""


async def test_a_client_that_does_not_take_our_last_reply(ends: tuple[Peer, Wire]):
    """It is cut off after a while, and only then is the connection closed."""
    _, wire = ends
    wire.write(MUCH)
    wire.close()
    assert not wire.closed

    await wire.wait_closed(SOON)

    assert wire.closed


async def test_a_client_that_takes_our_last_reply_late(ends: tuple[Peer, Wire]):
    """As long as there is time it gets all of it."""
    peer, wire = ends
    wire.write(MUCH)
    wire.close()
    closing = asyncio.create_task(wire.wait_closed(SECONDS))
    received = 0
    while data := await peer.receive(1 << 20):
        received += len(data)

    await closing

    assert received == len(MUCH)
    assert wire.closed


async def test_who_stops_to_wait_for_the_end_cuts_off(ends: tuple[Peer, Wire]):
    """A task that is cancelled leaves no open connection behind."""
    _, wire = ends
    wire.write(MUCH)
    wire.close()
    closing = asyncio.create_task(wire.wait_closed(SECONDS))
    await asyncio.sleep(0)

    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    assert wire.closed


# TLS.


@pytest.fixture
def handshakes() -> Iterator[Handshakes]:
    threads = Handshakes()
    yield threads
    threads.close()


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """What a server begins TLS with."""
    certificate, key = self_signed("mx.example.org", datetime.now(UTC))
    (tmp_path / "tls.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    return context


async def test_what_came_in_clear_is_forgotten_when_tls_begins(
    ends: tuple[Peer, Wire], context: ssl.SSLContext, handshakes: Handshakes
):
    """RFC 3207 §5: it would be taken for what came through TLS."""
    peer, wire = ends
    peer.send(b"STARTTLS\r\nRSET\r\n")
    assert await wire.readline(LIMIT) == b"STARTTLS\r\n"
    assert wire.pending
    assert not wire.encrypted
    wire.write(b"220 go\r\n")
    wire.expect_tls(context)
    starting = asyncio.create_task(wire.handshake(handshakes, SECONDS))
    assert await peer.receive() == b"220 go\r\n"

    client = asyncio.create_task(hello_through_tls(peer))
    await starting

    assert wire.encrypted
    assert wire.tls_connection is not None
    assert await wire.readline(LIMIT) == b"EHLO a\r\n"
    writer = await client
    wire.close()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def hello_through_tls(peer: Peer) -> asyncio.StreamWriter:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(sock=peer.socket, ssl=context, server_hostname="mx.example.org")
    writer.write(b"EHLO a\r\n")
    return writer


@pytest.mark.parametrize(
    "hello", table({"silence": b"", "half of a record": b"\x16\x03\x01\x02", "no TLS at all": b"EHLO a\r\n"})
)
async def test_a_handshake_that_comes_to_nothing(
    hello: bytes, ends: tuple[Peer, Wire], context: ssl.SSLContext, handshakes: Handshakes
):
    """An OSError, whatever it was."""
    peer, wire = ends
    wire.expect_tls(context)
    starting = asyncio.create_task(wire.handshake(handshakes, 2 * SOON))
    await asyncio.sleep(0)
    peer.send(hello)

    with pytest.raises(OSError):  # noqa: PT011 - ssl.SSLError, ConnectionAbortedError: as the loop has it
        await starting
