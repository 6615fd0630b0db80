"""PURE. A mailbox as SMTP writes it, and the two keys by which mailboxes are compared.

The syntax is RFC 5321 §4.1.2's with RFC 6531 §3.3's additions, read as liberally as can be without ambiguity:

- local parts with dots at odd places (`taro..@docomo.ne.jp` exists) are taken, and quoted when written again;
- a domain's labels may hold `_`, and its root dot (`example.org.`) is dropped, as Postfix does;
- a local part may be longer than 64 octets, the least that RFC 5321 §4.5.3.1.1 asks for: VERP and SRS senders are. What
  bounds it is the path of 256 octets (§4.5.3.1.3), and so is the domain's 255 kept.

Never taken: control characters (of Unicode's C1 block too), and an `@` within an address literal, since everything else
here splits at the last `@`, and no literal but IPv6 was ever registered.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import idna

MAX_MAILBOX = 254  # octets: a path of 256 (RFC 5321 §4.5.3.1.3) without its angle brackets
MAX_DOMAIN = 255  # octets (RFC 5321 §4.5.3.1.2)

_BEYOND_ASCII = "\u00a0-\ud7ff\ue000-\U0010ffff"  # UTF8-non-ascii (RFC 6531 §3.3) without C1 controls and surrogates
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_BEYOND_ASCII}-]"
_QUOTABLE = rf"[ !#-\[\]-~{_BEYOND_ASCII}]"  # qtextSMTP: printable, but neither quote nor backslash
_LITERAL = re.compile(r"\[[!-?A-Z^-~]++\]")  # dcontent, without the @
_MAILBOX = re.compile(
    rf'(?:(?P<plain>(?:{_ATOM}|\.)++)|"(?P<quoted>(?:{_QUOTABLE}|\\[ -~])*+)")'
    rf"@(?P<domain>{_LITERAL.pattern}|[!-?A-Z^-~{_BEYOND_ASCII}]++)"
)
_DOT_STRING = re.compile(rf"{_ATOM}++(?:\.{_ATOM}++)*+")
_ESCAPED = re.compile(r"\\(.)")
_TO_ESCAPE = re.compile(r'(["\\])')

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_JOINERS = re.compile("[\u200c\u200d]")  # the only default-ignorable code points that a U-label may hold (RFC 5892)
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IPV4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_TAGGED = re.compile(r"([A-Za-z0-9-]*[A-Za-z0-9]):[!-?A-Z^-~]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox, valid by construction; ValueError where it cannot be one.

    `local` (unquoted) and `domain` are as written: they go out again as they came in. Addresses are compared and looked
    up by `local_key` (NFC, case-folded), `domain_key` (A-labels, lower case) and `key`, which is both.
    """

    local: str
    domain: str
    local_key: str = field(init=False, repr=False, compare=False)
    domain_key: str = field(init=False, repr=False, compare=False)
    key: str = field(init=False, repr=False, compare=False)
    """Equal for two spellings of one mailbox. What follows the last `@` is the domain."""
    spelt_key: str = field(init=False, repr=False, compare=False)
    """As `key`, with the local part as it is spelt: who else may fold it, only its own server knows (RFC 5321 §2.4)."""
    is_ascii: bool = field(init=False, repr=False, compare=False)
    """Whether a server without SMTPUTF8 can be told this address (RFC 6531 §3.2)."""
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "local_key", local_key(self.local))
        object.__setattr__(self, "domain_key", domain_key(self.domain))
        object.__setattr__(self, "key", f"{self.local_key}@{self.domain_key}")
        object.__setattr__(self, "spelt_key", f"{self.local}@{self.domain_key}")
        object.__setattr__(self, "is_ascii", self.local.isascii() and self.domain.isascii())
        object.__setattr__(self, "_text", f"{_quoted(self.local)}@{self.domain}")

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(text: str) -> Address:
        """Read `local@domain`, without angle brackets. ValueError says what is wrong."""
        return Address(*split(text))

    def __str__(self) -> str:
        """Return the form for the wire: the local part is quoted where it has to be."""
        return self._text


