"""The content of a message, held from its first octet until the message has been answered for.

It is in memory where there is room, else in a file without a name in the scratch folder. How much all messages of this
process hold in either is counted, so that clients can fill neither.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from pathlib import Path
from threading import Lock
from typing import IO

from mailport.message.pieces import at_once, in_threads
from mailport.process.threads import Threads

MEMORY = 64 * 1024 * 1024  # octets that all messages together may hold in memory
MEMORY_OF_ONE = 1024 * 1024  # octets of one message in memory; a larger one is in scratch
PIECE = 256 * 1024  # octets that are written or read at a time
_JOINED = 4096  # octets below which a piece is joined with the one before: a client may send two octets at a time
_INLINE = 64 * 1024  # octets that are hashed at once, where a thread would cost more
_SHARE = 4  # one client holds at most a quarter


class NoSpace(Exception):  # noqa: N818 - the reply's words
    """There is no room for more of this message now (452 4.3.1)."""


class TooLarge(Exception):  # noqa: N818 - the reply's words
    """All of the scratch space could not hold this message (552 5.3.4)."""


class Budget:
    """Octets of one kind of space: how many there are, how many are held, and by which client."""

    __slots__ = ("_of_client", "held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._of_client: dict[Hashable, int] = {}

    def take(self, client: Hashable, octets: int) -> bool:
        """Take octets for a client; False, and nothing taken, where the space or the client's share is used up."""
        mine = self._of_client.get(client, 0) + octets
        if self.held + octets > self.limit or mine * _SHARE > self.limit:
            return False
        self.held += octets
        self._of_client[client] = mine
        return True

    def give_back(self, client: Hashable, octets: int) -> None:
        """Give back what was taken."""
        self.held -= octets
        left = self._of_client.pop(client, 0) - octets
        if left:
            self._of_client[client] = left


class Space:
    """Where the contents of this process's messages are held.

    `scratch` is a folder, the system's for temporary files where it is None. `memory` and `scratch_limit` are octets
    for all messages together; one client (as limits.maxConnectionsPerClient counts clients) holds at most a quarter of
    each.
    """

    def __init__(self, scratch: Path | None = None, scratch_limit: int = 1 << 30, memory: int = MEMORY) -> None:
        self.folder = scratch
        self.memory = Budget(memory)
        self.scratch = Budget(scratch_limit)
        self.threads = Threads(1, 8, "scratch")

    def close(self) -> None:
        """Let the threads go."""
        self.threads.close()


