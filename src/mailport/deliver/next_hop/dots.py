"""PURE. A message's content as DATA carries it (RFC 5321 §4.5.2)."""

from __future__ import annotations

END = b".\r\n"


class Dots:
    """Doubles the dot that begins a line, in content that comes in pieces, cut anywhere. Its lines end in CRLF."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\n"  # the octet before the next piece: a content begins a line

    def piece(self, octets: bytes | bytearray) -> bytes | bytearray:
        """Return a piece as it is to be sent."""
        if not octets:
            return octets
        begins_with_dot = self._last == b"\n" and octets[:1] == b"."
        self._last = bytes(octets[-1:])
        stuffed = octets.replace(b"\n.", b"\n..")
        return b"." + stuffed if begins_with_dot else stuffed

    def end(self) -> bytes:
        """Return what ends the content, behind a line end that it may lack."""
        return END if self._last == b"\n" else b"\r\n" + END
