"""PURE. The bytes of DATA and BDAT -> the content of a message (RFC 5321 §4.1.1.4, §4.5.2; RFC 3030 §2).

Pieces come in as the network cut them and go out without a copy where nothing had to be changed. Whatever the cuts, the
same octets come out: tests/listener/test_framing.py cuts every message everywhere.
"""

from __future__ import annotations

from io import IncrementalNewlineDecoder

END = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_CLEAN = (None, "\r\n")


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
        last = data.rfind(_STUFFED)  # of the searches that would do, the one that costs least
        if last < 0:
            self._held = _tail_that_may_begin_the_end(data)
            content = data[: len(data) - len(self._held)]
        elif data.startswith(END, last) and data.rfind(_STUFFED, 0, last + 2) < 0:
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


def _tail_that_may_begin_the_end(data: bytes) -> bytes:
    """Return the longest end of data that CRLF.CRLF begins with; it waits for what comes next."""
    if data[-1:] not in (b"\r", b"\n", b"."):
        return b""
    for length in (4, 3, 2, 1):
        if data.endswith(END[:length]):
            return END[:length]
    return b""


class Newlines:
    """Makes each bare CR or LF a CRLF, and knows whether there was one (`bare`).

    A destination that takes a bare LF for a line's end would see other lines than we did.
    """

    __slots__ = ("_held", "_seen", "bare")

    def __init__(self) -> None:
        self._seen = IncrementalNewlineDecoder(None, translate=False)  # in a quarter of the time of counting
        self._held = False  # a CR at the very end, whose LF may come with the next piece
        self.bare = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of content, return it with CRLF only."""
        if self._held:
            data = b"\r" + data
        self._held = data.endswith(b"\r")
        if self._held:
            data = data[:-1]
        self._seen.decode(data.decode("latin-1"), final=True)
        if self._seen.newlines in _CLEAN:
            return data
        self.bare = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        """Return what was held back: a message may end in a bare CR."""
        if not self._held:
            return b""
        self._held, self.bare = False, True
        return b"\r\n"