class Content:
    """One message's octets. Lines end in CRLF, stuffed dots are out; nothing else has been changed.

    It is appended to by one task. `chunks` is for threads, everything else for the event loop.
    """

    __slots__ = (
        "_client",
        "_file",
        "_hashed",
        "_in_file",
        "_in_memory",
        "_lock",
        "_pieces",
        "_space",
        "closed",
        "size",
    )

    def __init__(self, space: Space, client: Hashable) -> None:
        self._space = space
        self._client = client
        self._pieces: list[bytes | bytearray] = []  # what follows the file's octets
        self._in_memory = 0
        self._file: IO[bytes] | None = None
        self._in_file = 0
        self._lock = Lock()  # nobody reads a descriptor that has been closed, and may be another file's by now
        self.size = 0  # octets, as RFC 1870 §5 counts them
        self.closed = False
        self._hashed = -1, b""  # the digest of the first so many octets

    @property
    def in_scratch(self) -> bool:
        """Whether some of it is in the scratch folder, and not all in memory."""
        return self._in_file > 0

    @property
    def most(self) -> int:
        """How many octets all of the scratch space could hold."""
        return self._space.scratch.limit

    async def append(self, data: bytes) -> None:
        """Take the next octets.

        Raises NoSpace, TooLarge, or OSError where the scratch folder cannot be written to or the content is closed.
        """
        self._check_open()
        octets = len(data)
        most = PIECE if self._in_file else MEMORY_OF_ONE
        if self._in_memory + octets <= most and self._space.memory.take(self._client, octets):
            self._keep(data)
        else:
            await self._write_out(data)
        self.size += octets

    async def head(self, octets: int) -> bytes | bytearray:
        """Return at least the first `octets`, or all there is. Raises OSError."""
        if self._in_file:
            return await self._space.threads.run(lambda: self._head(octets))
        if len(self._pieces) == 1 or (self._pieces and len(self._pieces[0]) >= octets):
            return self._pieces[0]
        return self._head(octets)

    async def whole(self, start: int = 0) -> bytes:
        """Return all octets from `start` on, of a content that may be in memory whole. Raises OSError."""
        if not self._in_file:
            return b"".join(self.chunks(start))
        return await self._space.threads.run(lambda: b"".join(self.chunks(start)))

    def pieces(self, start: int = 0) -> AsyncIterator[bytes | bytearray]:
        """Yield the octets from `start` on, as often as asked. Raises OSError."""
        chunks = self.chunks(start)
        return in_threads(chunks, self._space.threads) if self._in_file else at_once(chunks)

    def chunks(self, start: int = 0) -> Iterator[bytes | bytearray]:
        """Yield what `pieces` does, blocking: for a thread. Raises OSError, also where the content is closed."""
        in_file, pieces = self._in_file, self._pieces
        self._check_open()  # behind that: `close`, which may come at any moment, changes both
        while start < in_file:
            data = self._read(min(PIECE, in_file - start), start)
            yield data
            start += len(data)
        start -= in_file
        for piece in pieces:
            self._check_open()
            if start < len(piece):
                yield piece[start:] if start else piece
            start = max(start - len(piece), 0)

    def read(self, start: int, stop: int) -> bytes:
        """Return the octets from `start` up to `stop`, blocking: for a thread. Raises OSError, as `chunks` does."""
        in_file, pieces = self._in_file, self._pieces
        self._check_open()  # behind that, as in `chunks`
        found: list[bytes | bytearray] = []
        while start < min(stop, in_file):
            found.append(self._read(min(stop, in_file) - start, start))
            start += len(found[-1])
        at = in_file
        for piece in pieces:
            if start < min(stop, at + len(piece)):
                found.append(piece[start - at : stop - at])
                start += len(found[-1])
            at += len(piece)
        return b"".join(found)

    async def feed(self, take: Callable[[bytes | bytearray], None], start: int = 0) -> None:
        """Hand the octets from `start` on to a function, in a thread where they are many. Raises OSError."""

        def read() -> None:
            for chunk in self.chunks(start):
                take(chunk)

        if self.size - start <= _INLINE and not self._in_file:
            read()
        else:
            await self._space.threads.run(read)

    async def digest(self) -> bytes:
        """Return what tells this content from any other. It is hashed once, however many ask. Raises OSError."""
        self._check_open()
        size, (of, digest) = self.size, self._hashed
        if size != of:
            small = size <= _INLINE and not self._in_file
            digest = self._digest() if small else await self._space.threads.run(self._digest)
            self._hashed = size, digest
        return digest

    def close(self) -> None:
        """Hold nothing any more. Reading in a thread ends with an OSError."""
        if self.closed:
            return
        self.closed = True
        self._release_memory()
        self._release_scratch()

    def _keep(self, data: bytes) -> None:
        pieces = self._pieces
        self._in_memory += len(data)
        if not pieces or len(data) >= _JOINED:
            pieces.append(data)
        elif isinstance(pieces[-1], bytearray) and len(pieces[-1]) < PIECE:
            pieces[-1] += data
        else:
            pieces.append(bytearray(data))

    async def _write_out(self, data: bytes) -> None:
        """Write to scratch what is in memory, and `data` behind it."""
        space, octets = self._space, self._in_memory + len(data)
        if self._in_file + octets > space.scratch.limit:
            raise TooLarge
        if not space.scratch.take(self._client, octets):
            raise NoSpace
        try:
            await space.threads.run(lambda: self._write([*self._pieces, data]))
        finally:
            self._in_file += octets  # counted by what may be there: `close` gives it back
            if self.closed:
                self._release_scratch()
        self._check_open()
        self._release_memory()

    def _write(self, pieces: list[bytes | bytearray]) -> None:
        with self._lock:
            if self.closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._space.folder, buffering=0)  # noqa: SIM115 - see close()
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    written = self._file.write(rest)
                    rest = rest[written:]

    def _head(self, octets: int) -> bytes:
        found, length = [], 0
        for chunk in self.chunks():
            found.append(chunk)
            length += len(chunk)
            if length >= octets:
                break
        return b"".join(found)

    def _read(self, octets: int, offset: int) -> bytes:
        with self._lock:
            if self._file is None:  # closed meanwhile
                raise OSError("the message is over")
            data = os.pread(self._file.fileno(), octets, offset)
        if not data:
            raise OSError("the scratch file is shorter than what was written to it")
        return data

    def _digest(self) -> bytes:
        hashed = hashlib.blake2b(digest_size=32)
        for chunk in self.chunks():
            hashed.update(chunk)
        return hashed.digest()

    def _close_file(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _check_open(self) -> None:
        if self.closed:
            raise OSError("the message is over")

    def _release_scratch(self) -> None:
        if self._in_file:
            self._space.scratch.give_back(self._client, self._in_file)  # at once: the next message may count on it
            self._in_file = 0
            self._space.threads.run(self._close_file)  # freeing what a file holds may take a while

    def _release_memory(self) -> None:
        self._pieces = []
        if self._in_memory:
            self._space.memory.give_back(self._client, self._in_memory)
            self._in_memory = 0
