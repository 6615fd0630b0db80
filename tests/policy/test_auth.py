"""May this client authenticate here and now?"""

from __future__ import annotations

import pytest

from mailport.address.mail_address import Address
from mailport.contract.model import AuthMode
from mailport.policy import replies
from mailport.policy.auth import ON_AUTH, AuthFacts, offered, owned_address
from mailport.policy.chain import first_refusal
from tests.tables import table

FACTS = AuthFacts(
    mode=AuthMode.SECURE_ONLY,
    encrypted=True,
    greeted=True,
    authenticated=False,
    in_transaction=False,
    failures=0,
    max_failures=3,
)


@pytest.mark.parametrize(
    "facts, reply",
    table(
        {
            "over TLS": (FACTS, None),
            "in clear": (FACTS._replace(encrypted=False), replies.AUTH_NEEDS_TLS),
            "in clear where Always": (FACTS._replace(encrypted=False, mode=AuthMode.ALWAYS), None),
            "where Never": (FACTS._replace(mode=AuthMode.NEVER), replies.AUTH_DISABLED),
            "where Never, in clear": (FACTS._replace(mode=AuthMode.NEVER, encrypted=False), replies.AUTH_DISABLED),
            "before EHLO": (FACTS._replace(greeted=False), replies.SEND_EHLO_FIRST),
            "again": (FACTS._replace(authenticated=True), replies.AUTH_NOT_NOW),
            "in a transaction": (FACTS._replace(in_transaction=True), replies.AUTH_NOT_NOW),
            "after as many failures as are allowed but one": (FACTS._replace(failures=2), None),
            "after as many as are allowed": (FACTS._replace(failures=3), replies.TOO_MANY_AUTH_FAILURES),
            "after many, without a limit": (FACTS._replace(failures=1000, max_failures=0), None),
            "again, after failures: nothing is checked, so nothing ends": (
                FACTS._replace(authenticated=True, failures=3),
                replies.AUTH_NOT_NOW,
            ),
        }
    ),
)
def test_auth(facts: AuthFacts, reply: replies.Reply | None):
    """Each rule by itself, and where two fit."""
    assert first_refusal(ON_AUTH, facts) is reply


@pytest.mark.parametrize(
    "mode, clear, encrypted",
    table(
        {
            "Always": (AuthMode.ALWAYS, True, True),
            "SecureOnly": (AuthMode.SECURE_ONLY, False, True),
            "Never": (AuthMode.NEVER, False, False),
        }
    ),
)
def test_where_ehlo_offers_it(mode: AuthMode, clear: bool, encrypted: bool):
    """Nowhere where it would be refused: a program that is offered AUTH sends the password."""
    assert offered(mode, encrypted=False) is clear
    assert offered(mode, encrypted=True) is encrypted


@pytest.mark.parametrize(
    "user, address",
    table(
        {
            "an address": ("anna@example.org", Address("anna", "example.org")),
            "a name is of this host": ("anna", Address("anna", "mx.example.org")),
            "a name with a space is none": ("anna b", None),
            "nor is half an address": ("anna@", None),
            "nor nothing": ("", None),
        }
    ),
)
def test_what_a_user_may_send_as(user: str, address: Address | None):
    """What senderMatch User compares with."""
    assert owned_address(user, "mx.example.org") == address
