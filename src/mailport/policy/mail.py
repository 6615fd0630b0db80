"""PURE. May this client begin a transaction with this sender? The order is replies.md's "Which reply wins"."""

from __future__ import annotations

from typing import NamedTuple

from mailport.address.mail_address import Address
from mailport.policy import replies
from mailport.policy.replies import Reply


class MailFacts(NamedTuple):
    """What is known at MAIL."""

    auth_required: bool  # the listener's auth.required
    user: str | None  # who authenticated
    must_own: bool  # senderMatch User, and somebody authenticated
    owned: Address | None  # what that user may send as; None: nothing, the name is no address
    sender: Address | None  # None is the null sender <>
    smtputf8: bool
    size: int | None  # octets, as declared
    size_limit: int  # octets; 0: none, or not enforced


def authenticated_where_required(facts: MailFacts) -> Reply | None:
    """The listener's auth.required: 530 (RFC 4954 §6)."""
    return replies.AUTH_REQUIRED if facts.auth_required and facts.user is None else None


def ascii_without_smtputf8(facts: MailFacts) -> Reply | None:
    """RFC 6531 §3.5: 550 to MAIL, where it is 553 to RCPT."""
    if facts.sender is None or facts.smtputf8 or facts.sender.is_ascii:
        return None
    return replies.SENDER_NEEDS_SMTPUTF8


def sender_is_the_users_own(facts: MailFacts) -> Reply | None:
    """auth.senderMatch User: only the user's own address, which RFC 6409 §6.1 allows to ask for, or <> (bounces)."""
    if not facts.must_own or facts.sender is None:
        return None
    own, sender = facts.owned, facts.sender
    if own is not None and own.local_key == sender.local_key and own.domain_key == sender.domain_key:
        return None
    return replies.SENDER_NOT_OWNED


def declared_size_fits(facts: MailFacts) -> Reply | None:
    """RFC 1870 §6.1: 552 to the declared size, before any of the message is sent."""
    return replies.SIZE_DECLARED if facts.size_limit and (facts.size or 0) > facts.size_limit else None


ON_MAIL = (
    authenticated_where_required,  # 530: log in first
    ascii_without_smtputf8,  # 550: the address cannot be written without SMTPUTF8
    sender_is_the_users_own,  # 553: another's address
    declared_size_fits,  # 552, last: with the same sender a smaller message would be taken
)