def _quoted(local: str) -> str:
    if _DOT_STRING.fullmatch(local):
        return local
    return '"' + _TO_ESCAPE.sub(r"\\\1", local) + '"'


def split(text: str) -> tuple[str, str]:
    """Split a mailbox into its local part, unquoted, and its domain, whose own syntax is not looked at yet."""
    match = _MAILBOX.fullmatch(text)
    if match is None:
        raise ValueError(_what_is_wrong(text))
    if len(text) > MAX_MAILBOX or (not text.isascii() and len(text.encode()) > MAX_MAILBOX):
        raise ValueError(f"an address has at most {MAX_MAILBOX} octets (RFC 5321 §4.5.3.1.3)")
    plain, quoted, domain = match.groups()
    local = plain if plain is not None else _ESCAPED.sub(r"\1", quoted)
    return local, domain[:-1] if domain[-1] == "." else domain


def local_key(local: str) -> str:
    """Fold an unquoted local part for comparison: NFC, case-folded."""
    if not local.isprintable() and any(unicodedata.category(character) in {"Cc", "Cs"} for character in local):
        raise ValueError("a control character in the local part")
    if local.isascii():
        return local.lower()
    # Decomposed first: Unicode's canonical caseless match (D145) folds what composition would hide
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", local).casefold())


def domain_key(domain: str) -> str:
    """Normalise a domain or address literal for comparison: A-labels, lower case."""
    if domain.startswith("["):
        return _literal_key(domain)
    ascii_domain = domain if domain.isascii() else _to_ascii(domain)
    if not _HOSTNAME.fullmatch(ascii_domain) or len(ascii_domain) > MAX_DOMAIN:
        raise ValueError(f"{domain!r} is not a domain")
    return ascii_domain.lower()


def _to_ascii(domain: str) -> str:
    """Turn U-labels (RFC 5890 §2.3.2.1) into A-labels. ASCII labels beside them are left to the rules of ASCII domains.

    Case, normal form and the ideographic full stop are mapped (RFC 5895 §2), and nothing else. UTS #46, which browsers
    use for what people type, would drop invisible characters: mail to such a domain would be delivered to another.
    """
    if invisible := _JOINERS.search(domain):
        raise ValueError(f"{domain!r} is not a domain: U+{ord(invisible[0]):04X} is invisible")
    lower = "".join(character.lower() for character in domain)  # one by one: Python's lower() knows a final sigma
    labels = unicodedata.normalize("NFC", lower).replace("\u3002", ".").split(".")
    try:
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} is not a domain: {error}") from error


def _literal_key(literal: str) -> str:
    """Normalise `[192.0.2.1]`, `[IPv6:2001:db8::1]`, `[tag:anything]` (RFC 5321 §4.1.3)."""
    if _LITERAL.fullmatch(literal):
        content = literal[1:-1]
        if ipv4 := _IPV4.fullmatch(content):
            octets = [int(octet) for octet in ipv4.groups()]  # Snum is decimal, whatever the zeros in front
            if max(octets) <= 255:
                return f"[{IPv4Address(bytes(octets))}]"
        elif content[:5].lower() == "ipv6:":
            with suppress(ValueError):
                if "%" not in content:  # a zone means something on one host only
                    return f"[ipv6:{IPv6Address(content[5:])}]"
        elif _TAGGED.fullmatch(content):
            return literal.lower()
    raise ValueError(f"{literal!r} is not an address literal")


def _what_is_wrong(text: str) -> str:
    """Say it for those who write configurations; a client gets our generic reply."""
    if "@" not in text:
        return f"{text!r} is not an address: it has no @"
    if not text.isprintable():
        return f"{text!r} is not an address: a control character, or another that is not printable"
    return f"{text!r} is not an address of the form local-part@domain (RFC 5321 §4.1.2)"
