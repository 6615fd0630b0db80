"""PURE. May this message go to this recipient? The order is replies.md's "Which reply wins"."""

from __future__ import annotations

from typing import NamedTuple

from mailport.address.mail_address import Address
from mailport.policy import replies
from mailport.policy.replies import Reply

_UNSAFE = frozenset("%!@|")  # a control character is none of an Address


class RouteFacts(NamedTuple):
    """What a decision needs of the route that matches."""

    number: int  # in the order of the document
    authenticated_only: bool  # clients: Authenticated
    relays: bool  # to another mail server, to which `%`, `!` and the like in a local part may mean a route
    refuses: bool = False  # `refuse`: every recipient is refused


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
    """A mail server behind a gateway may take `user%other@here` for an order to relay to `other`."""
    if facts.authenticated or facts.route is None or not facts.route.relays:
        return None
    return None if _UNSAFE.isdisjoint(facts.recipient.local) else replies.UNSAFE_ADDRESS


def ascii_without_smtputf8(facts: RcptFacts) -> Reply | None:
    """RFC 6531 §3.5: 553 to RCPT, where it is 550 to MAIL."""
    return None if facts.smtputf8 or facts.recipient.is_ascii else replies.RECIPIENT_NEEDS_SMTPUTF8


def within_recipient_limit(facts: RcptFacts) -> Reply | None:
    """RFC 5321 §4.5.3.1.10: 452, and the sender sends the rest in another transaction."""
    full = facts.max_recipients and facts.accepted >= facts.max_recipients
    return replies.TOO_MANY_RECIPIENTS if full else None


def has_route(facts: RcptFacts) -> Reply | None:
    """Never an open relay. In a domain of ours the mailbox is unknown; to any other domain relaying is denied."""
    if facts.route is not None:
        return None
    return replies.NO_SUCH_RECIPIENT if facts.hosted else replies.RELAY_DENIED


def authenticated_where_route_says_so(facts: RcptFacts) -> Reply | None:
    """The first route that matches decides; later ones are not tried."""
    needed = facts.route is not None and facts.route.authenticated_only and not facts.authenticated
    return replies.RELAY_DENIED if needed else None


def same_route_as_first(facts: RcptFacts) -> Reply | None:
    """One route a transaction, unless authenticated: one destination has one outcome.

    A mail server sends a recipient that got 452 in another transaction, by itself. A mail program does not. A route
    that refuses every recipient needs no transaction of its own.
    """
    if facts.authenticated or facts.first_route is None or facts.route is None or facts.route.refuses:
        return None
    return None if facts.route.number == facts.first_route else replies.OTHER_ROUTE


ON_RCPT = (
    address_is_safe,  # 553: another server could take it for a route
    ascii_without_smtputf8,  # 553: the address cannot be written without SMTPUTF8
    within_recipient_limit,  # 452, before any refusal that is permanent
    has_route,  # 550: never an open relay
    authenticated_where_route_says_so,  # 550: this route is for authenticated clients
    same_route_as_first,  # 452: one route a transaction
)
