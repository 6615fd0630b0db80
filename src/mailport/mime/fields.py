"""PURE. A header section: its fields in order, and what stands in those that everybody asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from mailport.mime import charsets, words

MOST_FIELDS = 10_000
_FIELD = re.compile(rb"([!-9;-~]{1,998}+)[ \t]*+:([^\r]*+(?:\r\n[ \t][^\r]*+)*+)(?:\r\n|\Z)")  # as message/header.py
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_ID = re.compile(r"<[^<>\s]{1,996}+>")
_MOST_ADDRESSES = 64 * 1024  # characters of one field that are searched for addresses
_MOST_IDS = 1000  # message ids of one field that are kept


class Field(NamedTuple):
    """A field as it was written: unfolded, not decoded."""

    name: str
    raw: str

    @property
    def value(self) -> str:
        """Its value, decoded."""
        return words.decoded(self.raw)


class Mailbox(NamedTuple):
    """A mailbox as a field writes it: it may be no address at all."""

    name: str
    address: str


class Fields:
    """The fields of a header section, which ends at the first line that is none."""

    def __init__(self, section: bytes) -> None:
        """`section` begins with a header section; what follows is not looked at."""
        self.all: list[Field] = []
        self.octets = 0  # of the section, without the empty line
        self.too_many = False  # there are more than MOST_FIELDS, which are left out
        while field := _FIELD.match(section, self.octets):
            self.octets = field.end()
            if len(self.all) < MOST_FIELDS:
                value = charsets.of_field(_FOLD.sub(b"", field[2])).strip()
                self.all.append(Field(field[1].decode("ascii"), value))
            else:
                self.too_many = True
        self._by_name: dict[str, list[Field]] = {}
        for one in self.all:
            self._by_name.setdefault(one.name.lower(), []).append(one)

    def get(self, name: str) -> Field | None:
        """Return the first field of a name, given in lower case."""
        return next(iter(self._by_name.get(name, ())), None)

    def text(self, name: str) -> str | None:
        """Return the first field's value, decoded; None where there is none."""
        field = self.get(name)
        return field.value if field is not None else None

    def parametrized(self, name: str) -> words.Parametrized:
        """Return the first field's value and parameters."""
        field = self.get(name)
        return words.parametrized(field.raw if field is not None else "")

    def mailboxes(self, name: str) -> list[Mailbox]:
        """Return the mailboxes of all fields of a name."""
        return [mailbox for field in self._by_name.get(name, ()) for mailbox in mailboxes(field.raw)]

    def ids(self, name: str) -> list[str]:
        """Return the message ids of the first field of a name."""
        field = self.get(name)
        return _ID.findall(field.raw)[:_MOST_IDS] if field is not None else []

    def date(self) -> datetime | None:
        """Return what Date says, where it is one."""
        field = self.get("date")
        try:
            return parsedate_to_datetime(field.raw[:200]) if field is not None else None
        except (ValueError, TypeError, IndexError, OverflowError):
            return None


_TOKEN = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*+"?)|(?P<angle><[^<>]*+>?)|(?P<end>[,;])|(?P<group>:)|(?P<comment>[()])"""
    r"""|(?P<word>\[[^\[\]]*+\]|[^"<>,;:()\s\[]++|[\[>])|(?P<blank>\s++)""",
    re.DOTALL,
)


def mailboxes(raw: str) -> Iterator[Mailbox]:
    """Read an address list (RFC 5322 §3.4) as it is: groups are opened, a comment is a name where nothing else is."""
    written: list[str] = []
    comment: list[str] = []
    angle: str | None = None
    depth = 0
    for token in _TOKEN.finditer(raw[:_MOST_ADDRESSES]):
        kind, text = token.lastgroup, token[0]
        if kind == "comment":
            depth = max(depth + (1 if text == "(" else -1), 0)
        elif depth:
            comment.append(text)
        elif kind == "angle":
            angle = text.strip("<>")
        elif kind == "group":
            written, comment = [], []
        elif kind == "end":
            yield from _mailbox(written, angle, comment)
            written, comment, angle = [], [], None
        else:
            written.append(re.sub(r"\\(.)", r"\1", text[1:].removesuffix('"')) if kind == "quoted" else text)
    yield from _mailbox(written, angle, comment)


def _mailbox(written: Sequence[str], angle: str | None, comment: Sequence[str]) -> Iterator[Mailbox]:
    text, said = _joined(written), _joined(comment)
    if angle is not None:
        yield Mailbox(words.decoded(text or said), "".join(angle.split()))
    elif "@" in text:
        yield Mailbox(words.decoded(said), "".join(text.split()))
    elif text:
        yield Mailbox(words.decoded(text), "")


def _joined(texts: Sequence[str]) -> str:
    return " ".join("".join(texts).split())
