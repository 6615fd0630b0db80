"""PURE. May this message go to this recipient? The order is replies.md's "Which reply wins"."""

from __future__ import annotations

from typing import NamedTuple

from mailport.address import Address
from mailport.policy import replies
from mailport.policy.replies import Reply


class RouteFacts(NamedTuple):
    """What a decision needs of the route that matches."""

    number: int  # in the order of the document
    authenticated_only: bool  # clients: Authenticated
    relays: bool  # to another mail server, which may read more into a local part than we do


class RcptFacts(NamedTuple):
    """What is known at RCPT."""

    recipient: Address
    smtputf8: bool
    authenticated: bool
    accepted: int  # recipients of this transaction so far
    max_recipients: int  # 0: no limit
    route: RouteFacts | None  # the first that matches, whatever its clients
    hosted: bool  # some pattern has this very domain, without wildcard
    first_route: int | None  # of this transaction


def address_is_safe(facts: RcptFacts) -> Reply | None:
    """`user%other@here` and its like have made open relays of mail servers behind a gateway."""
    if facts.authenticated or facts.route is None or not facts.route.relays:
        return None
    return replies.UNSAFE_ADDRESS if _is_unsafe(facts.recipient.local) else None


def _is_unsafe(local: str) -> bool:
    return any(c in "%!@|" or c < " " or c == "\x7f" for c in local)


def ascii_without_smtputf8(facts: RcptFacts) -> Reply | None:
    """RFC 6531 §3.5: 553 5.6.7."""
    return None if facts.smtputf8 or facts.recipient.is_ascii else replies.NEEDS_SMTPUTF8


def within_recipient_limit(facts: RcptFacts) -> Reply | None:
    """RFC 5321 §4.5.3.1.10: 452, and the sender sends the rest in another transaction."""
    full = facts.max_recipients and facts.accepted >= facts.max_recipients
    return replies.TOO_MANY_RECIPIENTS if full else None


def has_route(facts: RcptFacts) -> Reply | None:
    """Never an open relay. A domain that is ours hears that the mailbox is unknown, any other that we do not relay."""
    if facts.route is not None:
        return None
    return replies.NO_SUCH_RECIPIENT if facts.hosted else replies.RELAY_DENIED


def authenticated_where_route_says_so(facts: RcptFacts) -> Reply | None:
    """The first route that matches decides; later ones are not tried."""
    needed = facts.route is not None and facts.route.authenticated_only and not facts.authenticated
    return replies.RELAY_DENIED if needed else None


def same_route_as_first(facts: RcptFacts) -> Reply | None:
    """One destination a transaction has one outcome. A mail server repeats a 452 by itself; a mail program does not."""
    if facts.authenticated or facts.first_route is None or facts.route is None:
        return None
    return None if facts.route.number == facts.first_route else replies.OTHER_ROUTE


ON_RCPT = (
    address_is_safe,  # 553 before it can reach another server
    ascii_without_smtputf8,  # 553: it could not be handed on
    within_recipient_limit,  # 452 before any refusal for good
    has_route,  # never an open relay
    authenticated_where_route_says_so,  # relaying is for those who proved who they are
    same_route_as_first,  # one destination a transaction
)
