"""PURE. Which subject a recipient's mail is published to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mailport.address.mail_address import Address

_TO_ENCODE = re.compile(rb"[^A-Za-z0-9_-]")
_PLACE = re.compile(r"\{domain\}|\{local\}")


def subject(template: str, recipient: Address) -> str:
    """Fill a recipient in. Octets outside A-Za-z0-9_- become =XX, so that none is a wildcard, a blank or a dot.

    The dots of the domain stay: `mail.{domain}.{local}` is `mail.example.org.anna`. Local part and domain are as
    addresses are compared: case-folded, and the domain in A-labels. An empty local part is `=`, as a token has to be
    something.
    """
    return _filled(template, recipient.local_key, recipient.domain_key)


def by_subject(template: str, recipients: Iterable[Address]) -> dict[str, list[Address]]:
    """Group recipients by their subject, in their order."""
    found: dict[str, list[Address]] = {}
    for recipient in recipients:
        found.setdefault(subject(template, recipient), []).append(recipient)
    return found


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether a subject is one of a stream's: `*` stands for one token, `>` at the end for one and more."""
    tokens = name.split(".")
    return any(_matches(pattern.split("."), tokens) for pattern in patterns)


@lru_cache(maxsize=4096)  # addresses come again and again
def _filled(template: str, local: str, domain: str) -> str:
    filled = {"{local}": _encoded(local) or "=", "{domain}": ".".join(_encoded(label) for label in domain.split("."))}
    return _PLACE.sub(lambda place: filled[place[0]], template)


def _matches(pattern: list[str], tokens: list[str]) -> bool:
    for index, part in enumerate(pattern):
        if part == ">":
            return len(tokens) > index
        if index >= len(tokens) or part not in ("*", tokens[index]):
            return False
    return len(pattern) == len(tokens)


def _encoded(text: str) -> str:
    return _TO_ENCODE.sub(lambda octet: b"=%02X" % octet[0][0], text.encode()).decode("ascii")
