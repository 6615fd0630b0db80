"""PURE. The header section of a message: where it ends, what of it is removed, and how often the message was here.

It ends at the first line that is neither a field nor the continuation of one (RFC 5322 §2.2). Readers of mail differ in
what they make of such a line, so an empty line is put in front of it: then every reader sees the same end as we, no
line of the message continues a field of ours, and nothing behind it passes for a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from mailport.address.mail_address import domain_key

MAX_OCTETS = 1024 * 1024  # of a header section; a longer one is refused

# A field: a name of printable ASCII without a colon, white space (RFC 5322 §4.5), a colon, a body that may be folded.
# Every CR is followed by its LF. No octet is looked at twice, so the time grows with the length and no more.
_NAME = rb"[!-9;-~]{1,998}+"  # no longer than a line may be (RFC 5322 §2.1.1)
_FIELDS = re.compile(rb"(?:%b[ \t]*+:[^\r]*+(?:\r\n[ \t][^\r]*+)*+(?:\r\n|\Z))*+" % _NAME)
_MAY_BECOME_A_FIELD = re.compile(rb"(?:%b[ \t]*+)?\Z" % _NAME)
_NAMES = rb"(?i:received|return-path|authentication-results|x-spam-flag)"
_LOOKED_AT = rb"((%b)[ \t]*+:([^\r]*+(?:\r\n[ \t][^\r]*+)*+))" % _NAMES
_FIRST_LOOKED_AT = re.compile(_LOOKED_AT)
_NEXT_LOOKED_AT = re.compile(rb"\n%b" % _LOOKED_AT)  # a search that goes from line end to line end
_BEGINS_MBOX_FROM = re.compile(rb">{0,64}+From [^\r]{0,998}+")
_MBOX_FROM = re.compile(rb"%b\r\n" % _BEGINS_MBOX_FROM.pattern)  # what reading out of a mbox file leaves in front

_COMMENT = rb"\((?:[^()\\]++|\\.)*+\)"
for _ in range(3):  # comments nest (RFC 5322 §3.2.2); deeper than this they serve to hide something
    _COMMENT = rb"\((?:[^()\\]++|\\.|%b)*+\)" % _COMMENT
_AUTHSERV_ID = re.compile(
    rb'(?:\s++|%b)*+(?:"((?:[^"\\]++|\\.)*+)"|(?![("])([^\s;()"/]*+))' % _COMMENT,  # "/": RFC 5451's version
    re.DOTALL,
)

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class HeaderSection(NamedTuple):
    """A header section as destinations get it, with the empty line where one had to be added."""

    final: bytes  # where delivery ends: without Return-Path, which is written anew (RFC 5321 §4.4)
    relayed: bytes  # where another mail server goes on; the same object where it is the same
    octets: int  # of the content that this stands for: what follows is passed on as it came
    received: int  # Received fields
    ours: int  # … of which so many are by this hostname
    begin: int = 0  # where the first field is, behind what a mbox file leaves in front

    def body(self, content: bytes | bytearray) -> int:
        """Return where the body begins in a content, of which two octets behind the section are enough."""
        return self.octets + 2 * content.startswith(b"\r\n", self.octets)


def parse(content: bytes | bytearray, hostname: str, *, whole: bool, checked: bool = False) -> HeaderSection | None:
    """Read the header section at the start of a content; `hostname` is ours, in ASCII.

    `whole` says that nothing follows `content`. None where the section may go on behind it.
    Authentication-Results that claim to be by this hostname are removed (RFC 8601 §5): somebody else wrote them. So is
    X-Spam-Flag of a message that is `checked`: it is ours to say.
    """
    if not whole and content.endswith(b"\r"):
        content = content[:-1]
    prefix, begin = b"", 0
    if mbox_from := _MBOX_FROM.match(content):
        prefix, begin = b"X-Mailbox-Line: ", mbox_from.end()  # as Postfix writes it
    fields = _FIELDS.match(content, begin)
    end = fields.end() if fields is not None else begin
    if not whole and (_MAY_BECOME_A_FIELD.match(content, end) or _BEGINS_MBOX_FROM.fullmatch(content)):
        return None
    separator = b"" if end == len(content) or content.startswith(b"\r\n", end) else b"\r\n"
    name = hostname.lower().encode()
    received = ours = 0
    removed: list[tuple[int, int]] = []  # by us
    return_paths: list[tuple[int, int]] = []  # where delivery ends
    for field in _looked_at(content, begin, end):
        kind, body = field[2].lower(), field[3]
        with_its_end = (field.start(1), min(field.end(1) + 2, end))
        if kind == b"received":
            received += 1
            ours += name in body.lower() and _by(name).search(body) is not None
        elif kind == b"return-path":
            return_paths.append(with_its_end)
        elif checked if kind == b"x-spam-flag" else _claims(name, body):
            removed.append(with_its_end)
    relayed = prefix + _without(removed, content, end) + separator
    final = prefix + _without(sorted(removed + return_paths), content, end) + separator if return_paths else relayed
    return HeaderSection(final, relayed, end, received, ours, begin)


def _looked_at(content: bytes | bytearray, begin: int, end: int) -> Iterator[re.Match[bytes]]:
    """Yield the fields that are more to us than octets, in their order."""
    if first := _FIRST_LOOKED_AT.match(content, begin, end):
        yield first
    yield from _NEXT_LOOKED_AT.finditer(content, begin, end)


def _without(spans: list[tuple[int, int]], content: bytes | bytearray, end: int) -> bytes:
    """Return the content up to `end` without the spans, which are in order."""
    kept, at = [], 0
    for start, stop in spans:
        kept.append(content[at:start])
        at = stop
    kept.append(content[at:end])
    return b"".join(kept)


@lru_cache(maxsize=8)
def _by(hostname: bytes) -> re.Pattern[bytes]:
    """Return what finds a Received field's `by` clause with this host."""
    return re.compile(rb"(?i)(?:^|\s)by\s++%b(?![\w-]|\.\w)" % re.escape(hostname))


def _claims(hostname: bytes, body: bytes) -> bool:
    """Whether an Authentication-Results field is by `hostname` (RFC 8601 §2.2). Where that is unclear: yes."""
    match = _AUTHSERV_ID.match(body)
    if match is None:
        return True
    quoted, token = match.groups()
    authserv_id = token if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
    authserv_id = authserv_id.lower().rstrip(b".")
    if authserv_id.isascii():
        return bool(authserv_id == hostname or _CONTROL.search(authserv_id))
    try:
        return domain_key(authserv_id.decode()) == hostname.decode()  # in U-labels (RFC 8616)
    except ValueError:
        return True
