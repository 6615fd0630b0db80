"""PURE. Trace fields: those that we write (RFC 5321 §4.4), and those of others that we count or remove.

`HeaderFilter` looks at the header section alone, which ends at the first line that is neither a field nor the
continuation of one. What follows passes untouched, whatever it quotes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from mailport.address import Address

MAX_RECEIVED = 50  # hops; more are a loop. RFC 5321 §6.3 would bear 100, which no honest message comes near
MAX_OURS = 2  # times that a message may have been here: a third is a loop

_MAX_NAME = 255  # octets of an EHLO name that are worth keeping: a domain has no more (RFC 5321 §4.5.3.1.2)
_ADDRESS_LITERAL = re.compile(r"\[[A-Za-z0-9.:-]+\]")
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9._-]")


def received(
    *,
    helo: str,
    client: IPv4Address | IPv6Address,
    hostname: str,
    extended: bool,
    tls: tuple[str, str] | None,
    authenticated: bool,
    smtputf8: bool,
    message_id: str,
    recipient: Address | None,
    date: datetime,
) -> bytes:
    """Write our Received field.

    `helo` is as the client said it, `tls` version and cipher. A `recipient` is named only where it is the only one: the
    others would learn of it.
    """
    protocol = _protocol(extended=extended, tls=tls is not None, authenticated=authenticated, smtputf8=smtputf8)
    hop = _hop(helo, client, hostname, protocol, tls)
    whom = f" for <{recipient}>" if recipient is not None else ""
    return f"{hop}\r\n\tid {message_id}{whom};\r\n\t{_stamp(int(date.timestamp()))}\r\n".encode()


def return_path(sender: Address | None) -> bytes:
    """Write Return-Path, which final delivery puts in front of all (RFC 5321 §4.4)."""
    return f"Return-Path: <{sender or ''}>\r\n".encode()


def _protocol(*, extended: bool, tls: bool, authenticated: bool, smtputf8: bool) -> str:
    """Return the `with` of RFC 3848 and RFC 6531 §4.3."""
    if not extended:
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + "S" * tls + "A" * authenticated


@lru_cache(maxsize=1024)
def _hop(
    helo: str, client: IPv4Address | IPv6Address, hostname: str, protocol: str, tls: tuple[str, str] | None
) -> str:
    """Write what is the same for all messages of a session."""
    literal = f"[IPv6:{client}]" if client.version == 6 else f"[{client}]"
    secured = f" ({tls[0]} {tls[1]})" if tls is not None else ""
    return f"Received: from {_cleaned(helo) or literal} ({literal})\r\n\tby {hostname} with {protocol}{secured}"


def _cleaned(helo: str) -> str:
    """Keep what a domain or an address literal may hold: this is the client's word, and stands in a header."""
    helo = helo[:_MAX_NAME]
    return helo if _ADDRESS_LITERAL.fullmatch(helo) else _NOT_OF_A_NAME.sub("?", helo)


@lru_cache(maxsize=8)
def _stamp(second: int) -> str:
    """Write a date as RFC 5322 §3.3 has it. Many messages share a second."""
    return format_datetime(datetime.fromtimestamp(second, UTC))


_MAX_HELD = 8192  # octets of a field

_NAME = rb"[!-9;-~]++"  # RFC 5322 §2.2: printable, and no colon. White space in front of the colon is §4.5's
_END = rb"\r\n(?=[^ \t])"  # of a field, to be seen only with the first octet of the next line, which is no continuation
_LOOKED_AT = rb"[RrAa](?i:eceived|eturn-path|uthentication-results)[ \t]*+:"  # most names fail the first letter
# Whole fields of other names, in a row. No octet is looked at twice, so that the time grows with the length and no more
_PASSING = re.compile(rb"(?:(?!%b)%b[ \t]*+:[^\r]*+(?:(?!%b)\r[^\r]*+)*+%b)*+" % (_LOOKED_AT, _NAME, _END, _END))
_FIELD_START = re.compile(rb"(%b)[ \t]*+(:)?" % _NAME)
_FIELD_END = re.compile(_END)
_LAST_FIELD_END = re.compile(rb"\r\n(?![ \t])|\Z")
_COMMENT = rb"\((?:[^()\\]++|\\.)*+\)"
for _ in range(3):  # comments nest (RFC 5322 §3.2.2); deeper than this they serve to hide something
    _COMMENT = rb"\((?:[^()\\]++|\\.|%b)*+\)" % _COMMENT
_AUTHSERV_ID = re.compile(
    rb'(?:\s++|%b)*+(?:"((?:[^"\\]++|\\.)*+)"|(?![("])([^\s;()"/]*+))' % _COMMENT,  # "/": RFC 5451's version
    re.DOTALL,
)


class Pieces(NamedTuple):
    """A piece of the message as destinations get it; one and the same object where they do not differ."""

    final: bytes  # where delivery ends
    relayed: bytes  # where another mail server goes on


class _Line(Enum):
    """What begins with a line of the header section."""

    KEPT = auto()  # a field that stays
    FOR_RELAYS = auto()  # a field that is removed where delivery ends
    REMOVED = auto()  # a field that nobody gets
    NO_FIELD = auto()  # the header section is over
    UNDECIDED = auto()  # more of it has to be seen


