"""PURE. Content-Transfer-Encoding taken off (RFC 2045 §6), in pieces, as tolerantly as mail programs do it."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator

IDENTITY = frozenset(("", "7bit", "8bit", "binary"))
BASE64, QUOTED_PRINTABLE = "base64", "quoted-printable"
KNOWN = IDENTITY | {BASE64, QUOTED_PRINTABLE}

_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_MOST_ENDS = 1000  # signs of padding that are looked at; more serve to take our time
_MOST_HELD = 64 * 1024  # octets of a line that are waited for its end
_BLANKS_AT_END = re.compile(rb"(?<![ \t])[ \t]++(?=\r\n)")  # added on the way: §6.7 (3)


def decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the content; as it is where the encoding is none that is known."""
    if encoding == BASE64:
        return base64(pieces)
    if encoding == QUOTED_PRINTABLE:
        return quoted_printable(pieces)
    return iter(pieces)


def base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode base64. What is no base64 is passed over, and padding ends nothing: some encode a text in pieces."""
    rest, ended = b"", 0
    for piece in pieces:
        *padded, rest = (rest + piece.translate(None, _NOT_BASE64)).split(b"=", _MOST_ENDS - ended)
        ended += len(padded)
        yield b"".join([_quantum(octets) for octets in padded])
        if ended >= _MOST_ENDS:
            rest = rest.translate(None, b"=")
        whole = len(rest) & ~3
        yield binascii.a2b_base64(rest[:whole])
        rest = rest[whole:]
    yield _quantum(rest)


def _quantum(octets: bytes) -> bytes:
    """Decode what no more belongs to; a single letter at the end is six bits of nothing."""
    if len(octets) % 4 == 1:
        octets = octets[:-1]
    return binascii.a2b_base64(octets + b"=" * (-len(octets) % 4))


def quoted_printable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode quoted-printable. An `=` that no two digits follow stays."""
    rest = b""
    for piece in pieces:
        rest += piece
        end = rest.rfind(b"\r\n") + 2
        if end < 2:
            if len(rest) <= _MOST_HELD:
                continue
            end = _not_within_escape(rest)
        yield binascii.a2b_qp(_BLANKS_AT_END.sub(b"", rest[:end]))
        rest = rest[end:]
    if rest:
        yield binascii.a2b_qp(rest)


def _not_within_escape(octets: bytes) -> int:
    """Return where octets may be cut: in front of an `=` whose digits may still come."""
    at = octets.rfind(b"=", len(octets) - 2)
    return at if at > 0 else len(octets)
