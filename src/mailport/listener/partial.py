"""Messages that were taken in part: what has been delivered of them, and so is skipped when the sender tries again.

A sender repeats the whole message after a 4yz, to recipients that have it already too. The memory is bounded and this
process's own: in the worst case somebody gets a message twice, and nobody never.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import IO

from mailport.address import Address

KEPT_SECONDS = 6 * 3600.0  # senders try again after minutes at first, and then within hours (RFC 5321 §4.5.4.1)
_MOST = 10_000  # some 3 MiB
_PIECE = 256 * 1024

_Pair = tuple[str, str]


class Delivered:
    """Who has got which message, by sender, recipient and content. The oldest go first, in hours or when it is full."""

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[_Pair, bytes], float] = OrderedDict()  # in the order in which they are forgotten
        self._pairs: Counter[_Pair] = Counter()

    def remember(self, sender: Address | None, recipients: Iterable[Address], digest: bytes, now: float) -> None:
        """Note that these have the message."""
        for recipient in recipients:
            pair = _pair(sender, recipient)
            if (pair, digest) not in self._until:
                self._pairs[pair] += 1
            self._until[pair, digest] = now + KEPT_SECONDS
            self._until.move_to_end((pair, digest))
        while len(self._until) > _MOST:
            self._forget_first()

    def may_have(self, sender: Address | None, recipients: Iterable[Address], now: float) -> bool:
        """Whether one of these got some message of this sender in such a way; which one, its content tells."""
        while self._until and next(iter(self._until.values())) <= now:
            self._forget_first()
        return bool(self._pairs) and any(_pair(sender, recipient) in self._pairs for recipient in recipients)

    def has(self, sender: Address | None, recipient: Address, digest: bytes, now: float) -> bool:
        """Whether this one has the message."""
        return self._until.get((_pair(sender, recipient), digest), now) > now

    def _forget_first(self) -> None:
        (pair, _), _ = self._until.popitem(last=False)
        self._pairs[pair] -= 1
        if not self._pairs[pair]:
            del self._pairs[pair]


def _pair(sender: Address | None, recipient: Address) -> _Pair:
    return (sender.key if sender is not None else "", recipient.key)


class Digest:
    """What tells one content from another, as it passes."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)

    def feed(self, content: bytes) -> None:
        """Take a piece."""
        self._hash.update(content)

    def value(self) -> bytes:
        """Return it for all that was fed."""
        return self._hash.digest()


class Scratch:
    """Content set aside in a file that has no name, until it is known who needs it. A full disk is an OSError."""

    __slots__ = ("_file",)

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    async def write(self, content: bytes) -> None:
        """Set a piece aside."""
        await asyncio.to_thread(self._write, content)

    def _write(self, content: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._file.write(content)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield it all again."""
        if self._file is None:
            return
        await asyncio.to_thread(self._file.seek, 0)
        while piece := await asyncio.to_thread(self._file.read, _PIECE):
            yield piece

    async def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):  # what could not be written has been noticed before
                await asyncio.to_thread(file.close)
