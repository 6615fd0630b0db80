"""PURE. May this client, and this sender's domain, send at all? At RCPT, in replies.md's order."""

from __future__ import annotations

from typing import NamedTuple

from mailport.authentication.result import Result
from mailport.contract.model import RejectMode
from mailport.policy import replies
from mailport.policy.replies import Reply


class SenderFacts(NamedTuple):
    """What is known of the sender at RCPT. Postmaster is asked none of it (RFC 5321 §4.5.1)."""

    iprev_mode: RejectMode
    iprev: Result | None  # None: not asked
    null_mx: bool  # the sender's domain takes no mail, so nobody could answer (RFC 7505 §4.2)


def address_has_a_name(facts: SenderFacts) -> Reply | None:
    """iprev.mode Reject: a name of the client's address leads back to it."""
    if facts.iprev_mode is not RejectMode.REJECT:
        return None
    if facts.iprev is Result.TEMPERROR:
        return replies.IPREV_UNKNOWN
    return replies.NO_REVERSE_DNS if facts.iprev in (Result.FAIL, Result.PERMERROR) else None


def domain_takes_mail(facts: SenderFacts) -> Reply | None:
    """RFC 7505 §4.2: 550 5.7.27."""
    return replies.NULL_MX if facts.null_mx else None


ON_SENDER = (
    address_has_a_name,  # 550 or 451
    domain_takes_mail,  # 550
)
