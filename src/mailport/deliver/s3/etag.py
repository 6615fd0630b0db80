"""PURE. The ETag that says that a store has this content and no other: its MD5, as AWS and most others give it.

What comes back of a PUT need not be the store's answer to it: obstore's HTTP follows a 303, with a GET, to whatever
page there is. A page's ETag is not this content's. Where a key of KMS encrypts, and where parts are put together in
another way, the store's own is not either: then the object is looked at.
"""

from __future__ import annotations

import hashlib


class Etag:
    """Of an object that is written in one piece, or in parts of `part` octets, which go in one after the other."""

    def __init__(self, part: int | None = None) -> None:
        self.octets = 0
        self._part = part
        self._open = _md5()  # of the piece, or of the last part
        self._ended = b""  # the digests of the parts before

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next octets of the content."""
        rest = memoryview(data)
        while rest:
            room = len(rest) if self._part is None else self._part - self.octets % self._part
            self._open.update(rest[:room])
            self.octets += len(rest[:room])
            rest = rest[room:]
            if self._part is not None and self.octets % self._part == 0:
                self._ended, self._open = self._ended + self._open.digest(), _md5()

    def proves(self, tag: str) -> bool:
        """Whether a store that gives this ETag has the content."""
        return plain(tag) == self._expected()

    def _expected(self) -> str:
        if self._part is None:
            return self._open.hexdigest()
        digests = self._ended + (self._open.digest() if self.octets % self._part else b"")
        return f"{_md5(digests).hexdigest()}-{len(digests) // 16}"


def plain(tag: str) -> str:
    """Return an ETag (RFC 9110 §8.8.3) without its quotes, in lower case; a proxy that compresses makes it weak."""
    return tag.removeprefix("W/").strip('"').lower()


def _md5(data: bytes = b"") -> hashlib._Hash:
    return hashlib.md5(data, usedforsecurity=False)
