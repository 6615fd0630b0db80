"""PURE. Lists of tags, `v=1; a=rsa-sha256; …`, as signatures and keys write them (RFC 6376 §3.2)."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode

MAX_TAGS = 100  # more serve to cost time

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WHITE_SPACE = " \t\r\n"  # of folding (§2.8)
_OF_A_LIST = bytes(octet for octet in range(256) if octet >= 0x20 and octet != 0x7F) + b"\t\r\n"
_FOLDING = re.compile(r"[ \t\r\n]+")


class TagFault(ValueError):  # noqa: N818 - what the list has
    """A text is no list of tags, or a tag has no such value. Says which."""


def parse(text: bytes) -> dict[str, str]:
    """Read a list into values by name, white space around them cut off. Raises TagFault."""
    if text.count(b";") > MAX_TAGS:
        raise TagFault(f"more than {MAX_TAGS} tags")
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise TagFault("neither ASCII nor UTF-8") from None
    if text.translate(None, _OF_A_LIST):
        raise TagFault("a control character")
    values: dict[str, str] = {}
    specs = decoded.split(";")
    if not specs[-1].strip(_WHITE_SPACE):
        specs.pop()
    for spec in specs:
        name, equals, value = spec.partition("=")
        name = name.strip(_WHITE_SPACE)
        if not equals or not _NAME.fullmatch(name):
            raise TagFault("not of the form name=value")
        if name in values:
            raise TagFault(f"{name}= twice")
        values[name] = value.strip(_WHITE_SPACE)
    return values


def without_folding(value: str) -> str:
    """Return a value without the white space that folding may have put anywhere in it (base64, §2.10)."""
    return "".join(value.split()) if value.isascii() else _FOLDING.sub("", value)  # there are no control characters


def base64(value: str, name: str) -> bytes:
    """Read a base64 value. Raises TagFault."""
    try:
        return b64decode(without_folding(value).encode(), validate=True)
    except (binascii.Error, ValueError):
        raise TagFault(f"{name}= is not base64") from None


def words(value: str) -> list[str]:
    """Read a list of words with colons between them, in lower case."""
    return [word.strip(_WHITE_SPACE).lower() for word in value.split(":")]


def number(value: str, name: str) -> int:
    """Read a number of at most 12 digits (§3.5, t= and x=). Raises TagFault."""
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise TagFault(f"{name}= is not a number")
    return int(value)
