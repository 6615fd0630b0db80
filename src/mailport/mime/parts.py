"""PURE. The parts of a message (RFC 2046 §5.1): where each of them lies, and what it says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mailport.mime import transfer
from mailport.mime.fields import Fields
from mailport.mime.source import Source, Span

MOST_DEPTH = 16  # of multiparts within multiparts: mail programs make five
MOST_PARTS = 1000
_MOST_HEADER = 64 * 1024  # octets of a part's header section; what is behind them is its content
_MOST_BOUNDARY = 200  # characters; RFC 2046 §5.1.1 has 70
_TYPE = re.compile(r"[!#$&^_.+\w-]{1,127}/[!#$&^_.+\w-]{1,127}", re.ASCII)
_PLAIN, _MESSAGE = "text/plain", "message/rfc822"


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be read as its sender meant it."""

    part: str  # as IMAP numbers them: 1.2; empty: the message
    what: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part without parts."""

    number: str
    type: str
    charset: str
    name: str | None
    content_id: str | None
    disposition: str | None  # inline, attachment, or what else is written
    encoding: str
    span: Span  # its content, encoded


@dataclass(slots=True)
class Parts:
    """The parts of a message, in order."""

    fields: Fields  # the message's own
    all: list[Part] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entity:
    """What is still to be looked at: a header section and a body."""

    span: Span
    number: str
    depth: int
    default: str  # its type where it does not say


def read(source: Source, header_octets: int) -> Parts:
    """Find the parts. `header_octets` begin with the message's header section and hold all of it. Raises OSError."""
    found = Parts(Fields(source.read(0, min(header_octets, source.size))))
    if found.fields.too_many:
        found.problems.append(Problem("", "too many fields"))
    waiting = [_Entity(Span(0, source.size), "", 0, _PLAIN)]
    while waiting:
        entity = waiting.pop()
        fields = found.fields
        if entity.depth:
            start, stop = entity.span
            fields = Fields(source.read(start, min(start + _MOST_HEADER, stop)))
        body = Span(_behind_empty_line(source, entity.span, fields.octets), entity.span.stop)
        inner, problem = _inner(source, entity, fields, body, MOST_PARTS - len(found.all) - len(waiting))
        if problem:
            found.problems.append(Problem(entity.number, problem))
        if inner:
            waiting += reversed(inner)
        else:
            found.all.append(_leaf(entity, fields, body, found))
    return found


def _behind_empty_line(source: Source, span: Span, octets: int) -> int:
    start = span.start + octets
    return start + 2 if source.read(start, min(start + 2, span.stop)) == b"\r\n" else start


def _inner(source: Source, entity: _Entity, fields: Fields, body: Span, most: int) -> tuple[list[_Entity], str]:
    """Return the parts of a multipart, and what is wrong. None where it is none, or cannot be taken apart."""
    kind, parameters = fields.parametrized("content-type")
    if not kind.startswith("multipart/") or not _TYPE.fullmatch(kind):
        return [], ""
    boundary = parameters.get("boundary", "").rstrip()
    if entity.depth >= MOST_DEPTH:
        return [], "too deep"
    if not 1 <= len(boundary) <= _MOST_BOUNDARY:
        return [], "no boundary"
    spans, ended = _between(source, Span(max(body.start - 2, 0), body.stop), boundary, most)
    default = _MESSAGE if kind == "multipart/digest" else _PLAIN
    prefix = f"{entity.number}." if entity.number else ""
    inner = [_Entity(span, f"{prefix}{at}", entity.depth + 1, default) for at, span in enumerate(spans, start=1)]
    if ended and inner:
        return inner, ""
    return inner, "no parts" if not inner and most > 0 else "too many parts" if len(inner) >= most else "no end"


def _between(source: Source, body: Span, boundary: str, most: int) -> tuple[list[Span], bool]:
    """Return what lies between the delimiters, and whether the last closes. The last of `most` has all that follows."""
    octets = boundary.encode("utf-8", "replace")
    delimiter = re.compile(rb"\r\n--%b(--)?[ \t]{0,100}+(?=\r\n|\Z)" % re.escape(octets))
    spans: list[Span] = []
    begin: int | None = None
    for start, match in body.matches(source, delimiter, longest=len(octets) + 110):
        if begin is not None:
            if len(spans) + 1 >= most and not match[1]:
                break
            spans.append(Span(begin, max(begin, start + match.start())))
        if match[1]:
            return spans, True
        begin = min(start + match.end() + 2, body.stop)
    if begin is not None and most > 0:
        spans.append(Span(begin, body.stop))
    return spans, False


def _leaf(entity: _Entity, fields: Fields, body: Span, found: Parts) -> Part:
    kind, parameters = fields.parametrized("content-type")
    if not _TYPE.fullmatch(kind):
        kind, parameters = entity.default, {}
    disposition, more = fields.parametrized("content-disposition")
    raw = fields.get("content-transfer-encoding")
    encoding = raw.raw.partition(";")[0].strip().lower() if raw is not None else ""
    if encoding not in transfer.KNOWN:
        found.problems.append(Problem(entity.number or "1", "encoding not known"))
    if kind.startswith("multipart/"):
        encoding = ""  # RFC 2045 §6.4: it has none
    content_id = fields.get("content-id")
    return Part(
        number=entity.number or "1",
        type=kind,
        charset=parameters.get("charset", ""),
        name=more.get("filename") or parameters.get("name") or None,
        content_id=content_id.raw.strip("<> ") or None if content_id is not None else None,
        disposition=disposition[:100] or None,
        encoding=encoding,
        span=body,
    )
