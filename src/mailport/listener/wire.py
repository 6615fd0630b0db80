"""One connection's octets: read by line or by piece, written in batches, with a deadline.

What it has and StreamReader and StreamWriter have not: the replies to pipelined commands are sent in one segment (RFC
2920 §3.2), single octets do not move the deadline, what has arrived can be looked at before it is read, and TLS does
not hold up the event loop (tls_layer.py).
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import cast

from mailport.listener.tls_layer import Handshakes, TlsLayer

HIGH_WATER = 16 * 1024  # octets held unread, from which on no more are read; a single read is up to 256 KiB

_START = 64  # octets that are kept of a line that is too long: enough to know the command

CLOSE_SECONDS = 5.0  # for a peer to take what is left, or to answer TLS's close_notify


class LineTooLong(Exception):  # noqa: N818 - says what is wrong
    """A line was longer than the limit. It was read to its end and dropped, but for its first octets, `start`."""

    def __init__(self, start: bytes) -> None:
        super().__init__()
        self.start = start


class Closed(Exception):  # noqa: N818 - a state, not an error
    """The peer has closed the connection, or its own side of it."""


class TimedOut(Exception):  # noqa: N818 - a state, not an error
    """The deadline passed before what was waited for had arrived."""


class Wire(asyncio.Protocol):
    """The transport's protocol. Its coroutines are for the one session that owns it."""

    __slots__ = (
        "_closed",
        "_closing",
        "_deadline",
        "_drained",
        "_eof",
        "_gone",
        "_handshaking",
        "_loop",
        "_out",
        "_paused",
        "_pending",
        "_pos",
        "_skipped",
        "_timer",
        "_tls",
        "_waiter",
        "tls_fault",
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
        self._gone: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._skipped = b""  # the first octets of a line that is being dropped
        self._eof = self._closed = self._closing = self._paused = False
        self._tls: TlsLayer | None = None
        self.tls_fault = ""  # why TLS has failed behind the handshake
        self._handshaking = False  # then what is pending are records

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep what arrived, and wake the session where it waits."""
        if self._tls is not None and not self._handshaking:
            data = self._decrypted(self._tls, data)
            if not data:
                return
        if self._pos >= len(self._pending):
            self._pending = data
        else:
            self._pending = self._pending[self._pos :] + data
        self._pos = 0
        self._wake()
        # Also where the session does not wait: libuv reads many pieces before the session gets its turn.
        if len(self._pending) > HIGH_WATER and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def _decrypted(self, tls: TlsLayer, records: bytes) -> bytes:
        try:
            data = tls.decrypt(records)
        except ssl.SSLError as error:  # nobody can say any more what the peer means
            data, tls.closed = b"", True
            self.tls_fault = str(error)
            if self.transport is not None:
                self.transport.pause_reading()
        self._send_records(tls)  # an alert, or the answer to a KeyUpdate (RFC 8446 §4.6.3)
        if self._closing:  # all that we wait for is that the peer closes
            data = b""
            if tls.closed and self.transport is not None:
                self.transport.close()
        elif tls.closed:
            self._eof = True
            if not data:
                self._wake()
        return data

    def eof_received(self) -> bool:
        """Keep the writing side open, for the replies to what came before: so may TLS be closed (RFC 8446 §6.1)."""
        self._eof = True
        self._wake()
        return not (self._handshaking or self._closing)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End every wait."""
        self._eof = self._closed = True
        self._wake()
        for waiting in (self._drained, self._gone):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """The peer does not read our replies: the next flush waits."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """The peer reads again."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # Reading.

    @property
    def pending(self) -> bool:
        """Whether octets have arrived and are unread."""
        return self._pos < len(self._pending)

    def ahead(self, most: int) -> bytes:
        """Return the first of the octets that have arrived and are unread, `most` at most. They stay unread."""
        return self._pending[self._pos : self._pos + most]

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
        # One timer for the connection, not one for each command: when it fires, the deadline may be a later one.
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
            if unread > limit:  # dropped as it comes, as it may be of any length
                self._skipped = self._skipped or self._pending[self._pos : self._pos + _START]
                self._pos = len(self._pending)
                unread = 0
            await self._more()
            start = self._pos + unread
        line = self._pending[self._pos : end + 1]
        self._pos = end + 1
        if self._pos == len(self._pending):  # an idle session holds no buffer
            self._pending, self._pos = b"", 0
        if self._skipped or len(line) > limit:
            beginning, self._skipped = self._skipped or line[:_START], b""
            raise LineTooLong(beginning)
        return line

    async def read(self, most: int = 0) -> bytes:
        """Return what has arrived, one octet at least, `most` at most where that is given. Raises Closed, TimedOut."""
        if self._pos >= len(self._pending):
            await self._more()
        if 0 < most < len(self._pending) - self._pos:  # there may be many small chunks, so the rest is not copied
            self._pos += most
            return self._pending[self._pos - most : self._pos]
        data = self._pending[self._pos :] if self._pos else self._pending
        self._pending, self._pos = b"", 0
        return data

    def unread(self, data: bytes) -> None:
        """Put back the end of what `read` returned."""
        if data:
            self._pending, self._pos = data + self._pending[self._pos :], 0

    def _forget(self) -> None:
        """Drop what has arrived and is unread."""
        self._pending, self._pos = b"", 0

    async def _more(self) -> None:
        """Send what is queued, then wait until something arrives."""
        before = len(self._pending) - self._pos
        if self._out and self._drained is None:
            # After all sessions have had this turn of the event loop: one wake-up of the peer, not one for each reply.
            self._loop.call_soon(self.send)
        elif self._out:
            self.send()
            if self._drained is not None:
                await self._drained
                if len(self._pending) - self._pos != before:  # something arrived meanwhile
                    return
        if self._eof:
            raise Closed
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        if self._timer is None and self._deadline:  # it fired while the session did not wait
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
            self.abort()  # the peer does not read our replies, so it would not read a last one
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
        """Queue a reply. It is sent when the session waits for the client, or by `flush`, `send` or `send_soon`."""
        self._out.append(data)

    async def flush(self) -> None:
        """Send what is queued, and wait while the peer does not read."""
        self.send()
        if self._drained is not None:
            await self._drained

    def send(self) -> None:
        """Send what is queued, without waiting."""
        if self._out and not self._closed and self.transport is not None:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            if self._tls is None:
                self.transport.write(data)
            elif not self._handshaking:
                self._tls.write(data)
                self._send_records(self._tls)
        self._out.clear()

    def send_soon(self) -> None:
        """Send what is queued when the session next waits, for whatever that is."""
        if self._out:
            self._loop.call_soon(self.send)

    def _send_records(self, tls: TlsLayer) -> None:
        if (records := tls.records()) and not self._closed and self.transport is not None:
            self.transport.write(records)

    # TLS, and the end.

    @property
    def encrypted(self) -> bool:
        """Whether the connection speaks TLS."""
        return self._tls is not None

    @property
    def tls_connection(self) -> ssl.SSLObject | None:
        """The TLS connection, for its version and cipher."""
        return self._tls.connection if self._tls is not None else None

    def expect_tls(self, context: ssl.SSLContext) -> None:
        """Take what arrives from now on for a handshake. What has arrived in clear is dropped (RFC 3207 §5)."""
        self.send()
        self._forget()
        self._tls, self._handshaking = TlsLayer(context), True

    async def handshake(self, handshakes: Handshakes, seconds: float) -> None:
        """Do the TLS handshake, as the server, after `expect_tls`. The wire is closed where it fails.

        Raises ssl.SSLError, TimeoutError, or another OSError where the peer has left.
        """
        tls = self._tls
        assert tls is not None  # noqa: S101 - for mypy
        self.set_deadline(0)
        done = False
        try:
            async with asyncio.timeout(seconds):
                while not done:
                    tls.add(await self.read())
                    done = await handshakes.step(tls)
                    self._send_records(tls)
        except ssl.SSLError:
            self._send_records(tls)  # an alert that says why
            if self.transport is not None:
                self.transport.close()
            raise
        except Closed as error:
            self.abort()
            raise ConnectionResetError("the client left during the handshake") from error
        except BaseException:
            self.abort()  # a thread may be at the layer, which is not to be touched
            raise
        arrived, self._handshaking = self._pending[self._pos :], False
        self._forget()
        self.data_received(arrived)  # what the client has sent behind its Finished

    def finish_writing(self) -> None:
        """Send what is queued and close the writing side, so that the peer reads it all."""
        self.send()
        self._send_close_notify()
        if self.transport is not None and not self._closed and self.transport.can_write_eof():
            with suppress(OSError):  # the peer has reset the connection; connection_lost follows
                self.transport.write_eof()

    def _send_close_notify(self) -> None:
        if self._tls is not None and not self._handshaking:
            self._tls.close()
            self._send_records(self._tls)

    async def linger(self, seconds: float) -> None:
        """Close the writing side, and wait so long until the peer has closed its own: it has read the last reply."""
        self.finish_writing()
        self.set_deadline(seconds)
        try:
            while True:
                await self.read()
        except (Closed, TimedOut):
            pass

    def close(self) -> None:
        """Send what is queued and close; `wait_closed` tells when that is done."""
        self.send()
        if self.transport is None or self._closed:
            return
        if self._tls is None or self._handshaking or self._eof:
            self._send_close_notify()
            self.transport.close()
        elif not self._closing:  # a socket that is closed before the peer's close_notify comes resets the connection
            self._closing = True
            self.finish_writing()
            self._forget()
            if self._paused:
                self._paused = False
                self.transport.resume_reading()

    async def wait_closed(self, seconds: float) -> None:
        """Wait until the connection is closed. A peer that does not take what is left for it is cut off in time."""
        if self.transport is None or self._closed:
            return
        timer = self._loop.call_later(seconds, self.abort)
        gone = self._gone = self._loop.create_future()
        cancelled: asyncio.CancelledError | None = None
        try:
            await gone
        except asyncio.CancelledError as error:
            cancelled = error
        finally:
            timer.cancel()
        if cancelled is not None:
            self.abort()
            if not self._closed:
                self._gone = self._loop.create_future()
                await self._gone  # a few turns of the event loop, which must not end with an open transport
            raise cancelled

    def abort(self) -> None:
        """Close at once."""
        self._out.clear()
        if self.transport is not None and not self._closed:  # asyncio's transport fails where it is closed already
            self.transport.abort()
