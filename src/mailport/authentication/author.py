"""PURE. Whose domain is the message's author of? The addresses of From (RFC 5322 §3.4, §3.6.2; RFC 9989 §5.3.1)."""

from __future__ import annotations

import re

from mailport.address.mail_address import domain_key
from mailport.authentication.fields import TOO_MANY, Fields

MAX_OCTETS = 8 * 1024  # of a From field that is read: one address needs less
MAX_DEPTH = 50  # of comments in one another
_MAX_MAILBOXES = 2  # more than one is too many already

# No octet is looked at twice: each alternative begins with another character.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]++)
    |"(?P<quoted>(?:[^"\\]++|\\.)*+)"
    |(?P<literal>\[[^][\\]*+\])
    |(?P<special>[()<>@,;:])
    |(?P<atom>[^][ \t\r\n"()<>@,;:\\]++)""",
    re.VERBOSE | re.DOTALL,
)
_SEPARATORS = frozenset(",;:")
_END = ""
_COMMENT = re.compile(r"[^()\\]++|\\.|(?P<open>\()|(?P<close>\))", re.DOTALL)


class FromFault(ValueError):  # noqa: N818 - the message's
    """There is no one author's domain: permerror. Says why."""


class NoAuthor(FromFault):
    """There is no From field, or nothing in it that a mail program could show as an address."""


# What From mostly is: an address, or one in angle brackets behind words or behind one quoted string
_SIMPLE = r"[A-Za-z0-9_.+=-]++@([A-Za-z0-9.-]++)"
_USUAL = re.compile(rf"""[ \t]*+(?:(?:[A-Za-z0-9_ \t.'-]*+|"[^"\\]*+"[ \t]*+)<{_SIMPLE}>|{_SIMPLE})[ \t]*+""")


def domain(fields: Fields) -> str:
    """Return the domain of the one address in the one From field, in A-labels. Raises FromFault."""
    found = fields.named(b"from")
    if fields.too_many:
        raise FromFault(TOO_MANY)
    if not any(b"@" in field.body for field in found):
        raise NoAuthor("no address in From" if found else "no From field")
    if len(found) != 1:
        raise FromFault(f"{len(found)} From fields")
    body = found[0].body
    if len(body) > MAX_OCTETS:
        raise FromFault(f"a From field of more than {MAX_OCTETS} octets")
    text = body.decode("utf-8", "replace")
    usual = _USUAL.fullmatch(text)
    domains = [usual[1] or usual[2]] if usual is not None else _domains(text)
    if len(domains) != 1:
        raise FromFault("no address in From" if not domains else "several addresses in From")
    try:
        return domain_key(domains[0].removesuffix("."))
    except ValueError:
        raise FromFault("the address in From has no domain") from None


def _domains(text: str) -> list[str]:
    """Return the domains of the mailboxes in a list, at most _MAX_MAILBOXES. Raises FromFault.

    What has no @ in it is no mailbox: a group's name, or the first part of `Doe, Anna <anna@example.org>`, which should
    have been quoted.
    """
    domains: list[str] = []
    words: list[str] = []  # of the mailbox that is read: display name and address
    bracket = False  # a `<` is open: the commas and colons of a route end nothing (RFC 5322 §4.4)
    for word in [*_tokens(text), _END]:
        if word == _END or (word in _SEPARATORS and not bracket):
            if "@" in words or "<" in words:
                domains.append(_domain_of(words))
            words = []
            if len(domains) >= _MAX_MAILBOXES:
                break
        else:
            bracket = word == "<" or (bracket and word != ">")
            words.append(word)
    return domains


def _domain_of(words: list[str]) -> str:
    """Return the domain of one mailbox. Raises FromFault where it is none."""
    if "<" in words:
        if words[-1] != ">" or words.count("<") != 1 or words.count(">") != 1:
            raise FromFault("From is no list of addresses")
        words = words[words.index("<") + 1 : -1]
        if ":" in words:  # a route
            words = words[words.index(":") + 1 :]
    at = words.index("@") if words.count("@") == 1 else 0
    if not at or not words[at + 1 :] or ">" in words:
        raise FromFault("an address in From has no local part, or no domain")
    return "".join(words[at + 1 :])


def _tokens(text: str) -> list[str]:
    """Split into words and specials, without white space and comments. Raises FromFault.

    A quoted string is one word that holds no special.
    """
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FromFault("From is no list of addresses")
        at = match.end()
        kind = match.lastgroup
        if match[0] == "(":
            at = _behind_comment(text, at)
        elif kind == "quoted":
            tokens.append('""')
        elif kind != "space":
            tokens.append(match[0])
    return tokens


def _behind_comment(text: str, at: int) -> int:
    """Return the place behind a comment, whose `(` stands before `at`. Raises FromFault."""
    depth = 1
    while depth:
        match = _COMMENT.match(text, at)
        if match is None or depth > MAX_DEPTH:
            raise FromFault("a comment in From has no end, or too many in it")
        at = match.end()
        depth += (match.lastgroup == "open") - (match.lastgroup == "close")
    return at
