"""Connections outward, to real sockets of loopback."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailport.listener.tls import self_signed
from mailport.outward import dial
from mailport.outward.allowed import Allowed
from mailport.outward.connection import MOST_UNREAD, Connection, ConnectionLost, TlsFailed
from mailport.outward.dial import CannotConnect, Dialer, NotAllowed
from mailport.outward.trust import BadCa, Tls, context
from tests.tables import table

NAME = "mail.example.org"
CHAIN, KEY = self_signed(NAME, datetime.now(UTC))
pytestmark = pytest.mark.both_loops
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> AsyncGenerator[int]:
    """Serve on loopback; gives the port."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(one, host, 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


@asynccontextmanager
async def dialer(allowed: Allowed | None = None) -> AsyncGenerator[Dialer]:
    dialing = Dialer(allowed or Allowed(local=True))
    yield dialing
    await dialing.close()


@pytest.fixture
def serving_tls(tmp_path: Path) -> ssl.SSLContext:
    (tmp_path / "pem").write_bytes(CHAIN + KEY)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "pem")
    return made


async def say_hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    await writer.drain()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(1024):
        writer.write(octets)


async def received(connection: Connection) -> bytes:
    """Read to the end."""
    octets = b""
    try:
        while True:
            octets += await connection.read()
    except ConnectionLost:
        return octets


async def until(check: Callable[[], bool]) -> None:
    while not check():  # noqa: ASYNC110 - a connection has no event for what nobody has read
        await asyncio.sleep(0.001)


async def fill(connection: Connection) -> None:
    for _ in range(1000):
        await connection.write(b"x" * 64 * 1024)


async def test_octets_go_out_and_in():
    async with server(echo) as port, dialer() as dialing:
        connection = await dialing.connect("127.0.0.1", port)
        await connection.write(b"one")

        assert await connection.read() == b"one"
        assert connection.quiet
        connection.close()
        assert not connection.quiet


async def test_the_dialer_ends_behind_the_connections_that_were_closed(serving_tls: ssl.SSLContext):
    """TLS has a last word to exchange, and this server does not say it."""
    hung_up = asyncio.Event()

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await hung_up.wait()

    dialing = Dialer(Allowed(local=True))
    async with server(hang, serving_tls) as port:
        closed = await dialing.connect("127.0.0.1", port, Tls(context(CHAIN), NAME))
        in_use = await dialing.connect("127.0.0.1", port, Tls(context(CHAIN), NAME))
        closed.close(b"QUIT\r\n")
        await dialing.close()

        assert closed._gone.is_set()
        assert in_use.quiet
        in_use.abort()
        await in_use.ended()
        hung_up.set()


@pytest.mark.parametrize("answer", table({"it speaks no TLS": b"what?", "it says nothing": b""}))
async def test_a_handshake_that_comes_to_nothing_is_an_end(answer: bytes):
    """Of which nobody hears: the event loop tells it to the TLS between us, and not to us."""
    over = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await over.wait()

    dialing = Dialer(Allowed(local=True))
    async with server(hang) as port:
        connection = await dialing.connect("127.0.0.1", port)
        with pytest.raises((TlsFailed, TimeoutError)):
            async with asyncio.timeout(0.2):
                await connection.start_tls(context(CHAIN), NAME)
        connection.close()
        async with asyncio.timeout(0.5):  # half of what an end has
            await dialing.close()
        over.set()

    assert not connection.quiet


