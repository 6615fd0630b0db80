"""One connection outward: octets out, octets in, TLS at any time between."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import cast

MOST_UNREAD = 64 * 1024  # octets; no more is taken from the network until somebody reads
TLS_SECONDS = 30.0
CLOSE_SECONDS = 1.0


class ConnectionLost(OSError):  # noqa: N818 - what became of it
    """The other side has hung up, or the network has."""


class TlsFailed(ConnectionLost):
    """No TLS came about: the certificate is not one that is trusted for this name, or the other side speaks none."""


class Connection(asyncio.Protocol):
    """A connection, for one task at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._ended = False  # nothing more will come in
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._may_write = True
        self._gone = asyncio.Event()

    # What tasks call.

    @property
    def quiet(self) -> bool:
        """Whether nobody has hung up, and nothing came in that has not been read."""
        return self._transport is not None and not self._ended and not self._unread and not self._transport.is_closing()

    @property
    def closing(self) -> bool:
        """Whether it has been closed, by us or by the other side, though what is to be sent may not be out yet."""
        return self._transport is not None and self._transport.is_closing()

    @property
    def unread(self) -> bool:
        """Whether something came in that nobody has read yet."""
        return bool(self._unread)

    @property
    def encrypted(self) -> bool:
        """Whether TLS is in use."""
        return self._transport is not None and self._transport.get_extra_info("ssl_object") is not None

    async def read(self) -> bytes:
        """Return what came in, at least one octet. Raises ConnectionLost where no more will come."""
        while not self._unread:
            if self._ended:
                raise self._lost()
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        octets = bytes(self._unread)
        self._unread.clear()
        if self._transport is not None:
            self._transport.resume_reading()
        return octets

    async def write(self, octets: bytes | bytearray) -> None:
        """Send octets; wait while the other side takes none. Raises ConnectionLost."""
        if self._ended or self._transport is None or self._transport.is_closing():
            raise self._lost()
        self._transport.write(octets)
        while not self._may_write:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            if self._ended:
                raise self._lost()

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Go on encrypted. Raises TlsFailed, also where something came in clear behind the other side's consent.

        What is in the buffer now came before the handshake, from whoever: it would be read as if it were protected.
        """
        if not self.quiet:
            raise TlsFailed("octets in clear before the handshake")
        assert self._transport is not None  # noqa: S101 - for mypy: it is quiet
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                self._transport, self, context, server_hostname=server_name, ssl_handshake_timeout=TLS_SECONDS
            )
        except BaseException as error:
            self.abort()
            self.connection_lost(None)  # the event loop does not say so of a handshake that came to nothing
            if isinstance(error, OSError | ssl.CertificateError):
                raise tls_failed(error) from error
            raise
        if transport is None:
            self.connection_lost(None)
            raise TlsFailed("the connection was lost in the handshake")
        self._transport = transport

    def close(self, last: bytes = b"") -> None:
        """Send something last, and close when all has been sent; nobody waits for it."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(last)
            self._transport.close()

    async def ended(self) -> None:
        """Wait until it is closed, behind `close`; TLS has a last word to exchange, for which there is a second."""
        if not await self._has_gone():
            self.abort()
            await self._has_gone()

    def abort(self) -> None:
        """Close at once: what has not been sent is dropped."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, and not by inheritance

    def data_received(self, data: bytes) -> None:
        """Keep what came in."""
        self._unread += data
        if len(self._unread) > MOST_UNREAD and self._transport is not None:
            self._transport.pause_reading()
        self._wake(self._reader)

    def eof_received(self) -> bool:
        """Nothing more comes in; nobody writes to who has hung up."""
        self._ended = True
        self._wake(self._reader)
        self._wake(self._writer)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes in or goes out."""
        self._ended, self._error, self._may_write = True, exc, True
        self._gone.set()
        self._wake(self._reader)
        self._wake(self._writer)

    def pause_writing(self) -> None:
        """Wait with more: the other side is slower than we are."""
        self._may_write = False

    def resume_writing(self) -> None:
        """Go on."""
        self._may_write = True
        self._wake(self._writer)

    async def _has_gone(self) -> bool:
        """Wait a while for the end, and return whether it has come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), CLOSE_SECONDS)
        return self._gone.is_set()

    def _lost(self) -> ConnectionLost:
        if isinstance(self._error, ssl.SSLError):
            return tls_failed(self._error)
        return ConnectionLost(
            f"connection lost: {self._error}" if self._error else "the other side closed the connection"
        )

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def tls_failed(error: Exception) -> TlsFailed:
    """Say in one line why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailed(f"TLS: the certificate is not accepted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return TlsFailed(f"TLS: {error.reason or error}")
    return TlsFailed(f"TLS: {error}" if str(error) else "TLS: the handshake did not come to its end")
