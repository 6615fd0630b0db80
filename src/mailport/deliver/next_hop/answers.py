"""PURE. The replies of a server, read octet by octet (RFC 5321 §4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailport.outward.printable import printable

MAX_LINE = 4096  # octets; the RFC's 512 are not kept by everyone (§4.5.3.1.5)
MAX_LINES = 128  # of one reply

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)")  # RFC 2034 §4


class ProtocolError(Exception):
    """What the server says is no SMTP, or nothing that it may say now. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply of a server."""

    code: int
    lines: tuple[str, ...]  # without the code; printable ASCII

    @property
    def enhanced(self) -> str:
        """Its enhanced code (RFC 3463), in the class of the reply; else empty."""
        stated = self._stated
        return f"{self.code // 100}{stated[1:]}" if stated else ""

    @property
    def text(self) -> str:
        """What it says, in one line without codes."""
        stated = self._stated
        return " ".join(line.removeprefix(stated).strip() for line in self.lines).strip()

    @property
    def _stated(self) -> str:
        """The enhanced code as it is stated, of whichever class; else empty."""
        match = _ENHANCED.match(self.lines[0])
        return match[1] if match else ""

    def __str__(self) -> str:
        return " ".join((str(self.code), *self.lines)).strip()


class AnswerReader:
    """Octets in, replies out. Bounded: what is no reply by then never becomes one."""

    __slots__ = ("_buffer", "_code", "_lines")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._code = 0
        self._lines: list[str] = []

    @property
    def empty(self) -> bool:
        """Whether nothing has come in behind the last reply."""
        return not self._buffer and not self._lines

    def feed(self, octets: bytes) -> None:
        """Take octets in."""
        self._buffer += octets

    def next(self) -> Answer | None:
        """Return the next whole reply; None where it has not come yet. Raises ProtocolError."""
        while (end := self._buffer.find(b"\n", 0, MAX_LINE)) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            if (answer := self._take(line)) is not None:
                return answer
        if len(self._buffer) >= MAX_LINE:
            raise ProtocolError(f"a line of a reply has more than {MAX_LINE} octets")
        return None

    def _take(self, line: bytes) -> Answer | None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(f"not a line of a reply: {_text(line[:80])!r}")
        code = int(match[1])
        if self._lines and code != self._code:
            raise ProtocolError(f"a reply of two codes, {self._code} and {code}")
        self._code = code
        self._lines.append(_text(match[3] or b""))
        if match[2] == b"-":
            if len(self._lines) >= MAX_LINES:
                raise ProtocolError(f"a reply of more than {MAX_LINES} lines")
            return None
        lines, self._lines = tuple(self._lines), []
        return Answer(code, lines)


def _text(octets: bytes) -> str:
    return printable(octets.decode("ascii", "replace"))
