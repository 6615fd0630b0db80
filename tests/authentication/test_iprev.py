"""iprev (RFC 8601 §3): whether a name of the client's address leads back to it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mailport.authentication import iprev
from mailport.authentication.dns import Question
from mailport.authentication.result import Result
from tests.authentication.zones import answering, run
from tests.tables import table

REVERSE = "1.2.0.192.in-addr.arpa"
A = [("A", "192.0.2.1")]
SILENT = [("TIMEOUT", None)]


@pytest.mark.parametrize(
    ("zone", "result", "name"),
    table(
        {
            "a name leads back": ({REVERSE: [("PTR", "Mail.example.")], "mail.example": A}, "pass", "mail.example"),
            "one of two does": (
                {REVERSE: [("PTR", "a.example"), ("PTR", "b.example")], "b.example": A},
                "pass",
                "b.example",
            ),
            "through an alias": (
                {REVERSE: [("PTR", "a.example")], "a.example": [("CNAME", "b.example")], "b.example": A},
                "pass",
                "a.example",
            ),
            "it leads elsewhere": ({REVERSE: [("PTR", "a.example")], "a.example": [("A", "192.0.2.9")]}, "fail", ""),
            "it leads nowhere": ({REVERSE: [("PTR", "a.example")]}, "fail", ""),
            "it cannot be a name": ({REVERSE: [("PTR", "a" * 64 + ".example")]}, "fail", ""),
            "there is none": ({}, "permerror", ""),
            "that could not be asked": ({REVERSE: [("SERVFAIL", None)]}, "temperror", ""),
            "where it leads could not": (
                {REVERSE: [("PTR", "a.example")], "a.example": [("TIMEOUT", None)]},
                "temperror",
                "",
            ),
            "where one leads could not, and another leads back": (
                {
                    REVERSE: [("PTR", "a.example"), ("PTR", "b.example")],
                    "a.example": [("TIMEOUT", None)],
                    "b.example": A,
                },
                "pass",
                "b.example",
            ),
        }
    ),
)
def test_result(zone, result, name):
    """Each result, and the name that led back."""
    found = run(iprev.check(ip_address("192.0.2.1")), answering(zone))

    assert (found.result, found.name) == (result, name), found.why


def test_ipv6():
    """By nibbles, and AAAA."""
    client = ip_address("2001:db8::1")
    zone = {client.reverse_pointer: [("PTR", "a.example")], "a.example": [("AAAA", "2001:db8::1")]}

    assert run(iprev.check(client), answering(zone)).result is Result.PASS


def test_at_most_ten_names():
    """The eleventh is not followed (RFC 8601 §3)."""
    asked: list[Question] = []
    zone = {REVERSE: [("PTR", f"n{number}.example") for number in range(15)], "n14.example": A}

    assert run(iprev.check(ip_address("192.0.2.1")), answering(zone, asked)).result is Result.FAIL
    assert len(asked) == 1 + iprev.MAX_NAMES
