"""PURE. The bytes of DATA and BDAT -> the content of a message (RFC 5321 §4.1.1.4, §4.5.2; RFC 3030 §2).

Pieces come in as the network cut them and go out without a copy where nothing had to be changed. Whatever the cuts, the
same octets come out: tests/listener/test_framing.py cuts every message everywhere.
"""

from __future__ import annotations

import re
from io import IncrementalNewlineDecoder

END = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_CLEAN = (None, "\r\n")
_CRS = re.compile(rb"\r++\n?+")  # what is left of them when CRLF has become LF
_MAX_RUN = 32 * 1024  # CRs before an LF that are one line's end with it; those before them are line ends of their own


class DotStuffed:
    """DATA: finds the end, which is CRLF.CRLF and nothing else, and takes the stuffed dots out.

    A lone LF or CR before or behind the dot does not end a message: a server that thinks so can be made to see a second
    message where the sending server saw one ("SMTP smuggling").
    """

    __slots__ = ("_fresh", "_held")

    def __init__(self) -> None:
        self._held = b"\r\n"  # the CRLF of the DATA command counts: a message may be `.CRLF` alone
        self._fresh = True  # … and is not part of the content

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take what arrived; return (content, rest): rest is what follows the end, None while there is none."""
        if self._held:
            data = self._held + data
        rest: bytes | None = None
        last = _last_stuffed(data, len(data))
        if last < 0:
            self._held = _tail_that_may_begin_the_end(data)
            content = data[: len(data) - len(self._held)]
        elif data.startswith(END, last) and _last_stuffed(data, last + 2) < 0:
            self._held = b""
            content, rest = data[: last + 2], data[last + len(END) :]
        elif (end := data.find(END)) < 0:
            self._held = _tail_that_may_begin_the_end(data)
            content = data[: len(data) - len(self._held)].replace(_STUFFED, b"\r\n")
        else:
            self._held = b""
            content, rest = data[: end + 2].replace(_STUFFED, b"\r\n"), data[end + len(END) :]
        if self._fresh and content:
            self._fresh = False
            content = content[2:]
        return content, rest


def _last_stuffed(data: bytes, end: int) -> int:
    """Return where the last CRLF and dot before `end` is, or -1: of the searches that would do, the quickest.

    Base64 has no dot, and what is large is mostly that: one octet is found much faster than three.
    """
    return data.rfind(_STUFFED, 0, end) if data.find(b".", 0, end) >= 0 else -1


def _tail_that_may_begin_the_end(data: bytes) -> bytes:
    """Return the longest end of data that CRLF.CRLF begins with; it waits for what comes next."""
    if data[-1:] not in (b"\r", b"\n", b"."):
        return b""
    for length in (4, 3, 2, 1):
        if data.endswith(END[:length]):
            return END[:length]
    return b""


class Newlines:
    """Makes every line end a CRLF, and knows whether another one was there (`bare`).

    A destination that takes a bare LF for a line's end would see other lines than we did. A run of CRs before an LF is
    one line's end: programs that convert a text twice send CR CR LF.
    """

    __slots__ = ("_held", "_seen", "bare")

    def __init__(self) -> None:
        self._seen = IncrementalNewlineDecoder(None, translate=False)  # in a quarter of the time of counting
        self._held = 0  # CRs at the very end, whose LF may come with the next piece
        self.bare = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of content, return it with CRLF only."""
        if self._held:
            data = b"\r" * self._held + data
            self._held = 0
        if data.endswith(b"\r"):
            self._held = min(len(data) - len(data.rstrip(b"\r")), _MAX_RUN)
            data = data[: -self._held]
        self._seen.decode(data.decode("latin-1"), final=True)
        if self._seen.newlines in _CLEAN:
            return data
        self.bare = True
        return _CRS.sub(_line_ends, data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        """Return what was held back: a message may end in bare CRs."""
        if not self._held:
            return b""
        held, self._held, self.bare = self._held, 0, True
        return b"\r\n" * held


def _line_ends(run: re.Match[bytes]) -> bytes:
    """Return the line ends that a run of CRs means; the last CR before its LF, if it has one, is gone already."""
    crs = len(run[0])
    return b"\n" * (1 + max(crs - _MAX_RUN, 0) if run[0].endswith(b"\n") else crs)
