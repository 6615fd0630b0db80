"""A connection to a NATS server, for as long as it lasts. The one door to nats-py.

The dialer opens it, so nats-py never connects by itself, nor connects again: what comes after a lost connection is
another session. A message that is published is waited for, and whoever waits is told as soon as the connection is lost.
"""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, cast
from urllib.parse import ParseResult, urlsplit

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.object_store import ObjectStore

from mailport.deliver.destination import MISCONFIGURED, Unavailable
from mailport.deliver.nats import answers
from mailport.deliver.nats.credentials import Login
from mailport.outward.connection import TLS_SECONDS, ConnectionLost, TlsFailed, tls_failed
from mailport.outward.dial import Dialer
from mailport.outward.trust import Tls

DEFAULT_PORT = 4222
_BUFFER = 64 * 1024  # octets of a line: a server's INFO names all servers of its cluster
_CHUNK = 128 * 1024  # octets of an object that are one message, at most
_PING_SECONDS, _MOST_PINGS = 20, 2  # a server that is silent for so long is lost
_CLOSE_SECONDS = 1.0  # for what is still to be sent, to a server that may take nothing any more
_NO_RESPONDERS = "503"
_OF_LOGIN = ("authorization violation", "authentication", "account")

logging.getLogger("nats").addHandler(logging.NullHandler())  # what it finds is told in our own log, as the reason
logging.getLogger("nats").propagate = False


class NoResponders(Exception):  # noqa: N818 - NATS' own word
    """Nobody listens to this subject: there is no stream that takes it, or none that has a leader now."""


