"""HTTP to one host, over connections of the dialer. The one door to aiohttp's client for destinations.

HTTP/1.1 with keep-alive; no redirects are followed, no proxies of the environment used, no cookies kept, and nothing
is decompressed. What an answer may take of memory and time is bounded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from aiohttp import (
    BaseConnector,
    ClientConnectionError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from mailport.outward.connection import ConnectionLost
from mailport.outward.dial import CannotConnect, Dialer
from mailport.outward.pool import IDLE_SECONDS, LIFE_SECONDS, MOST_IDLE
from mailport.outward.printable import printable
from mailport.outward.trust import Tls

USER_AGENT = "Mailport"
TEXT_OCTETS = 1024  # of an answer's body, for the log
_MOST_READ = 64 * 1024  # octets of a body that are read so that its connection can be used again
_TEXT_SECONDS = 1.0  # for that
_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted: so many octets, which can be had again for a second try."""

    octets: int
    pieces: Callable[[], AsyncIterator[bytes | bytearray]]


class Answer(NamedTuple):
    """What was answered."""

    status: int
    retry_after: str  # the field as it came, or empty
    text: str  # of the body: printable ASCII, cut
    etag: str = ""  # the field as it came, or empty
    octets: int | None = None  # Content-Length, where it is said


class BodyLate(Exception):  # noqa: N818 - what it is
    """The time was over while the body was still to be read: a fault of ours, and not of the other side."""


class NotHttp(ConnectionLost):
    """What came is no answer of HTTP/1.1 to what was sent, or more than an answer may have."""


@dataclass(slots=True)
class _Attempt:
    """One attempt at a request. `new`: no kept connection may be used. `reused`: a kept connection was used."""

    new: bool = False
    reused: bool = False


_attempt: ContextVar[_Attempt] = ContextVar("attempt")


class _Connector(BaseConnector):
    """aiohttp's pool of connections, which are opened by the dialer and are not used for ever."""

    def __init__(self, dialer: Dialer, host: str, port: int, tls: Tls | None) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE_SECONDS)
        self._dialer = dialer
        self._place = host, port, tls
        self._born: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()

    @property
    def idle(self) -> int:
        return sum(map(len, self._conns.values()))

    @property
    def in_use(self) -> int:
        return len(self._acquired)

    async def _get(self, key: Any, traces: Any) -> Any:
        attempt = _attempt.get()
        if attempt.new:
            return None
        while (kept := await super()._get(key, traces)) is not None and _is_spoilt(kept.protocol):
            kept.close()  # something came while it was idle, and would be taken for the answer to what is sent now
        attempt.reused = kept is not None
        return kept

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:  # noqa: ASYNC109
        del req, traces, timeout
        protocol = await self._dialer.open(self._factory, *self._place)
        self._born[protocol] = self._loop.time()
        return protocol

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        old = self._loop.time() - self._born.get(protocol, 0.0) >= LIFE_SECONDS
        many = len(self._conns.get(key, ())) >= MOST_IDLE
        if should_close:  # at once: a peer that takes nothing would keep what is left, and the descriptor, for ever
            protocol.abort()
        super()._release(key, protocol, should_close=should_close or old or many)


