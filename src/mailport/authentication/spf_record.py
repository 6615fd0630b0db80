"""PURE. An SPF record's text, read into its terms (RFC 7208 §4.5, §4.6, §12)."""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from mailport.address.ip_ranges import IpAddress
from mailport.authentication.kept import kept
from mailport.authentication.result import Result
from mailport.authentication.spf_macro import is_domain_spec, is_macro_string

MAX_TERMS = 500  # a record of 64 KiB could hold 16,000; ten may ask something
MAX_TERM = 1024  # characters: macros make it longer still


class SyntaxFault(ValueError):  # noqa: N818 - a record's, not a program's
    """The record does not follow the grammar: permerror. Says where."""


class Kind(StrEnum):
    """The mechanisms (RFC 7208 §5)."""

    ALL = "all"
    INCLUDE = "include"
    A = "a"
    MX = "mx"
    PTR = "ptr"
    IP4 = "ip4"
    IP6 = "ip6"
    EXISTS = "exists"


class Mechanism(NamedTuple):
    """One directive: what matches, and what follows from it."""

    text: str  # as it is written
    result: Result  # of a match, by the qualifier
    kind: Kind
    domain_spec: str  # with macros; empty: the domain that is checked
    network: IpAddress | None  # of ip4 and ip6
    prefix4: int  # bits that count of an IPv4 address, and of an IPv6 address
    prefix6: int


class Record(NamedTuple):
    """A whole record."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str | None  # a domain-spec. `exp` is not read: what it says is never shown


_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_DIRECTIVE = re.compile(r"([-+?~]?)([A-Za-z][A-Za-z0-9_.-]*)([:/].*)?", re.DOTALL)
_LENGTH = r"0|[1-9][0-9]{0,2}"
_DUAL_CIDR = re.compile(rf"(?P<rest>.*?)(?:/(?P<ip4>{_LENGTH}))?(?://(?P<ip6>{_LENGTH}))?", re.DOTALL)
_CIDR = re.compile(rf"(?P<rest>[^/]*)(?:/(?P<length>{_LENGTH}))?")
_QUALIFIERS = {
    "": Result.PASS,
    "+": Result.PASS,
    "-": Result.FAIL,
    "~": Result.SOFTFAIL,
    "?": Result.NEUTRAL,
}
_WITH_DOMAIN = {Kind.INCLUDE: True, Kind.EXISTS: True, Kind.A: False, Kind.MX: False, Kind.PTR: False}  # True: needs it
_WITH_CIDR = frozenset((Kind.A, Kind.MX))


def is_spf(text: bytes) -> bool:
    """Whether a TXT record is an SPF record (§4.5)."""
    return _VERSION.match(text) is not None


@kept(1024)  # the same records come again
def parse(text: bytes) -> Record:
    """Read a record, all of it: a fault anywhere is a permerror (§4.6). Raises SyntaxFault."""
    try:
        words = text.decode("ascii").split(" ")[1:]
    except UnicodeDecodeError:
        raise SyntaxFault("not all of it is ASCII") from None
    words = [word for word in words if word]
    if len(words) > MAX_TERMS or max(map(len, words), default=0) > MAX_TERM:
        raise SyntaxFault(f"more than {MAX_TERMS} terms, or one of more than {MAX_TERM} characters")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for word in words:
        if modifier := _MODIFIER.fullmatch(word):
            name, value = modifier[1].lower(), modifier[2]
            if name in ("redirect", "exp"):
                if name in modifiers:
                    raise SyntaxFault(f"{name}= twice")
                if not is_domain_spec(value):
                    raise SyntaxFault(f"{word!r}: not a domain")
                modifiers[name] = value
            elif not is_macro_string(value):
                raise SyntaxFault(f"{word!r}: not a modifier")
        else:
            mechanisms.append(_mechanism(word))
    return Record(tuple(mechanisms), modifiers.get("redirect"))


def _mechanism(word: str) -> Mechanism:
    match = _DIRECTIVE.fullmatch(word)
    if match is None or match[2].lower() not in set(Kind):
        raise SyntaxFault(f"{word!r}: no such mechanism")
    result, kind, rest = _QUALIFIERS[match[1]], Kind(match[2].lower()), match[3] or ""
    if kind in (Kind.IP4, Kind.IP6):
        return _network(word, result, kind, rest)
    prefix4, prefix6 = 32, 128
    if kind in _WITH_CIDR:
        lengths = _DUAL_CIDR.fullmatch(rest)
        assert lengths is not None  # noqa: S101 - it matches any text
        rest = lengths["rest"]
        prefix4, prefix6 = int(lengths["ip4"] or 32), int(lengths["ip6"] or 128)
        if prefix4 > 32 or prefix6 > 128:
            raise SyntaxFault(f"{word!r}: no such length of a prefix")
    domain_spec = rest[1:]
    needed = _WITH_DOMAIN.get(kind)
    if needed is None and rest:
        raise SyntaxFault(f"{word!r}: takes no domain")
    if (rest or needed) and not (rest.startswith(":") and is_domain_spec(domain_spec)):
        raise SyntaxFault(f"{word!r}: not a domain")
    return Mechanism(word, result, kind, domain_spec, None, prefix4, prefix6)


def _network(word: str, result: Result, kind: Kind, rest: str) -> Mechanism:
    match = _CIDR.fullmatch(rest[1:]) if rest.startswith(":") and "%" not in rest else None
    if match is None:
        raise SyntaxFault(f"{word!r}: not an address")
    try:
        network: IpAddress = IPv4Address(match["rest"]) if kind is Kind.IP4 else IPv6Address(match["rest"])
    except ValueError:
        raise SyntaxFault(f"{word!r}: not an address") from None
    length = int(match["length"]) if match["length"] is not None else network.max_prefixlen
    if length > network.max_prefixlen:
        raise SyntaxFault(f"{word!r}: no such length of a prefix")
    return Mechanism(word, result, kind, "", network, length, length)
