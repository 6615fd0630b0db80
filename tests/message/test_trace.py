"""The trace fields that we write."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.address.mail_address import Address
from mailport.message import header
from mailport.message.trace import received, return_path
from tests.messages import ENVELOPE, HOSTNAME
from tests.tables import table

ANNA = Address("anna", "example.org")
BASE = ENVELOPE._replace(id="1a2b", helo="mail.example.net")
TLS = ("TLSv1.3", "TLS_AES_256_GCM_SHA384")


@pytest.mark.parametrize(
    ("facts", "recipient", "written"),
    table(
        {
            "the plain case": (
                {},
                None,
                [
                    "Received: from mail.example.net ([192.0.2.1])",
                    "\tby mx.example.org with ESMTP",
                    "\tid 1a2b;",
                    "\tMon, 23 Nov 2026 14:12:05 +0000",
                ],
            ),
            "everything at once": (
                {"tls": TLS, "user": "anna", "client": ip_address("2001:db8::1")},
                ANNA,
                [
                    "Received: from mail.example.net ([IPv6:2001:db8::1])",
                    "\tby mx.example.org with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)",
                    "\tid 1a2b for <anna@example.org>;",
                    "\tMon, 23 Nov 2026 14:12:05 +0000",
                ],
            ),
            "an address beyond ASCII is written in UTF-8": (
                {"smtputf8": True},
                Address("änna", "example.org"),
                [
                    "Received: from mail.example.net ([192.0.2.1])",
                    "\tby mx.example.org with UTF8SMTP",
                    "\tid 1a2b for <änna@example.org>;",
                    "\tMon, 23 Nov 2026 14:12:05 +0000",
                ],
            ),
        }
    ),
)
def test_received(facts, recipient, written):
    """RFC 5321 §4.4, folded."""
    assert received(BASE._replace(**facts), recipient).decode().split("\r\n") == [*written, ""]


@pytest.mark.parametrize(
    ("facts", "protocol"),
    table(
        {
            "HELO": ({"extended": False}, "SMTP"),
            "HELO has no other names, TLS or not": ({"extended": False, "tls": TLS}, "SMTP"),
            "EHLO": ({}, "ESMTP"),
            "with TLS": ({"tls": TLS}, "ESMTPS"),
            "with AUTH": ({"user": "anna"}, "ESMTPA"),
            "with both": ({"tls": TLS, "user": "anna"}, "ESMTPSA"),
            "SMTPUTF8": ({"smtputf8": True}, "UTF8SMTP"),
            "SMTPUTF8 with TLS": ({"smtputf8": True, "tls": TLS}, "UTF8SMTPS"),
            "SMTPUTF8 with AUTH": ({"smtputf8": True, "user": "anna"}, "UTF8SMTPA"),
            "SMTPUTF8 with both": ({"smtputf8": True, "tls": TLS, "user": "anna"}, "UTF8SMTPSA"),
        }
    ),
)
def test_with(facts, protocol):
    """RFC 3848 and RFC 6531 §4.3."""
    assert re.search(rb" with (\w+)", received(BASE._replace(**facts), None))[1].decode() == protocol


@pytest.mark.parametrize(
    ("helo", "written"),
    table(
        {
            "a name": ("mail.example.net", "mail.example.net"),
            "an address literal": ("[192.0.2.9]", "[192.0.2.9]"),
            "an IPv6 literal": ("[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]"),
            "underscores": ("my_laptop", "my_laptop"),
            "nothing": ("", "[192.0.2.1]"),
            "a clause of its own": ("x by mx.example.org", "x?by?mx.example.org"),
            "a comment": ("x (y)", "x??y?"),
            "a line end": ("x\r\nSubject: y", "x??Subject??y"),
            "beyond ASCII": ("münchen", "m?nchen"),
            "half an address literal": ("[192.0.2.1", "?192.0.2.1"),
            "no end of it": ("x" * 500, "x" * 255),
        }
    ),
)
def test_the_ehlo_name_is_cleaned(helo, written):
    """It is whatever the client says, and may not end the line, the clause or the reader's patience."""
    line = received(BASE._replace(helo=helo), None).split(b"\r\n")[0].decode()

    assert line == f"Received: from {written} ([192.0.2.1])"


@given(st.text(max_size=300), st.sampled_from([None, ANNA, Address('a>"; x', "example.org")]))
def test_received_is_one_field_with_a_date(helo, recipient):
    """Whatever the client is called, the standard library sees one field, and the date in it."""
    message = message_from_bytes(received(BASE._replace(helo=helo), recipient) + b"\r\n", policy=policy.SMTP)

    assert message.keys() == ["Received"]
    assert parsedate_to_datetime(message["Received"].rpartition(";")[2]) == BASE.time.replace(microsecond=0)
    assert not message.defects


def test_received_is_counted_as_ours():
    """Else a loop through this very gateway would never be seen."""
    field = received(BASE._replace(tls=TLS, helo="x" * 300), ANNA)
    section = header.parse(field * 3 + b"\r\n", HOSTNAME.upper(), whole=True)

    assert (section.received, section.ours) == (3, 3)


@pytest.mark.parametrize(
    ("sender", "written"),
    table(
        {
            "a sender": (ANNA, "Return-Path: <anna@example.org>\r\n"),
            "the null sender": (None, "Return-Path: <>\r\n"),
            "one in quotes": (Address("a b", "example.org"), 'Return-Path: <"a b"@example.org>\r\n'),
            "one beyond ASCII": (Address("änna", "example.org"), "Return-Path: <änna@example.org>\r\n"),
        }
    ),
)
def test_return_path(sender, written):
    """The reverse-path as MAIL had it."""
    assert return_path(sender) == written.encode()