@pytest.mark.parametrize(
    "host", table({"an address": "127.0.0.1", "a name": "localhost", "mapped": "::ffff:127.0.0.1"})
)
async def test_a_local_address_is_refused_on_the_address_itself(host: str):
    """The server sees no connection, whatever name led there."""
    connected = asyncio.Event()

    async def note(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        connected.set()

    async with server(note) as port, dialer(Allowed()) as dialing:
        with pytest.raises(NotAllowed, match="loopback"):
            await dialing.connect(host, port)
        await asyncio.sleep(0)

        assert not connected.is_set()


async def test_a_name_that_leads_elsewhere_after_it_was_looked_up_gains_nothing():
    """What is connected to is the address that was looked at, and the peer is looked at once more."""
    async with server(say_hello) as port, dialer(Allowed()) as dialing:
        dialing._those_allowed = lambda _, found: found  # as if the first look had seen another address
        with pytest.raises(NotAllowed, match="loopback"):
            await dialing.connect("127.0.0.1", port)


async def test_what_is_denied_is_refused():
    async with server(say_hello) as port, dialer(Allowed(local=True, denied=["127.0.0.0/8"])) as dialing:
        with pytest.raises(NotAllowed, match="--deny-destinations"):
            await dialing.connect("127.0.0.1", port)


async def test_the_address_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch):
    """The first refuses, the second answers; the one that is not allowed is not tried."""
    found: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    async with (
        server(say_hello, host="127.0.0.2") as port,
        dialer(Allowed(local=True, denied=["127.0.0.3"])) as dialing,
    ):
        places = [(address, port) for address in ("127.0.0.3", "127.0.0.4", "127.0.0.2")]
        found += [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        connection = await dialing.connect("several.example.org", port)

        assert await received(connection) == b"hello"
    async with dialer() as dialing:
        with pytest.raises(CannotConnect, match="several"):
            await dialing.connect("several.example.org", port)


@contextmanager
def silent(family: socket.AddressFamily, host: str, port: int = 0) -> Iterator[tuple[Any, ...]]:
    """An address that answers no connection: its backlog is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket(family))
        full.bind((host, port))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


async def test_an_address_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    """The next one is tried after a moment, long before the first is given up."""
    found: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    async with server(say_hello) as port, dialer() as dialing:
        with silent(socket.AF_INET6, "::1") as place:
            found += [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", place)]
            found += [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
            began = asyncio.get_running_loop().time()
            connection = await dialing.connect("several.example.org", port)
            seconds = asyncio.get_running_loop().time() - began

            assert await received(connection) == b"hello"
            assert seconds > dial.NEXT_ADDRESS_SECONDS * 0.9
            assert seconds < dial.CONNECT_SECONDS / 2


async def test_a_name_that_does_not_exist():
    async with dialer() as dialing:
        with pytest.raises(CannotConnect, match=r"no-such-host\.invalid port 25: "):
            await dialing.connect("no-such-host.invalid", 25)


async def test_a_connection_that_does_not_come_about_ends_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dial, "CONNECT_SECONDS", 0.05)
    with silent(socket.AF_INET, "127.0.0.1") as (_, port):
        async with dialer() as dialing:
            with pytest.raises(CannotConnect, match="no connection in"):
                await dialing.connect("127.0.0.1", port)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_that_is_reset_as_soon_as_it_is_there(
    monkeypatch: pytest.MonkeyPatch, serving_tls: ssl.SSLContext, *, tls: bool
):
    """It has not come about. The reset is waited for, as it would come behind the look at the peer otherwise."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def connect(*arguments: Any, **options: Any) -> socket.socket:
        connected = await start_connection(*arguments, **options)
        poll = select.poll()
        poll.register(connected, 0)
        assert await asyncio.to_thread(poll.poll, 10_000)
        return connected

    start_connection = dial.start_connection
    monkeypatch.setattr(dial, "start_connection", connect)
    speaking = Tls(serving_tls, "mail.example.org") if tls else None
    async with server(reset) as port, dialer() as dialing:
        with pytest.raises(CannotConnect, match=rf"127\.0\.0\.1 port {port}: "):
            await dialing.connect("127.0.0.1", port, speaking)


async def test_tls_is_verified_by_the_name_as_written(serving_tls: ssl.SSLContext):
    async with server(echo, serving_tls) as port, dialer() as dialing:
        connection = await dialing.connect("127.0.0.1", port, Tls(context(CHAIN), NAME))
        await connection.write(b"secret")

        assert connection.encrypted
        assert await connection.read() == b"secret"
        connection.close()


@pytest.mark.parametrize(
    "ca, name, why",
    table(
        {
            "another name": (CHAIN, "other.example.org", "Hostname mismatch"),
            "another CA": (self_signed(NAME, datetime.now(UTC))[0], NAME, "certificate"),
            "the public CAs": (None, NAME, "self-signed"),
        }
    ),
)
async def test_who_does_not_prove_its_name_is_not_spoken_to(
    serving_tls: ssl.SSLContext, ca: bytes | None, name: str, why: str
):
    async with server(echo, serving_tls) as port, dialer() as dialing:
        with pytest.raises(TlsFailed, match=why):
            await dialing.connect("127.0.0.1", port, Tls(context(ca), name))


def test_the_public_cas_are_loaded_once():
    """However many destinations there are: each would take 30 ms and 800 KiB."""
    assert context(None) is context(None)
    assert context(CHAIN) is not context(CHAIN)


async def test_who_speaks_no_tls_is_not_spoken_to():
    async with server(say_hello) as port, dialer() as dialing:
        with pytest.raises(TlsFailed):
            await dialing.connect("127.0.0.1", port, Tls(context(CHAIN), NAME))


async def test_tls_may_begin_later(serving_tls: ssl.SSLContext):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(b"go")
        await writer.start_tls(serving_tls)
        await echo(reader, writer)

    async with server(serve) as port, dialer() as dialing:
        connection = await dialing.connect("127.0.0.1", port)
        await connection.write(b"tls?")
        assert await connection.read() == b"go"
        await connection.start_tls(context(CHAIN), NAME)
        await connection.write(b"secret")

        assert connection.encrypted
        assert await connection.read() == b"secret"
        connection.close()


async def test_nothing_in_clear_passes_for_protected(serving_tls: ssl.SSLContext):
    """What came in before the handshake ends the connection (the STARTTLS injection of CVE-2011-0411, as a client)."""
    async with server(say_hello) as port, dialer() as dialing:
        connection = await dialing.connect("127.0.0.1", port)
        await until(lambda: bool(connection._unread))
        with pytest.raises(TlsFailed, match="in clear"):
            await connection.start_tls(context(CHAIN), NAME)
        connection.abort()


async def test_who_hangs_up_is_noticed_while_idle():
    async with server(say_hello) as port, dialer() as dialing:
        connection = await dialing.connect("127.0.0.1", port)

        assert await received(connection) == b"hello"
        assert not connection.quiet
        with pytest.raises(ConnectionLost):
            await connection.write(b"?")


async def test_what_nobody_reads_is_not_taken_in():
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _number in range(200):
            writer.write(b"x" * 64 * 1024)
            await writer.drain()

    async with server(flood) as port, dialer() as dialing:
        connection = await dialing.connect("127.0.0.1", port)
        await until(lambda: len(connection._unread) > MOST_UNREAD)
        for _ in range(100):
            await asyncio.sleep(0)

        assert len(connection._unread) < MOST_UNREAD + 300 * 1024
        assert len(await received(connection)) == 200 * 64 * 1024


async def test_who_takes_nothing_is_waited_for():
    """Memory does not fill with what the other side does not take."""

    done = asyncio.Event()

    async def sleep(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await done.wait()

    async with server(sleep) as port, dialer() as dialing:
        connection = await dialing.connect("127.0.0.1", port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fill(connection), 0.2)
        connection.abort()
        with pytest.raises(ConnectionLost):
            await connection.write(b"?")
        done.set()


@pytest.mark.parametrize(
    "ca", table({"nothing": b"", "no PEM": b"hello", "a key": KEY, "half a certificate": CHAIN[:100]})
)
def test_a_ca_that_is_none_is_said(ca: bytes):
    with pytest.raises(BadCa):
        context(ca)


@pytest.mark.parametrize(
    "addresses, error",
    table(
        {
            "all may be connected to": (["192.0.2.1", "2001:db8::1"], None),
            "one is link-local, though it is not the first": (["192.0.2.1", "169.254.169.254"], NotAllowed),
            "one is loopback in another spelling": (["::ffff:127.0.0.1"], NotAllowed),
        }
    ),
)
async def test_a_name_for_a_library_that_connects_by_itself(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], error: type[Exception] | None
):
    """It may come to any of the addresses, so that each has to be allowed."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    async with dialer(Allowed()) as dialing:
        if error is None:
            await dialing.must_be_allowed("store.example.org", 443)
        else:
            with pytest.raises(error, match=r"store\.example\.org: .* is a (link-local|loopback) address"):
                await dialing.must_be_allowed("store.example.org", 443)


async def test_a_name_for_it_that_has_no_address(monkeypatch: pytest.MonkeyPatch):
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with dialer(Allowed()) as dialing:
        with pytest.raises(CannotConnect, match=r"store\.example\.org: Name or service not known"):
            await dialing.must_be_allowed("store.example.org", 443)
