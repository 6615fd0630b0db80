"""Messages that were taken in part: what has been delivered of them, and so is skipped when the sender tries again.

A sender repeats the whole message after a 4yz, to recipients that have it already too. The memory is bounded and this
process's own: in the worst case somebody gets a message twice, and nobody never.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from typing import IO

from mailport.address import Address

KEPT_SECONDS = 6 * 3600.0  # senders try again after minutes at first, and then within hours (RFC 5321 §4.5.4.1)
_MOST = 10_000  # pairs of sender and recipient
_PIECE = 256 * 1024

_Pair = tuple[str, str]


class Delivered:
    """Who has got which message, by sender and recipient."""

    def __init__(self) -> None:
        self._digests: OrderedDict[_Pair, dict[bytes, float]] = OrderedDict()  # digest -> when it is forgotten

    def remember(self, sender: Address | None, recipients: Iterable[Address], digest: bytes, now: float) -> None:
        """Note that these have the message."""
        for recipient in recipients:
            pair = _pair(sender, recipient)
            self._digests.setdefault(pair, {})[digest] = now + KEPT_SECONDS
            self._digests.move_to_end(pair)
        while len(self._digests) > _MOST:
            self._digests.popitem(last=False)

    def may_have(self, sender: Address | None, recipients: Iterable[Address], now: float) -> bool:
        """Whether one of these got some message of this sender in such a way; which one, its content tells."""
        return bool(self._digests) and any(self._of(_pair(sender, recipient), now) for recipient in recipients)

    def has(self, sender: Address | None, recipient: Address, digest: bytes, now: float) -> bool:
        """Whether this one has the message."""
        return digest in self._of(_pair(sender, recipient), now)

    def _of(self, pair: _Pair, now: float) -> dict[bytes, float]:
        digests = self._digests.get(pair)
        if digests is None:
            return {}
        for digest in [digest for digest, until in digests.items() if until <= now]:
            del digests[digest]
        if not digests:
            del self._digests[pair]
        return digests


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
            await asyncio.to_thread(self._file.close)
            self._file = None
