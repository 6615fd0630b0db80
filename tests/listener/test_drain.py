"""A server that stops: nobody but an open transaction holds it up, and no connection is left open behind it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from mailport.listener import metrics
from mailport.listener import server as server_module
from mailport.listener import session as session_module
from mailport.listener.wire import Wire
from tests.listener import dialogs
from tests.listener.playing import SECONDS, Served
from tests.tables import table

GRACE = 0.2  # seconds, in place of those that sessions outside of a transaction get
LONG = 60.0  # seconds of a drain that is meant to end before
SPEC = """# A dialog's head.
spec:
  listeners:
  - {name: smtp, port: 25}
  - {name: submissions, port: 465, tls: {mode: Implicit}}
  - {name: proxied, port: 2525, proxyProtocol: {trustedCIDRs: ["127.0.0.1/32"]}}
  limits: {maxErrors: 0}
"""
ENVELOPE = b"EHLO client.example\r\nMAIL FROM:<bert@example.net>\r\nRCPT TO:<anna@example.org>\r\n"
MUCH = b"EHLO client.example\r\n" * 40_000  # whose replies fill every buffer between two ends

pytestmark = pytest.mark.both_loops


_wires: list[Wire] = []


def kept(loop: asyncio.AbstractEventLoop) -> Wire:
    """Return a Wire that can be looked at when its session is over."""
    _wires.append(Wire(loop))
    return _wires[-1]


def connected() -> list[Wire]:
    """Return all Wires that ever had a connection."""
    return [wire for wire in _wires if wire.transport is not None]


@pytest_asyncio.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """A server; in the end no connection that it ever had is open."""
    monkeypatch.setattr(server_module, "Wire", kept)
    monkeypatch.setattr(server_module, "DRAIN_GRACE", GRACE)
    monkeypatch.setattr(session_module, "DRAIN_GRACE", GRACE)
    monkeypatch.setattr(session_module, "_LINGER", GRACE)
    _wires.clear()
    running = Served(dialogs.parse("drain", SPEC), tmp_path)
    running.start()
    yield running
    await running.end()


class Connection:
    """A client that reads only when it is told to."""

    def __init__(self, served: Served, listener: str = "smtp") -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", served.ports[listener]))
        self.socket.setblocking(False)
        self._unread = b""

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(SECONDS):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def hear(self, text: bytes) -> None:
        """Read until this has come."""
        async with asyncio.timeout(SECONDS):
            while text not in self._unread:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
                assert data, f"closed after {self._unread!r}"
                self._unread += data
        self._unread = self._unread.partition(text)[2]

    async def rest(self) -> bytes:
        """Read to the end."""
        async with asyncio.timeout(SECONDS):
            while data := await asyncio.get_running_loop().sock_recv(self.socket, 65536):
                self._unread += data
        return self._unread


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)


async def fill(served: Served, client: Connection, start: bytes) -> None:
    """Send commands and read no reply, until the server's session can go no further."""
    sending = asyncio.create_task(client.send(start + MUCH))
    await until(lambda: any(wire.transport.get_write_buffer_size() > 65536 for wire in connected()))
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def reads_nothing(served: Served, client: Connection) -> None:
    await fill(served, client, b"")


async def reads_nothing_and_quits(served: Served, client: Connection) -> None:
    await client.send(b"EHLO client.example\r\n" * 16_000 + b"QUIT\r\n")
    await until(lambda: not served.server.sessions)


async def half_a_line(served: Served, client: Connection) -> None:
    await client.hear(b"220 ")
    await client.send(b"NO")
    await until(lambda: any(wire.pending for wire in connected()))


async def in_the_handshake(served: Served, client: Connection) -> None:
    await client.send(b"EHLO client.example\r\nSTARTTLS\r\n")
    await client.hear(b"220 2.0.0 ready")


async def says_nothing(served: Served, client: Connection) -> None:
    await until(lambda: open_connections() == 1)


def open_connections() -> float:
    """How many the metrics count: those without a session too."""
    text = metrics.exposition()[0].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("mailport_connections{"))


HOLDING: dict[str, tuple[str, Callable[[Served, Connection], Awaitable[None]]]] = {
    "one that reads no replies": ("smtp", reads_nothing),
    "one that does not read the last reply": ("smtp", reads_nothing_and_quits),
    "one in the middle of a line": ("smtp", half_a_line),
    "one that does not begin the handshake after STARTTLS": ("smtp", in_the_handshake),
    "one that does not begin the handshake of implicit TLS": ("submissions", says_nothing),
    "one whose PROXY header does not come": ("proxied", says_nothing),
}


@pytest.mark.parametrize("listener, hold", table(HOLDING))
async def test_who_has_no_transaction_open_holds_up_nobody(
    listener: str, hold: Callable[[Served, Connection], Awaitable[None]], served: Served
):
    """The drain is over within seconds, nobody was aborted, and every connection is closed."""
    client = Connection(served, listener)
    with client.socket:
        await hold(served, client)
        began = time.monotonic()
        async with asyncio.timeout(SECONDS):
            aborted = await served.server.drain(LONG)
        open_still = [wire for wire in connected() if not wire.closed]

    assert aborted == 0
    assert time.monotonic() - began < SECONDS
    assert open_still == []


async def test_who_is_in_the_middle_of_a_line_hears_why(served: Served):
    """The rest of it is given a moment to come; then the client is told to come again."""
    client = Connection(served)
    with client.socket:
        await half_a_line(served, client)
        await served.server.drain(LONG)

        assert (await client.rest()).endswith(b"421 4.3.2 service is shutting down, try again later\r\n")


async def test_who_is_accepted_while_the_server_stops_gets_no_greeting(served: Served):
    """421 in its place: it was to come again before it began."""
    client = Connection(served)
    with client.socket:
        await asyncio.sleep(0)
        served.server.draining = True

        assert await client.rest() == b"421 4.3.2 service is shutting down, try again later\r\n"


@pytest.mark.parametrize("hurry", table({"at the end of drainSeconds": False, "at the second signal": True}))
async def test_a_transaction_of_a_client_that_reads_nothing(hurry: bool, served: Served):
    """It has drainSeconds like every other, then it is cut off, and its connection is closed."""
    client = Connection(served)
    with client.socket:
        await fill(served, client, ENVELOPE + b"NOOP\r\n" * 100_000)
        draining = asyncio.create_task(served.server.drain(LONG if hurry else 3 * GRACE))
        await asyncio.sleep(2 * GRACE)
        assert served.server.sessions
        if hurry:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            await served.server.end_at_once()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(draining, return_exceptions=True)
        open_still = [wire for wire in connected() if not wire.closed]

    assert not served.server.sessions
    assert open_still == []
