"""PURE. A body's hash as signatures have it (RFC 6376 §3.4.3, §3.4.4), fed in pieces, wherever they are cut.

Both forms leave out the empty lines at the end, and `relaxed` writes white space as one space, or as none at the end of
a line. So what a piece ends in waits until it is known what follows. A piece that `relaxed` would not change is found
by three searches, and hashed as it is: nothing is done octet by octet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_CRLFS = b"\r\n" * 4096
_TABS = bytes.maketrans(b"\t", b" ")


class BodyHash:
    """The SHA-256 of one canonical form of a body. Every CR of the body is followed by its LF."""

    def __init__(self, *, relaxed: bool) -> None:
        self._relaxed = relaxed
        self._waiting = b" \t\r\n" if relaxed else b"\r\n"  # octets that may not count
        self._hash = hashlib.sha256()
        self._any = False  # something has been hashed
        self._lines = 0  # ends of lines that wait
        self._rest = b""  # what waits behind them: white space, or a CR

    def update(self, piece: bytes | bytearray) -> None:
        """Take the next octets."""
        data = self._rest + piece if self._rest else piece
        core = data.rstrip(self._waiting)
        if core:
            self._write_lines()
            self._hash.update(_relaxed(core) if self._relaxed else core)
            self._any = True
        tail = data[len(core) :]
        ends, rest = tail.count(b"\n"), tail[tail.rfind(b"\n") + 1 :]
        self._lines += ends
        cr = rest[-1:] == b"\r"
        white = rest[:-1] if cr else rest
        self._rest = (b" " if white else b"") + (b"\r" if cr else b"")

    def digest(self) -> bytes:
        """Return the hash of what came. An empty body is a CRLF where it is simple, and nothing where relaxed."""
        whole = self._hash.copy()
        if self._any or not self._relaxed:
            whole.update(b"\r\n")
        return whole.digest()

    def _write_lines(self) -> None:
        while self._lines > 0:
            lines = min(self._lines, len(_CRLFS) // 2)
            self._hash.update(_CRLFS[: 2 * lines])
            self._lines -= lines


def _relaxed(core: bytes | bytearray) -> bytes | bytearray:
    """Write white space as one space, or none in front of a CRLF. `core` does not end in white space."""
    if b"\t" in core:
        core = core.translate(_TABS)
    while b"  " in core:
        core = core.replace(b"  ", b" ")
    return core.replace(b" \r\n", b"\r\n") if b" \r\n" in core else core


class BodyHashes:
    """The hashes of a body in all the forms that its signatures ask for, made in one pass."""

    def __init__(self, forms: Iterable[bool]) -> None:
        """`forms`: for each, whether it is relaxed."""
        self._hashes = {relaxed: BodyHash(relaxed=relaxed) for relaxed in set(forms)}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._hashes)

    def update(self, piece: bytes | bytearray) -> None:
        """Take the next octets of the body."""
        for one in self._hashes.values():
            one.update(piece)

    def digest(self, *, relaxed: bool) -> bytes:
        """Return the hash of the whole body in one of the forms."""
        return self._hashes[relaxed].digest()
