"""PURE. What of a message is its text, what its HTML, and what is attached to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from mailport.mime import charsets, parts, transfer
from mailport.mime.fields import Fields
from mailport.mime.parts import Part, Parts, Problem
from mailport.mime.source import Source, Span


@dataclass(frozen=True, slots=True)
class Text:
    """A part that is text, and the codec that reads it."""

    part: Part
    codec: str

    def pieces(self, source: Source) -> Iterator[str]:
        """Yield the text. Lines end in LF."""
        return charsets.decoded(content(self.part, source), self.codec)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is neither the text nor the HTML."""

    part: Part
    size: int  # octets, decoded
    sha256: str  # of those, in hexadecimal digits


@dataclass(frozen=True, slots=True)
class Reading:
    """A message, read."""

    fields: Fields
    text: Text | None
    html: Text | None
    attachments: list[Attachment]
    problems: list[Problem]


def read(source: Source, header_octets: int) -> Reading:
    """Read a message; its header section is within the first `header_octets`. Raises OSError where the source does."""
    found = parts.read(source, header_octets)
    bodies: dict[str, Text] = {}
    attachments: list[Attachment] = []
    for part in found.all:
        if part.type in ("text/plain", "text/html") and part.type not in bodies and not _is_attached(part):
            text = _text(part, source, found)
            if text is not None:
                bodies[part.type] = text
                continue
        attachments.append(_attachment(part, source))
    return Reading(found.fields, bodies.get("text/plain"), bodies.get("text/html"), attachments, found.problems)


def unread(source: Source, problem: str) -> Reading:
    """Return all of a message as its only attachment, as if it had no fields."""
    part = Part("", "message/rfc822", "", None, None, None, "", Span(0, source.size))
    return Reading(Fields(b""), None, None, [_attachment(part, source)], [Problem("", problem)])


def content(part: Part, source: Source) -> Iterator[bytes]:
    """Yield a part's content, decoded."""
    return transfer.decoded(part.span.pieces(source), part.encoding)


def _is_attached(part: Part) -> bool:
    return part.disposition == "attachment" or part.name is not None


def _text(part: Part, source: Source, found: Parts) -> Text | None:
    """Return a part as text, if it is: in its charset, else in UTF-8."""
    if part.encoding not in transfer.KNOWN:
        return None
    codecs = charsets.codecs_for(part.charset)
    for codec in dict.fromkeys((*codecs, "utf_8")):
        try:
            for _ in charsets.decoded(content(part, source), codec):
                pass
        except UnicodeError:
            continue
        if part.charset and not charsets.is_known(part.charset):
            found.problems.append(Problem(part.number, "charset not known"))
        elif codec not in codecs:
            found.problems.append(Problem(part.number, "charset is another"))
        return Text(part, codec)
    found.problems.append(Problem(part.number, "text not decoded"))
    return None


def _attachment(part: Part, source: Source) -> Attachment:
    size, digest = 0, hashlib.sha256()
    for piece in content(part, source):
        size += len(piece)
        digest.update(piece)
    return Attachment(part, size, digest.hexdigest())
