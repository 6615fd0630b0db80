"""May this message go to this recipient?"""

from __future__ import annotations

import pytest

from mailport.address.mail_address import Address
from mailport.policy import replies
from mailport.policy.chain import first_refusal
from mailport.policy.rcpt import ON_RCPT, RcptFacts, RouteFacts
from tests.tables import table

OPEN = RouteFacts(number=1, authenticated_only=False, relays=False)
RELAY = RouteFacts(number=2, authenticated_only=False, relays=True)
OURS_ONLY = RouteFacts(number=3, authenticated_only=True, relays=True)
GONE = RouteFacts(number=4, authenticated_only=False, relays=False, refuses=True)
FACTS = RcptFacts(
    recipient=Address.parse("anna@example.org"),
    smtputf8=False,
    authenticated=False,
    accepted=0,
    max_recipients=100,
    route=OPEN,
    hosted=False,
    first_route=None,
)
NOWHERE = FACTS._replace(route=None)


def to(local: str, route: RouteFacts = RELAY, **others: bool) -> RcptFacts:
    return FACTS._replace(recipient=Address(local, "example.org"), route=route, **others)


@pytest.mark.parametrize(
    "facts, reply",
    table(
        {
            "a route takes it": (FACTS, None),
            "none does": (NOWHERE, replies.RELAY_DENIED),
            "none does, and it is one recipient too many": (
                NOWHERE._replace(accepted=100),
                replies.TOO_MANY_RECIPIENTS,
            ),
            "none does in a domain of ours": (NOWHERE._replace(hosted=True), replies.NO_SUCH_RECIPIENT),
            "none does for those who are logged in either": (
                NOWHERE._replace(authenticated=True),
                replies.RELAY_DENIED,
            ),
            "a route that refuses, behind another": (FACTS._replace(route=GONE, first_route=1), None),
            "a route that asks for authentication": (FACTS._replace(route=OURS_ONLY), replies.RELAY_DENIED),
            "in a domain of ours too": (FACTS._replace(route=OURS_ONLY, hosted=True), replies.RELAY_DENIED),
            "and gets it": (FACTS._replace(route=OURS_ONLY, authenticated=True), None),
            "the transaction's own route": (FACTS._replace(first_route=1), None),
            "another route": (FACTS._replace(first_route=2), replies.OTHER_ROUTE),
            "another route, logged in": (FACTS._replace(first_route=2, authenticated=True), None),
            "the last recipient that fits": (FACTS._replace(accepted=99), None),
            "the first that does not": (FACTS._replace(accepted=100), replies.TOO_MANY_RECIPIENTS),
            "as many as they like": (FACTS._replace(accepted=10**6, max_recipients=0), None),
            "letters beyond ASCII without SMTPUTF8": (to("jörg", OPEN), replies.RECIPIENT_NEEDS_SMTPUTF8),
            "letters beyond ASCII with it": (to("jörg", OPEN, smtputf8=True), None),
            "a percent sign to another server": (to("carl%elsewhere"), replies.UNSAFE_ADDRESS),
            "a bang": (to("elsewhere!carl"), replies.UNSAFE_ADDRESS),
            "an @": (to("carl@elsewhere"), replies.UNSAFE_ADDRESS),
            "a pipe": (to("|sh"), replies.UNSAFE_ADDRESS),
            "who is logged in may": (to("carl%elsewhere", authenticated=True), None),
            "into a mailbox it is a name like others": (to("carl%elsewhere", OPEN), None),
            "where nothing matches there is nothing to be afraid of": (
                NOWHERE._replace(recipient=Address("carl%elsewhere", "example.org")),
                replies.RELAY_DENIED,
            ),
        }
    ),
)
def test_rcpt(facts: RcptFacts, reply: replies.Reply | None):
    """Each rule by itself."""
    assert first_refusal(ON_RCPT, facts) is reply


def test_which_reply_wins():
    """unsafe_address, smtputf8, maxRecipients, route, relay_denied, other_route."""
    wrong = FACTS._replace(
        recipient=Address("jörg%elsewhere", "example.org"), route=OURS_ONLY, accepted=100, first_route=1
    )
    safe = wrong._replace(recipient=Address("jörg", "example.org"))
    ascii_only = wrong._replace(recipient=Address("carl", "example.org"))
    few = ascii_only._replace(accepted=1)

    assert first_refusal(ON_RCPT, wrong) is replies.UNSAFE_ADDRESS
    assert first_refusal(ON_RCPT, safe) is replies.RECIPIENT_NEEDS_SMTPUTF8
    assert first_refusal(ON_RCPT, ascii_only) is replies.TOO_MANY_RECIPIENTS
    assert first_refusal(ON_RCPT, few._replace(route=None)) is replies.RELAY_DENIED
    assert first_refusal(ON_RCPT, few) is replies.RELAY_DENIED
    assert first_refusal(ON_RCPT, few._replace(route=RELAY)) is replies.OTHER_ROUTE