@dataclass(frozen=True, slots=True)
class Place:
    """What it takes to open a connection."""

    url: str
    tls: Tls
    tls_required: bool
    login: Login

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Where the configured server is."""
        return _host_and_port(self.url)


class Session:
    """One connection, for any number of tasks."""

    def __init__(self, client: Client, transport: _Transport) -> None:
        self._client = client
        self._transport = transport
        self._inbox = ""
        self._numbers = count(1)
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}  # by the last token of the answer's subject
        self._stores: dict[str, ObjectStore] = {}
        self._over = False  # for what is to come; what waits, waits on
        self._closing: asyncio.Task[None] | None = None
        self.others: list[tuple[str, int]] = []  # servers of the cluster, as this one tells

    @classmethod
    async def open(cls, place: Place, where: tuple[str, int], dialer: Dialer, seconds: float) -> Session:
        """Connect, encrypt, log in. Raises CannotConnect, TlsFailed, ConnectionLost, Unavailable."""
        transport = await _Transport.open(dialer, *where, tls_required=place.tls_required)
        client = Client()
        client._transport = transport  # noqa: SLF001 - the way in for a transport of one's own: tests/deliver/nats
        login = place.login
        if login.nkey is not None:
            client._public_nkey = login.nkey.public  # noqa: SLF001 - what nkeys_seed would set
        session = cls(client, transport)
        jwt = login.jwt
        try:
            await client.connect(
                f"nats://{_in_url(where[0])}:{where[1]}",
                name="mailport",
                error_cb=session._on_error,
                closed_cb=session._on_closed,
                lame_duck_mode_cb=session._on_lame_duck,
                allow_reconnect=False,
                connect_timeout=max(int(seconds), 1),
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=_MOST_PINGS,
                pending_size=0,  # else it waits in publish() while the server takes nothing, and swallows cancellation
                tls=place.tls.context,
                tls_hostname=place.tls.server_name,
                user=login.user,
                password=login.password,
                token=login.token,
                signature_cb=login.nkey.sign if login.nkey is not None else None,
                user_jwt_cb=(lambda: bytearray(jwt)) if jwt is not None else None,
            )
            assert client._reading_task is not None  # noqa: S101, SLF001 - it is connected
            client._reading_task.add_done_callback(session._on_reading_ended)  # noqa: SLF001 - nats-py tells it nobody
            session._inbox = client.new_inbox()
            await client.subscribe(f"{session._inbox}.*", cb=session._on_answer)
        except (nats.errors.Error, OSError, ssl.CertificateError) as error:
            transport.abort()
            raise _why(error) from error
        except BaseException:
            transport.abort()
            raise
        session.others = [(uri.hostname, uri.port or DEFAULT_PORT) for uri in client.discovered_servers if uri.hostname]
        return session

    @property
    def usable(self) -> bool:
        """Whether it is for what is to come: nats-py may be at an end, and wait for the server to take the rest."""
        return not self._over and self._client.is_connected

    @property
    def in_use(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._waiting)

    @property
    def max_payload(self) -> int:
        """Octets of headers and content that the server takes in one message."""
        return self._client.max_payload

    async def request(self, subject: str, content: bytes, headers: dict[str, str] | None = None) -> bytes:
        """Publish, and return the answer. Raises NoResponders, ConnectionLost, Unavailable."""
        if not self._client.is_connected:
            raise ConnectionLost("the connection was lost")
        number = str(next(self._numbers))
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[number] = subject, answer
        try:
            await self._client.publish(subject, content, f"{self._inbox}.{number}", headers)
            message = await answer
        except (nats.errors.Error, OSError) as error:
            raise _why(error) from error
        finally:
            del self._waiting[number]
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            raise NoResponders(f"no responders for {subject}")
        return message.data

    async def put(
        self, store: str, name: str, content: Iterator[bytes | bytearray], seconds: float, largest: int = 0
    ) -> str:
        """Put an object into an object store; return its digest. Raises Unavailable.

        `largest` is how many octets of it the store takes in one message; 0: any number.
        """
        chunk = min(_CHUNK, self.max_payload, largest or _CHUNK)
        meta = ObjectMeta(options=ObjectMetaOptions(max_chunk_size=chunk))
        try:
            objects = await self._store(store, seconds)
            info = await objects.put(name, io.BufferedReader(_Pieces(content), _CHUNK), meta)
        except nats.js.errors.BucketNotFoundError as error:
            raise Unavailable(f"there is no object store {store}", reason=MISCONFIGURED) from error
        except nats.js.errors.Error as error:
            raise Unavailable(f"object store {store}: {error}") from error
        except (nats.errors.Error, ConnectionError) as error:
            raise _why(error) from error
        return info.digest or ""

    async def delete(self, store: str, name: str, seconds: float) -> bool:
        """Take an object back; return whether it is not there any more."""
        try:
            async with asyncio.timeout(seconds):
                await (await self._store(store, seconds)).delete(name)
        except nats.js.errors.NotFoundError:
            return True
        except (nats.errors.Error, OSError, TimeoutError):
            return False
        return True

    async def stream_info(self, stream: str) -> dict[str, object]:
        """Return a stream's settings and state, as STREAM.INFO has them. Raises Unavailable, ConnectionLost."""
        try:
            return answers.parsed(await self.request(f"$JS.API.STREAM.INFO.{stream}", b""))
        except NoResponders as error:
            raise Unavailable("JetStream does not answer: not enabled, or no leader") from error

    async def close(self) -> None:
        """End the connection, in a second; who waits is told first. What is left is sent where the server takes it.

        It goes on by itself where the caller is cancelled: nats-py, cut off within, would leave tasks behind.
        """
        self._over = True
        self._fail(ConnectionLost("the connection was closed"))
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._transport.abort)
        try:
            with suppress(nats.errors.Error, OSError):
                await self._client.close()
        finally:
            timer.cancel()
            self._transport.abort()  # where nats-py was closing already, and still waits for the server

    async def _store(self, name: str, seconds: float) -> ObjectStore:
        if name not in self._stores:
            self._stores[name] = await self._client.jetstream(timeout=seconds).object_store(name)
        return self._stores[name]

    def _fail(self, error: Exception, subject: str = "") -> None:
        for asked, answer in self._waiting.values():
            if not answer.done() and (not subject or asked.lower() == subject):
                answer.set_exception(error)

    # What nats-py calls.

    async def _on_answer(self, message: Msg) -> None:
        _, answer = self._waiting.get(message.subject.rpartition(".")[2], (None, None))
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        """Tell who waits in vain: the server says by its subject, in lower case, what the user may not do."""
        words = str(error)
        if "permissions violation" in words:
            subject = words.partition('"')[2].partition('"')[0]
            to_answers = "subscription" in words
            if to_answers:  # what was published may be there all the same
                self._fail(answers.Unknown(words[:300], reason=MISCONFIGURED))
            else:
                self._fail(Unavailable(words[:300], reason=MISCONFIGURED), subject)

    async def _on_closed(self) -> None:
        self._over = True
        self._fail(ConnectionLost(str(self._client.last_error or "the connection was lost")))

    def _on_reading_ended(self, _task: asyncio.Task[None]) -> None:
        """End the connection where nats-py does not: what it cannot read ends its reading, and nothing else."""
        if self._client.is_closed:  # or closing: nats-py sends what is left, and calls _on_closed
            return
        self._over = True
        self._transport.abort()
        self._fail(ConnectionLost("what the server says cannot be read"))

    async def _on_lame_duck(self) -> None:
        self._over = True  # the server is about to leave


