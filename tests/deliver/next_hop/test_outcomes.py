"""replies.md, "Next hops": what the client hears."""

from __future__ import annotations

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.next_hop.answers import AnswerReader
from mailport.deliver.next_hop.outcomes import not_offered, refused
from mailport.deliver.next_hop.session import Offers, Step
from tests.tables import table

UNAVAILABLE = b"451 4.3.0 the destination is not available, try again later\r\n"


@pytest.mark.parametrize(
    "step, answer, line, reason",
    table(
        {
            "an unknown recipient": (Step.RCPT, "550 5.1.1 no", b"550 5.1.1 no\r\n", "no_such_recipient"),
            "a full mailbox, for good": (Step.RCPT, "552 5.2.2 full", b"552 5.2.2 full\r\n", "no_such_recipient"),
            "without enhanced code": (Step.RCPT, "550 no", b"550 5.0.0 no\r\n", "no_such_recipient"),
            "an address that it cannot read": (Step.RCPT, "501 bad", b"501 5.0.0 bad\r\n", "no_such_recipient"),
            "… or does not want to": (Step.RCPT, "555 syntax", b"555 5.0.0 syntax\r\n", "no_such_recipient"),
            "relaying denied": (Step.RCPT, "554 5.7.1 Relay access denied", UNAVAILABLE, "destination_misconfigured"),
            "530 to RCPT": (Step.RCPT, "530 Must issue STARTTLS first", UNAVAILABLE, "destination_misconfigured"),
            "503 to RCPT, which is ours": (Step.RCPT, "503 need MAIL", UNAVAILABLE, "destination_misconfigured"),
            "greylisted": (Step.RCPT, "450 4.2.0 Greylisted", UNAVAILABLE, "destination_unavailable"),
            "a sender that cannot be": (Step.MAIL, "501 5.1.7 bad", b"501 5.1.7 bad\r\n", "destination_refused"),
            "a sender whose domain is not": (Step.MAIL, "550 5.1.8 no", b"550 5.1.8 no\r\n", "destination_refused"),
            "too large, at MAIL": (Step.MAIL, "552 5.3.4 big", b"552 5.3.4 big\r\n", "destination_refused"),
            "another no to MAIL": (Step.MAIL, "550 5.7.1 policy", UNAVAILABLE, "destination_misconfigured"),
            "MAIL without enhanced code": (Step.MAIL, "550 no", UNAVAILABLE, "destination_misconfigured"),
            "the content": (Step.CONTENT, "554 5.7.1 spam", b"554 5.7.1 spam\r\n", "destination_refused"),
            "BDAT, which something in between does not know": (
                Step.CONTENT,
                "500 5.5.2 unrecognized",
                UNAVAILABLE,
                "destination_misconfigured",
            ),
            "… or does not want now": (Step.CONTENT, "554 5.5.1 no", UNAVAILABLE, "destination_misconfigured"),
            "… later": (Step.CONTENT, "452 4.2.2 over quota", UNAVAILABLE, "destination_unavailable"),
            "DATA itself": (Step.DATA, "554 5.5.1 no", UNAVAILABLE, "destination_misconfigured"),
            "at connect": (Step.GREETING, "554 5.7.1 go away", UNAVAILABLE, "destination_misconfigured"),
            "… for now": (Step.GREETING, "421 4.3.2 busy", UNAVAILABLE, "destination_unavailable"),
            "EHLO": (Step.EHLO, "550 no", UNAVAILABLE, "destination_misconfigured"),
            "STARTTLS": (Step.STARTTLS, "502 no", UNAVAILABLE, "destination_misconfigured"),
            "a wrong password": (Step.AUTH, "535 5.7.8 no", UNAVAILABLE, "destination_misconfigured"),
            "AUTH for now": (Step.AUTH, "454 4.7.0 later", UNAVAILABLE, "destination_unavailable"),
        }
    ),
)
def test_what_the_client_hears(step: Step, answer: str, line: bytes, reason: str):
    reader = AnswerReader()
    reader.feed(f"{answer}\r\n".encode())
    said = reader.next()
    assert said is not None
    outcome = refused(step, said)

    assert (outcome.reply.line, outcome.reply.reason) == (line, reason)
    assert answer in str(outcome), "the log has the next hop's own words"


@pytest.mark.parametrize(
    "offers, sender, recipient, size, code",
    table(
        {
            "ASCII needs nothing": ({}, "bob@example.net", "anna@example.org", 10**9, 0),
            "a recipient that needs SMTPUTF8": ({}, "bob@example.net", "jürgen@example.org", None, 553),
            "a sender that does": ({}, "jürgen@example.net", "anna@example.org", None, 550),
            "… and it is offered": ({"SMTPUTF8": ""}, "jürgen@example.net", "jürgen@example.org", None, 0),
            "too large": ({"SIZE": "1000"}, "bob@example.net", "anna@example.org", 1001, 552),
            "as large as may be": ({"SIZE": "1000"}, "bob@example.net", "anna@example.org", 1000, 0),
            "SIZE 0 is no limit": ({"SIZE": "0"}, "bob@example.net", "anna@example.org", 1001, 0),
            "SIZE without a number": ({"SIZE": ""}, "bob@example.net", "anna@example.org", 1001, 0),
        }
    ),
)
def test_what_is_not_offered(offers: dict[str, str], sender: str, recipient: str, size: int | None, code: int):
    refusal = not_offered(Offers(offers), Address.parse(sender), Address.parse(recipient), size)

    assert (refusal.reply.code if refusal else 0) == code