class _Sending:
    """A body on its way: how much of it has been sent, whether it is being read, and why it could not be."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._sent = 0
        self.reading = False
        self.failure: Exception | None = None

    @property
    def complete(self) -> bool:
        return self._sent >= self._body.octets

    async def pieces(self) -> AsyncIterator[bytes | bytearray]:
        self.reading = True
        try:
            async for piece in self._body.pieces():
                self._sent += len(piece)
                self.reading = False
                yield piece
                self.reading = True
        except Exception as error:
            self.failure = error
            raise


class Poster:
    """Posts to one URL, and asks its host for others. Belongs to one event loop, from its first use on."""

    def __init__(self, url: str, dialer: Dialer, tls: Tls, secrets: Iterable[str] = ()) -> None:
        """`tls` is for https; `secrets` are kept out of what is told of answers."""
        self._url = URL(url, encoded=True)
        self._dialer = dialer
        self._place = self._url.host or "", self._url.port or 80, tls if self._url.scheme == "https" else None
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)  # the longest first: one may hold another
        self._session: ClientSession | None = None
        self._connector: _Connector | None = None

    async def post(self, headers: Sequence[tuple[str, str]], body: bytes | Body, until: float) -> Answer:
        """Post, and return the answer, which is there at `until`, of the event loop's clock, or a TimeoutError.

        A kept connection that breaks before the answer is replaced by a new one, once: the server may have closed it
        just then. Raises CannotConnect, TlsFailed, ConnectionLost, NotHttp; BodyLate, and OSError where the body
        cannot be read.
        """
        return await self._twice(
            lambda attempt: self._send("POST", self._url, headers, body, until=until, attempt=attempt)
        )

    async def ask(self, method: str, url: str, until: float) -> Answer:
        """Send a request without a body for another URL of the same host. Raises what `post` does, but OSError."""
        asked = URL(url, encoded=True)
        if asked.origin() != self._url.origin():
            raise ValueError("a URL of another host")
        return await self._twice(lambda attempt: self._send(method, asked, (), None, until=until, attempt=attempt))

    async def try_connection(self) -> None:
        """Connect, with TLS where it is https, and hang up. Raises CannotConnect and TlsFailed."""
        connection = await self._dialer.connect(*self._place)
        connection.close()
        await connection.ended()

    @property
    def idle(self) -> int:
        """How many connections wait to be used."""
        return self._connector.idle if self._connector is not None else 0

    @property
    def in_use(self) -> int:
        """How many are being used."""
        return self._connector.in_use if self._connector is not None else 0

    async def close(self) -> None:
        """End the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _twice(self, send: Callable[[_Attempt], Awaitable[Answer]]) -> Answer:
        """Send, and once more on a new connection where a kept one broke."""
        attempt = _Attempt()
        try:
            return await send(attempt)
        except NotHttp:
            raise
        except ConnectionLost:
            if not attempt.reused:
                raise
        return await send(_Attempt(new=True))

    async def _send(
        self,
        method: str,
        url: URL,
        headers: Sequence[tuple[str, str]],
        body: bytes | Body | None,
        *,
        until: float,
        attempt: _Attempt,
    ) -> Answer:
        _attempt.set(attempt)
        sending = None
        data: Any = body
        if isinstance(body, Body):
            sending = _Sending(body)
            data, headers = sending.pieces(), [*headers, ("Content-Length", str(body.octets))]
        try:
            async with asyncio.timeout_at(until):
                response = await self._open_session().request(
                    method, url, data=data, headers=headers, allow_redirects=False
                )
        except ClientError as error:
            raise _failure(error, sending) from error
        except TimeoutError as error:
            if sending is not None and sending.reading and not sending.complete:
                raise BodyLate("the message was not read in time") from error
            raise
        if sending is not None and not sending.complete and response.ok:
            response.close()
            raise NotHttp(f"answered {response.status} before it had the whole message")
        fields = response.headers
        length = fields.get("Content-Length", "")
        return Answer(
            response.status,
            fields.get("Retry-After", ""),
            self._cleaned(await _read(response, until)),
            fields.get("ETag", ""),
            int(length) if _DIGITS.fullmatch(length) else None,
        )

    def _open_session(self) -> ClientSession:
        if self._session is None:
            self._connector = _Connector(self._dialer, *self._place)
            self._session = ClientSession(
                connector=self._connector,
                cookie_jar=DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                skip_auto_headers=("Accept", "Accept-Encoding"),
                timeout=ClientTimeout(total=None, sock_connect=None),  # the caller's
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _cleaned(self, octets: bytes) -> str:
        if not octets:
            return ""
        text = octets.decode("utf-8", "replace")
        for secret in self._secrets:  # some answer with all they were sent
            text = text.replace(secret, "***")
        return printable(text).strip()[:TEXT_OCTETS]


def _is_spoilt(protocol: ResponseHandler | None) -> bool:
    return protocol is None or protocol.should_close


def _failure(error: ClientError, sending: _Sending | None) -> Exception:
    """Return what an error of aiohttp's was in our words: as raised by the dialer or the body, where it was."""
    if sending is not None and sending.failure is not None:
        return sending.failure
    if isinstance(error.__cause__, CannotConnect | ConnectionLost):
        return error.__cause__
    if isinstance(error, ClientConnectionError):
        return ConnectionLost(f"connection lost: {error}")
    words = getattr(error, "message", "") or str(error)  # the latter has the URL in it, which may be signed
    return NotHttp(f"not an answer of HTTP/1.1: {printable(str(words))[:200]}")


async def _read(response: ClientResponse, until: float) -> bytes:
    """Return the beginning of a body. Where the body does not end soon, its connection is closed."""
    content = response.content
    if content.is_eof():  # all of it has come: what there is to read is in memory
        return content.read_nowait(TEXT_OCTETS * 8) if not content.at_eof() else b""
    octets, begin = 0, b""
    try:
        async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + _TEXT_SECONDS)):
            while octets < _MOST_READ and (chunk := await content.readany()):
                octets += len(chunk)
                begin += chunk[: TEXT_OCTETS * 8 - len(begin)]
    except (TimeoutError, ClientError):  # the status has been given, and is what counts
        pass
    finally:
        if not content.at_eof():
            response.close()
    return begin
