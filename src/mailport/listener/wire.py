"""One connection's bytes: read by line or by piece, written in batches, timed.

Has what a StreamReader and StreamWriter lack: replies to pipelined commands go out in one segment (RFC 2920 §3.2), a
deadline that bytes trickling in do not move, what is already there can be looked at, and TLS can be started under it on
any event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import cast

HIGH_WATER = 16 * 1024  # octets held unread before the peer is made to wait; the loop hands over up to 256 KiB at once

_START = 64  # octets of a line that is too long, which tell whose it was

CLOSE_SECONDS = 5.0  # for a peer to take what is left, or to answer TLS's farewell


class LineTooLong(Exception):  # noqa: N818 - it is the line that errs
    """A line was longer than the limit; it has been read to its end and dropped, but for its first octets: `start`."""

    def __init__(self, start: bytes) -> None:
        super().__init__()
        self.start = start


class Closed(Exception):  # noqa: N818 - a state, not an error: clients leave
    """The peer is gone, or has nothing more to say."""


class TimedOut(Exception):  # noqa: N818 - a state, not an error: clients fall asleep
    """The deadline passed before what was waited for was there."""


class Wire(asyncio.Protocol):
    """The transport's protocol. All coroutines are the one session's that owns it."""

    __slots__ = (
        "_closed",
        "_deadline",
        "_drained",
        "_eof",
        "_loop",
        "_out",
        "_paused",
        "_pending",
        "_pos",
        "_skipped",
        "_timer",
        "_waiter",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self._pending = b""
        self._pos = 0
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._skipped = b""  # the first octets of a line that is being dropped
        self._eof = self._closed = self._paused = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: not called again when TLS is started."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep what came; a session that waits wakes up."""
        if self._pos >= len(self._pending):
            self._pending = data
        else:
            self._pending = self._pending[self._pos :] + data
        self._pos = 0
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        # Also with the session awake: libuv hands over many pieces before it gets its turn.
        if len(self._pending) > HIGH_WATER and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep the writing side open in clear, for the replies to what was sent before (TLS has no half-close)."""
        self._eof = True
        self._wake()
        return not self.encrypted

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End every wait."""
        self._eof = self._closed = True
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """The peer does not read: the next flush waits."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """The peer reads again."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # Reading.

    @property
    def pending(self) -> bool:
        """Whether octets have arrived that nobody has read."""
        return self._pos < len(self._pending)

    @property
    def line_pending(self) -> bool:
        """Whether a whole line has arrived that nobody has read."""
        return self._pending.find(b"\n", self._pos) >= 0

    @property
    def waiting(self) -> bool:
        """Whether the session waits for octets now."""
        return self._waiter is not None

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._closed

    def set_deadline(self, seconds: float) -> None:
        """End every later wait for octets `seconds` from now with TimedOut; 0 is no limit."""
        if not seconds:
            self._deadline = 0.0
            return
        self._deadline = self._loop.time() + seconds
        # One timer a connection, not one a command: it looks when it fires whether the deadline has moved on.
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    async def readline(self, limit: int) -> bytes:
        """Return the next line with its LF. Raises LineTooLong past `limit` octets, Closed, TimedOut."""
        start = self._pos
        while (end := self._pending.find(b"\n", start)) < 0:
            unread = len(self._pending) - self._pos
            if unread > limit:  # drop it as it comes: its length is the client's choice
                self._skipped = self._skipped or self._pending[self._pos : self._pos + _START]
                self._pos = len(self._pending)
                unread = 0
            await self._more()
            start = self._pos + unread
        line = self._pending[self._pos : end + 1]
        self._pos = end + 1
        if self._pos == len(self._pending):  # an idle session keeps nothing
            self._pending, self._pos = b"", 0
        if self._skipped or len(line) > limit:
            beginning, self._skipped = self._skipped or line[:_START], b""
            raise LineTooLong(beginning)
        return line

    async def read(self, most: int = 0) -> bytes:
        """Return what is there, at least one octet, at most `most` where that is given. Raises Closed, TimedOut."""
        if self._pos >= len(self._pending):
            await self._more()
        if 0 < most < len(self._pending) - self._pos:  # many small chunks may be there: what is left is not moved
            self._pos += most
            return self._pending[self._pos - most : self._pos]
        data = self._pending[self._pos :] if self._pos else self._pending
        self._pending, self._pos = b"", 0
        return data

    def unread(self, data: bytes) -> None:
        """Put back the end of what `read` returned."""
        if data:
            self._pending, self._pos = data + self._pending[self._pos :], 0

    def forget(self) -> None:
        """Drop what arrived in clear, before TLS (RFC 3207 §5)."""
        self._pending, self._pos = b"", 0

    async def _more(self) -> None:
        """Send what waits to be sent, then wait until something arrives."""
        before = len(self._pending) - self._pos
        if self._out and self._drained is None:
            # When all sessions have had this turn of the loop: the other side is then woken once, not for each reply.
            self._loop.call_soon(self.send)
        elif self._out:
            self.send()
            if self._drained is not None:
                await self._drained
                if len(self._pending) - self._pos != before:  # it came while we waited to be read
                    return
        if self._eof:
            raise Closed
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        if self._timer is None and self._deadline:  # it fired while nobody waited
            if self._deadline <= self._loop.time():
                raise TimedOut
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if len(self._pending) - self._pos == before:
            if self._eof:
                raise Closed
            raise TimedOut

    def _on_timer(self) -> None:
        self._timer = None
        if not self._deadline:
            return
        if self._deadline > self._loop.time():
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self._drained is not None and not self._drained.done():
            self.abort()  # it does not even read our replies
        else:
            self._wake()

    def interrupt(self) -> None:
        """End the wait for octets, if there is one, with TimedOut."""
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Writing.

    def write(self, data: bytes) -> None:
        """Queue a reply; it goes out when the session waits for the client, or with `flush`."""
        self._out.append(data)

    async def flush(self) -> None:
        """Send what is queued, and wait where the peer does not read."""
        self.send()
        if self._drained is not None:
            await self._drained

    def send(self) -> None:
        """Send what is queued, without waiting."""
        if self._out and not self._closed and self.transport is not None:
            self.transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()

    # TLS, and the end.

    @property
    def encrypted(self) -> bool:
        """Whether the connection speaks TLS."""
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is not None

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS connection, for its version and cipher."""
        return self.transport.get_extra_info("ssl_object") if self.transport is not None else None

    async def start_tls(self, context: ssl.SSLContext, handshake_timeout: float) -> None:
        """Shake hands. Raises ssl.SSLError, OSError or TimeoutError."""
        await self.flush()
        self.forget()
        if self.transport is None or self._closed:
            raise ConnectionResetError
        try:
            transport = await self._loop.start_tls(
                self.transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=handshake_timeout,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except BaseException:
            self.abort()
            self.connection_lost(None)  # asyncio does not tell those whose handshake failed
            raise
        if transport is None:
            raise ConnectionResetError
        self.transport = transport

    def finish_writing(self) -> None:
        """Send what is queued and close the writing side, so that the peer reads it all."""
        self.send()
        if self.transport is not None and not self._closed and self.transport.can_write_eof():
            with suppress(OSError):  # the peer has reset it, and we are told in a moment
                self.transport.write_eof()

    def close(self) -> None:
        """Send what is queued and close; a peer that does not read it is cut off after CLOSE_SECONDS."""
        self.send()
        if self.transport is not None and not self._closed:
            unsent = self.transport.get_write_buffer_size()  # asked first: asyncio's TLS forgets it as it closes
            self.transport.close()
            if unsent:
                self._loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def abort(self) -> None:
        """Close at once."""
        self._out.clear()
        if self.transport is not None:
            self.transport.abort()
