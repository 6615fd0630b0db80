"""Which route takes a recipient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.address import Address
from mailport.model import Deliver, Discard, Route
from mailport.pattern import parse_pattern
from mailport.policy.recipients import Router
from tests.tables import table


def routes(*recipients: list[str]) -> list[Route]:
    return [
        Route(name=f"r{index}", recipients=tuple(patterns), deliver=Deliver(discard=Discard()))
        for index, patterns in enumerate(recipients)
    ]


# Names from a few letters, so that patterns of all kinds meet the same addresses
locals_ = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "a*b", "**"])
domains = st.sampled_from(["a", "a.b", "b.a.b", "*", "*.b", "*.a.b", "a.*", "*b", "b*.b", "*.*"])
patterns = st.builds("{}@{}".format, locals_, domains) | st.just("*")
addresses = st.builds(
    Address, st.sampled_from(["a", "b", "ab", "aab", "*", "a@a"]), st.sampled_from(["a", "b", "a.b", "b.a.b", "bb.b"])
)


@given(st.lists(st.lists(patterns, min_size=1, max_size=4), max_size=6), st.lists(addresses, max_size=5))
def test_the_first_route_with_a_pattern_that_matches(recipients, questions):
    """However the patterns are sorted inside, the answer is that of going through the routes in their order."""
    router = Router(routes(*recipients))
    for address in questions:
        answers = (
            index
            for index, texts in enumerate(recipients)
            if any(parse_pattern(text).matches(address) for text in texts)
        )

        assert router.match(address) == next(answers, None)


@pytest.mark.parametrize(
    ("address", "index"),
    table(
        {
            "an address taken out of a later catch-all": ("old@example.org", 0),
            "the catch-all": ("anyone@example.org", 1),
            "a glob in front of a mailbox": ("sales-eu@example.net", 2),
            "a mailbox in front of a glob": ("sales@example.net", 1),
            "below a domain": ("a@b.example.net", 3),
            "a domain of its own": ("a@tickets.example.com", 4),
            "none": ("a@example.com", None),
            "none for a domain that only ends alike": ("a@notexample.org", None),
            "an address literal": ("a@[192.0.2.1]", None),
        }
    ),
)
def test_order(address, index):
    """First match wins, across all kinds of patterns."""
    router = Router(
        routes(
            ["old@example.org"],
            ["*@example.org", "sales@example.net"],
            ["sales*@example.net"],
            ["*@*.example.net"],
            ["*@tickets.*"],
        )
    )

    assert router.match(Address.parse(address)) == index


@pytest.mark.parametrize(
    ("domain", "hosted"),
    table(
        {
            "a domain with a catch-all": ("example.org", True),
            "a domain with one mailbox": ("example.net", True),
            "a domain with a glob for mailboxes": ("example.com", True),
            "an international one, by its A-labels": ("xn--mnchen-3ya.de", True),
            "one that only a wildcard matches": ("a.example.edu", False),
            "the parent of such": ("example.edu", False),
            "any other": ("example.info", False),
        }
    ),
)
def test_hosted_domains(domain, hosted):
    """A domain is ours where a pattern has it as it is: there an unknown mailbox is 550 5.1.1, elsewhere 5.7.1."""
    router = Router(
        routes(["*@example.org", "anna@example.net"], ["shop-*@EXAMPLE.com", "*@*.example.edu"], ["*@münchen.de", "*"])
    )

    assert router.hosts(domain) is hosted


def test_no_routes():
    """Then nobody takes anything."""
    assert Router([]).match(Address("a", "b")) is None