class HeaderFilter:
    """Watches a message's header section go by, cut into pieces anywhere. Lines end in CRLF.

    - Received fields are counted, and those by this hostname: `loop`.
    - Authentication-Results that claim to be by this hostname are removed (RFC 8601 §5): somebody else wrote them.
    - Return-Path fields are removed where delivery ends, which writes its own (RFC 5321 §4.4).

    Memory is bounded: of these fields 8 KiB are held until it is clear what they say, others pass at once. One that has
    not said it by then is taken for the worst; no honest one is that long-winded.
    """

    __slots__ = ("_field", "_held", "_hostname", "_ours", "_received", "done")

    def __init__(self, hostname: str) -> None:
        """Begin a message; `hostname` is ours, in ASCII."""
        self.done = False  # nothing is left to look for: what follows need not come here any more
        self._hostname = hostname.lower().encode()
        self._held = b""
        self._field: _Line | None = None  # what we are in the middle of
        self._received = 0
        self._ours = 0

    @property
    def loop(self) -> bool:
        """Whether the message goes round in circles."""
        return self._received > MAX_RECEIVED or self._ours > MAX_OURS

    def feed(self, content: bytes) -> Pieces:
        """Take the next piece of the message; return what can be passed on."""
        if self.done:
            return Pieces(content, content)
        return self._filter(self._held + content if self._held else content, ended=False)

    def finish(self) -> Pieces:
        """Return what was held, at the end of the message."""
        return self._filter(self._held, ended=True)

    def _filter(self, data: bytes, *, ended: bool) -> Pieces:
        """Go from field to field as far as `data` is clear, and hold the rest."""
        removed: list[tuple[int, int, _Line]] = []
        position = 0
        while True:
            if self._field is None:
                passing = _PASSING.match(data, position)
                position = passing.end() if passing else position
                line = self._begin(data[position : position + _MAX_HELD], ended=ended)
                if line is _Line.UNDECIDED:
                    break
                if line is _Line.NO_FIELD or self.loop:
                    self.done = True
                    position = len(data)
                    break
                self._field = line
            start, (position, whole) = position, _end_of_field(data, position, ended=ended)
            if self._field is not _Line.KEPT:
                removed.append((start, position, self._field))
            if not whole:
                break
            self._field = None
        self._held = data[position:]
        return _without(removed, data[:position])

    def _begin(self, head: bytes, *, ended: bool) -> _Line:
        """Decide on what begins with `head`, and count it. However it came: by its first _MAX_HELD octets."""
        settled = ended or len(head) == _MAX_HELD
        start = _FIELD_START.match(head)
        if start is None:
            return _Line.UNDECIDED if head in {b"", b"\r"} and not ended else _Line.NO_FIELD
        name, colon = start.groups()
        if not colon:
            if ended or start.end() < len(head):
                return _Line.NO_FIELD
            if not settled:
                return _Line.UNDECIDED
        name = name.lower()
        if name == b"return-path":
            return _Line.FOR_RELAYS
        if name not in {b"received", b"authentication-results"}:
            return _Line.KEPT
        end = _FIELD_END.search(head)
        if end is None and not settled:
            return _Line.UNDECIDED
        body = head[start.end() : end.start() if end else None]
        if name == b"received":
            self._received += 1
            self._ours += self._hostname in body.lower() and _by(self._hostname).search(body) is not None
            return _Line.KEPT
        return _Line.REMOVED if _claims(self._hostname, body, whole=end is not None or ended) else _Line.KEPT


def _end_of_field(data: bytes, start: int, *, ended: bool) -> tuple[int, bool]:
    """Return how far the field at `start` can be seen to go, and whether that is all of it."""
    if end := (_LAST_FIELD_END if ended else _FIELD_END).search(data, start):
        return end.end(), True
    if data.endswith(b"\r\n", start):
        return len(data) - 2, False
    return len(data) - data.endswith(b"\r", start), False


def _without(removed: list[tuple[int, int, _Line]], data: bytes) -> Pieces:
    """Cut fields out."""
    if not removed:
        return Pieces(data, data)
    relayed = _cut(data, [(start, end) for start, end, line in removed if line is _Line.REMOVED])
    if all(line is _Line.REMOVED for _, _, line in removed):
        return Pieces(relayed, relayed)
    return Pieces(_cut(data, [(start, end) for start, end, _ in removed]), relayed)


def _cut(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    """Return what is not within the spans, which are in order."""
    starts = [0, *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))


@lru_cache(maxsize=8)
def _by(hostname: bytes) -> re.Pattern[bytes]:
    """Return what finds a Received field's `by` clause with this host."""
    return re.compile(rb"(?i)(?:^|\s)by\s++%b(?![\w-]|\.\w)" % re.escape(hostname))


def _claims(hostname: bytes, body: bytes, *, whole: bool) -> bool:
    """Whether an Authentication-Results field is by `hostname` (RFC 8601 §2.2). Where that is unclear: yes."""
    match = _AUTHSERV_ID.match(body)
    if match is None or (match.end() == len(body) and not whole):
        return True
    quoted, token = match.groups()
    authserv_id = token if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
    return bool(authserv_id.lower().rstrip(b".") == hostname)
