"""PURE. May this client authenticate here and now? RFC 4954."""

from __future__ import annotations

from typing import NamedTuple

from mailport.address.mail_address import Address
from mailport.contract.model import AuthMode
from mailport.policy import replies
from mailport.policy.replies import Reply

MECHANISMS = ("PLAIN", "LOGIN")


class AuthFacts(NamedTuple):
    """What is known at AUTH."""

    mode: AuthMode
    encrypted: bool
    greeted: bool  # EHLO or HELO has been said, after STARTTLS once more
    authenticated: bool
    in_transaction: bool
    failures: int  # in this session
    max_failures: int  # 0: no limit


def offered(mode: AuthMode, *, encrypted: bool) -> bool:
    """Whether EHLO offers AUTH."""
    return mode is AuthMode.ALWAYS or (mode is AuthMode.SECURE_ONLY and encrypted)


def available(facts: AuthFacts) -> Reply | None:
    """Mode Never: there is no AUTH on this listener."""
    return replies.AUTH_DISABLED if facts.mode is AuthMode.NEVER else None


def greeted(facts: AuthFacts) -> Reply | None:
    """EHLO comes first, as AUTH is an extension. HELO does too: cameras and printers use AUTH after it."""
    return None if facts.greeted else replies.SEND_EHLO_FIRST


def secure_enough(facts: AuthFacts) -> Reply | None:
    """Mode SecureOnly: AUTH needs TLS. A password sent in clear is not checked, so that the client stops sending it."""
    return None if offered(facts.mode, encrypted=facts.encrypted) else replies.AUTH_NEEDS_TLS


def in_sequence(facts: AuthFacts) -> Reply | None:
    """Once in a session, and never in a transaction (RFC 4954 §4)."""
    return replies.AUTH_NOT_NOW if facts.authenticated or facts.in_transaction else None


def failures_left(facts: AuthFacts) -> Reply | None:
    """The AUTH after maxAuthFailures failures ends the session; its password is not checked."""
    return replies.TOO_MANY_AUTH_FAILURES if facts.max_failures and facts.failures >= facts.max_failures else None


ON_AUTH = (
    available,  # 502: no AUTH on this listener
    greeted,  # 503: EHLO first
    secure_enough,  # 538: not without TLS
    in_sequence,  # 503: authenticated already, or in a transaction
    failures_left,  # 421: too many wrong passwords
)


def owned_address(user: str, hostname: str) -> Address | None:
    """Return what a user may send as under senderMatch User; None where the name is no address.

    A name without a domain is one of ours: `anna` is anna@<hostname>.
    """
    try:
        return Address.parse(user if "@" in user else f"{user}@{hostname}")
    except ValueError:
        return None
