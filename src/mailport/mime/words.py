"""PURE. Encoded words (RFC 2047) and parameters (RFC 2045 §5.1, RFC 2231) of header fields."""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from mailport.mime import charsets, transfer

_WORD = re.compile(r"=\?([^?\s]{1,60}+)\?([bBqQ])\?([^?]*+)\?=")
_MOST_VALUE = 8 * 1024  # characters of a field that are looked through for parameters
_MOST_PARAMETERS = 100
_NAMES = frozenset(("name", "filename"))  # many write encoded words into them, which RFC 2047 §5 forbids
_PARAMETER = re.compile(r';\s*+([^\s=;"]{1,100}+)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^;]*+))', re.DOTALL)
_SECTION = re.compile(r"([^*]++)(?:\*([0-9]{1,3}))?(\*)?")


def decoded(text: str) -> str:
    """Return a field's text with its encoded words decoded. What cannot be decoded stays as it is.

    The octets of words side by side are joined first: many programs cut within a character.
    """
    found: list[str] = []
    side_by_side: list[bytes] = []  # the octets of words of one charset, which begin at `begin` and end at `at`
    charset, begin, at = "", 0, 0
    for word in _WORD.finditer(text):
        label = word[1].partition("*")[0].lower()
        follows = bool(side_by_side) and not text[at : word.start()].strip()
        if not (follows and label == charset):
            found += [_text(side_by_side, charset, text[begin:at]), "" if follows else text[at : word.start()]]
            side_by_side, charset, begin = [], label, word.start()
        side_by_side.append(_octets(word[2], word[3]))
        at = word.end()
    return "".join((*found, _text(side_by_side, charset, text[begin:at]), text[at:]))


def _text(octets: list[bytes], charset: str, written: str) -> str:
    text = charsets.decode(b"".join(octets), charset)
    return written if text is None else text


def _octets(encoding: str, text: str) -> bytes:
    octets = text.encode("utf-8", "replace")
    if encoding in "bB":
        return b"".join(transfer.base64([octets]))
    return binascii.a2b_qp(octets, header=True)


class Parametrized(NamedTuple):
    """A field with parameters."""

    value: str  # in front of them, in lower case
    parameters: dict[str, str]  # names in lower case


def parametrized(text: str) -> Parametrized:
    """Read Content-Type or Content-Disposition. Of a parameter that is there twice, the first counts; RFC 2231 wins."""
    text = text[:_MOST_VALUE]
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bool, str]]] = {}
    for number, match in enumerate(_PARAMETER.finditer(text)):
        if number >= _MOST_PARAMETERS:
            break
        name, value = match[1].lower(), match[3].strip() if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        section = _SECTION.fullmatch(name)
        if "*" not in name or section is None:
            plain.setdefault(name, decoded(value) if name in _NAMES else value)
        else:
            sections.setdefault(section[1], {}).setdefault(int(section[2] or 0), (section[3] is not None, value))
    extended = {name: value for name, parts in sections.items() if (value := _joined(parts)) is not None}
    return Parametrized(text.partition(";")[0].strip().lower(), plain | extended)


def _joined(parts: dict[int, tuple[bool, str]]) -> str | None:
    """Join the sections of a parameter (RFC 2231 §3, §4), up to the first that is missing."""
    octets, charset = b"", "utf-8"
    for number in range(len(parts)):
        if number not in parts:
            break
        is_extended, value = parts[number]
        if is_extended and number == 0 and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        octets += unquote_to_bytes(value) if is_extended else value.encode("utf-8", "replace")
    return charsets.decode(octets, charset)