class _Transport(TcpTransport):
    """The dialer's connection, as nats-py wants it."""

    def __init__(self, tls_required: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py's transport has no types
        self._tls_required = tls_required
        self._encrypted = False

    @classmethod
    async def open(cls, dialer: Dialer, host: str, port: int, *, tls_required: bool) -> _Transport:
        reader = asyncio.StreamReader(_BUFFER)
        protocol = await dialer.open(lambda: _Protocol(reader), host, port)
        transport = cls(tls_required)
        writer = asyncio.StreamWriter(protocol.connected, protocol, reader, asyncio.get_running_loop())
        transport._bare_io_reader = transport._io_reader = reader
        transport._bare_io_writer = transport._io_writer = writer
        return transport

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Do nothing: it is connected, to where the dialer was told."""

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """Encrypt, from the server's INFO on. What came in clear behind that is dropped with its reader."""
        try:
            await super().connect_tls(uri, ssl_context, buffer_size, min(connect_timeout, int(TLS_SECONDS)))
        except (OSError, ssl.CertificateError) as error:
            raise tls_failed(error) from error
        self._encrypted = True

    def write(self, payload: bytes) -> None:
        """Write; never in clear where TLS is wanted and the server did not offer it."""
        if self._tls_required and not self._encrypted:
            raise TlsFailed("TLS: the server does not offer it, and the route wants it")
        self.writelines([payload])

    def writelines(self, payload: list[bytes]) -> None:
        """Write, or do nothing where the connection is lost: who reads is told, and nats-py writes while it closes."""
        if self._io_writer is not None and not self._io_writer.is_closing():
            super().writelines(payload)  # type: ignore[no-untyped-call]

    async def drain(self) -> None:
        """Wait while the server takes nothing; return where the connection is lost."""
        with suppress(ConnectionError):
            await super().drain()  # type: ignore[no-untyped-call]

    def abort(self) -> None:
        """Close at once."""
        if self._io_writer is not None:
            self._io_writer.transport.abort()


class _Protocol(asyncio.StreamReaderProtocol):
    connected: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected = cast("asyncio.Transport", transport)  # uvloop's is one, and not by inheritance
        super().connection_made(transport)


class _Pieces(io.RawIOBase):
    """What is read piece by piece, in a thread, as a file."""

    def __init__(self, pieces: Iterator[bytes | bytearray]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        octets = min(len(buffer), len(self._rest))
        buffer[:octets] = self._rest[:octets]
        self._rest = self._rest[octets:]
        return octets


def _why(error: Exception) -> Exception:
    """Return what an error of nats-py's is in our words."""
    words = str(error) or type(error).__name__
    if isinstance(error, ConnectionLost | Unavailable):
        return error
    if isinstance(error, nats.errors.AuthorizationError) or any(part in words.lower() for part in _OF_LOGIN):
        return Unavailable(words, reason=MISCONFIGURED)
    if isinstance(error, TimeoutError):
        return Unavailable(f"no answer in time: {words}")
    return ConnectionLost(words)


def _host_and_port(url: str) -> tuple[str, int]:
    place = urlsplit(url)
    return place.hostname or "", place.port or DEFAULT_PORT


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
