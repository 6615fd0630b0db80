"""TLS between a connection and a session: records in, octets out. No socket and no clock is in here.

It stands in place of the event loop's own TLS, where the loop does the handshake: a millisecond of arithmetic, in which
no other session gets its turn. OpenSSL lets go of the interpreter's lock meanwhile, so threads do it here.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress

from mailport.process.threads import Threads

THREADS = max(1, min(os.cpu_count() or 1, 4))
MOST_WAITING = 256  # steps of handshakes that wait for a thread: some 0.3 s of one core
_RETRY = 256  # octets that a HelloRetryRequest has at most (RFC 8446 §4.1.4); what has a certificate in it has more
_RECORD = 16 * 1024  # octets of plaintext that a record has at most (RFC 8446 §5.1)
_HEADER = 5  # octets of a record: type, version, length (RFC 8446 §5.1)
# Records without data, in all and for each record with data. A KeyUpdate costs as much as a command, is answered, and
# carries nothing; OpenSSL takes any number of them. Some TLS 1.2 clients send an empty record before each other one.
_EMPTY, _EMPTY_OF_EACH = 1024, 2


class Handshakes:
    """Threads for the arithmetic of handshakes, and how many of these wait."""

    def __init__(self) -> None:
        self._threads = Threads(THREADS, THREADS, "tls")
        self._waiting = 0

    @property
    def full(self) -> bool:
        """Whether so many wait that another client is better told to come again."""
        return self._waiting >= MOST_WAITING

    async def step(self, layer: TlsLayer) -> bool:
        """Go on with a handshake as far as its records allow; return whether it is done. Raises OSError (SSLError).

        What follows on our signature takes a twentieth of the time, less than a thread costs.
        """
        if layer.signed:
            return layer.handshake()
        self._waiting += 1
        try:
            return await self._threads.run_if_awaited(layer.handshake)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads go."""
        self._threads.close()


class TlsLayer:
    """The server's side of one TLS connection."""

    __slots__ = ("_empty", "_header", "_incoming", "_outgoing", "_rest", "closed", "connection", "signed")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.connection = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.signed = False  # our certificate has been sent, with a signature
        self.closed = False  # the peer has said that nothing more will come (close_notify, RFC 8446 §6.1)
        self._header, self._rest = b"", 0  # what has come of a record's header; the octets still to come of a record
        self._empty = 0  # records without data, beyond those allowed for the ones with data

    def add(self, records: bytes | memoryview) -> None:
        """Take what arrived. Not while a thread is at the handshake."""
        self._incoming.write(records)

    def decrypt(self, records: bytes) -> bytes:
        """Take what arrived behind the handshake, and return the data in it.

        Raises SSLError; also where a peer sends many records without data, such as KeyUpdates.
        """
        pieces = []
        view = memoryview(self._incoming.read() + records)  # behind the handshake's last record, others may wait
        for start in range(0, len(view), _RECORD):
            piece = view[start : start + _RECORD]
            self._empty += self._begun_in(piece)
            self.add(piece)
            pieces.append(self.read())
            if self._empty > _EMPTY:
                raise ssl.SSLError("too many records without data")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _begun_in(self, piece: memoryview) -> int:
        """Count the records whose header ends in a piece."""
        records = memoryview(self._header + piece) if self._header else piece
        at, count = self._rest, 0
        while at + _HEADER <= len(records):
            at += _HEADER + int.from_bytes(records[at + 3 : at + _HEADER], "big")
            count += 1
        self._header = bytes(records[at:])
        self._rest = max(0, at - len(records))
        return count

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises SSLError. For a thread, until it is `signed`."""
        try:
            self.connection.do_handshake()
        except ssl.SSLWantReadError:
            self.signed = self.signed or self._outgoing.pending > _RETRY
            return False
        return True

    def read(self) -> bytes:
        """Return the octets of all records that are whole. Raises SSLError."""
        pieces = []
        with suppress(ssl.SSLWantReadError):  # the last record is not whole yet
            # Where there is nothing more it would say so by an exception, which costs more than a short record
            while self._incoming.pending and not self.closed:
                if piece := self._read_record():
                    pieces.append(piece)
                    self._empty = max(0, self._empty - 1 - _EMPTY_OF_EACH)
                else:
                    self.closed = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_record(self) -> bytes:
        try:
            return self.connection.read(_RECORD)
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, data: bytes) -> None:
        """Put octets into records; drop them where the connection has failed, as it can carry none any more."""
        with suppress(ssl.SSLError):
            self.connection.write(data)

    def close(self) -> None:
        """Say that nothing more will come from us."""
        with suppress(ssl.SSLError):  # that the peer has not said so yet; or the connection has failed
            self.connection.unwrap()

    def records(self) -> bytes:
        """Return what is to be sent, if there is anything."""
        return self._outgoing.read()
