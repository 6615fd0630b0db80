"""May this client begin a transaction with this sender?"""

from __future__ import annotations

import pytest

from mailport.address.mail_address import Address
from mailport.policy import replies
from mailport.policy.chain import first_refusal
from mailport.policy.mail import ON_MAIL, MailFacts
from tests.tables import table

ANNA = Address.parse("anna@example.org")
LIMIT = 1000
FACTS = MailFacts(
    auth_required=False,
    user=None,
    must_own=False,
    owned=None,
    sender=ANNA,
    smtputf8=False,
    size=None,
    size_limit=LIMIT,
)
LOGGED_IN = FACTS._replace(auth_required=True, user="anna@example.org")
OWNER = LOGGED_IN._replace(must_own=True, owned=ANNA)


def sending_as(address: str) -> MailFacts:
    return OWNER._replace(sender=Address.parse(address), smtputf8=True)


@pytest.mark.parametrize(
    "facts, reply",
    table(
        {
            "anyone may": (FACTS, None),
            "not where authentication is required": (FACTS._replace(auth_required=True), replies.AUTH_REQUIRED),
            "who is logged in may": (LOGGED_IN, None),
            "as anybody": (LOGGED_IN._replace(sender=Address.parse("bert@example.net")), None),
            "with the null sender": (FACTS._replace(sender=None), None),
            "one's own name": (OWNER, None),
            "one's own name in other letters": (sending_as("ANNA@Example.ORG"), None),
            "one's own name in quotes": (sending_as('"anna"@example.org'), None),
            "not another's": (sending_as("bert@example.org"), replies.SENDER_NOT_OWNED),
            "nor one's own in another domain": (sending_as("anna@example.net"), replies.SENDER_NOT_OWNED),
            "nor with a subaddress": (sending_as("anna+shop@example.org"), replies.SENDER_NOT_OWNED),
            "a notification is nobody's": (OWNER._replace(sender=None), None),
            "a name that is no address owns none": (OWNER._replace(owned=None), replies.SENDER_NOT_OWNED),
            "but may send notifications": (OWNER._replace(owned=None, sender=None), None),
            "letters beyond ASCII need SMTPUTF8": (
                FACTS._replace(sender=Address.parse("änna@example.org")),
                replies.SENDER_NEEDS_SMTPUTF8,
            ),
            "in the domain too": (
                FACTS._replace(sender=Address.parse("anna@exämple.org")),
                replies.SENDER_NEEDS_SMTPUTF8,
            ),
            "and have it": (FACTS._replace(sender=Address.parse("änna@example.org"), smtputf8=True), None),
            "a size at the limit": (FACTS._replace(size=LIMIT), None),
            "a size over it": (FACTS._replace(size=LIMIT + 1), replies.SIZE_DECLARED),
            "any size where there is no limit": (FACTS._replace(size=10**19, size_limit=0), None),
        }
    ),
)
def test_mail(facts: MailFacts, reply: replies.Reply | None):
    """Each rule by itself."""
    assert first_refusal(ON_MAIL, facts) is reply


def test_which_reply_wins():
    """auth_required, then what the address is, then whose it is, then how large."""
    wrong = MailFacts(
        auth_required=True,
        user=None,
        must_own=True,
        owned=ANNA,
        sender=Address.parse("bört@example.net"),
        smtputf8=False,
        size=LIMIT + 1,
        size_limit=LIMIT,
    )
    better = wrong._replace(user="anna@example.org")

    assert first_refusal(ON_MAIL, wrong) is replies.AUTH_REQUIRED
    assert first_refusal(ON_MAIL, better) is replies.SENDER_NEEDS_SMTPUTF8
    assert first_refusal(ON_MAIL, better._replace(smtputf8=True)) is replies.SENDER_NOT_OWNED
    assert first_refusal(ON_MAIL, better._replace(sender=ANNA)) is replies.SIZE_DECLARED
