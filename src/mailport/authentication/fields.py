"""PURE. The fields of a header section, and how signatures write them (RFC 6376 §3.4)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

MAX_FIELDS = 1000  # of a section that are read: each takes many times its octets, and mail has some dozens
TOO_MANY = f"more than {MAX_FIELDS} header fields"

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\r]*+(?:\r\n[ \t][^\r]*+)*+)(?:\r\n|\Z)")
_WHITE_SPACE = re.compile(rb"[ \t\r\n]+")


class Field(NamedTuple):
    """One field, as it came."""

    name: bytes  # in lower case
    body: bytes  # what stands behind the colon, folded as it is, without the last CRLF
    raw: bytes  # all of it, without the last CRLF


class Fields:
    """A header section's fields, top to bottom; what canonicalisation makes of each is made once.

    Of a section with more than MAX_FIELDS fields the first of them are read, and nothing may be concluded: `too_many`.
    """

    def __init__(self, section: bytes) -> None:
        """Read a section, CRLF and all: the whole lines from its first field to its last."""
        self.all: list[Field] = []
        self.too_many = False
        self._by_name: dict[bytes, list[int]] = defaultdict(list)  # places, from the bottom up (§5.4.2)
        self._relaxed: dict[int, bytes] = {}
        for match in _FIELD.finditer(section):
            if len(self.all) == MAX_FIELDS:
                self.too_many = True
                break
            raw, name, body = match.group(0, 1, 2)
            name = name.lower()
            self._by_name[name].append(len(self.all))
            self.all.append(Field(name, body, raw.removesuffix(b"\r\n")))
        for places in self._by_name.values():
            places.reverse()

    def named(self, name: bytes) -> list[Field]:
        """Return the fields of a name, given in lower case, top to bottom."""
        return [self.all[place] for place in reversed(self._by_name.get(name, ()))]

    def signed(self, names: Iterable[bytes], *, relaxed: bool, own: Field | None = None) -> bytes:
        """Return what a signature over these names covers: each the lowest not yet taken, or nothing (§5.4.2).

        `own` is the signature's own field, which is none of them, whatever is named (§3.5, h=).
        """
        taken: dict[bytes, int] = {}
        parts: list[bytes] = []
        for name in names:
            places, number = self._by_name.get(name, ()), taken.get(name, 0)
            if number < len(places) and self.all[places[number]] is own:
                number += 1
            if number < len(places):
                taken[name] = number + 1
                parts.append(self._canonical(places[number]) if relaxed else self.all[places[number]].raw)
        parts.append(b"")
        return b"\r\n".join(parts)

    def _canonical(self, place: int) -> bytes:
        if (written := self._relaxed.get(place)) is None:
            field = self.all[place]
            written = self._relaxed[place] = relaxed_field(field.name, field.body)
        return written


def relaxed_field(name: bytes, body: bytes) -> bytes:
    """Write a field as `relaxed` has it, without CRLF (§3.4.2)."""
    if b"\x0b" in body or b"\x0c" in body:  # white space to Python, and to nobody else
        return name + b":" + _WHITE_SPACE.sub(b" ", body).strip(b" ")
    return name + b":" + b" ".join(body.split())


def without_signature(field: Field, *, relaxed: bool) -> bytes:
    """Write a signature's own field as it is signed: the value of b= gone, and no CRLF at the end (§3.7)."""
    tags = field.body.split(b";")
    for number, tag in enumerate(tags):
        name, equals, _ = tag.partition(b"=")
        if equals and name.strip(b" \t\r\n") == b"b":
            tags[number] = name + equals
            break
    body = b";".join(tags)
    if relaxed:
        return relaxed_field(field.name, body)
    return field.raw[: len(field.raw) - len(field.body)] + body
