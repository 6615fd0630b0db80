"""Which route takes a recipient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.address.mail_address import Address
from mailport.address.pattern import parse_pattern
from mailport.contract.model import Clients, Deliver, Discard, Refuse, Route
from mailport.policy.recipients import Router
from tests.tables import table

HOSTNAME, POSTMASTER = "MX.example.org", Address.parse("Root@example.org")


def made_of(*recipients: list[str]) -> Router:
    """Make one of routes that take all that is for these recipients."""
    return Router(
        [route(f"r{index}", *patterns) for index, patterns in enumerate(recipients)],
        hostname=HOSTNAME,
        postmaster=POSTMASTER,
    )


def route(name: str, *recipients: str, clients: Clients = Clients.ANYONE, refuses: bool = False) -> Route:
    deliver = Deliver(refuse=Refuse()) if refuses else Deliver(discard=Discard())
    return Route(name=name, recipients=recipients, clients=clients, deliver=deliver)


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
    router = made_of(*recipients)
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
    router = made_of(
        ["old@example.org"],
        ["*@example.org", "sales@example.net"],
        ["sales*@example.net"],
        ["*@*.example.net"],
        ["*@tickets.*"],
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
    router = made_of(
        ["*@example.org", "anna@example.net"], ["shop-*@EXAMPLE.com", "*@*.example.edu"], ["*@münchen.de", "*"]
    )

    assert router.hosts(domain) is hosted


def test_no_routes():
    """Then nobody takes anything."""
    assert made_of().match(Address("a", "b")) is None


# --- the postmaster (RFC 5321 §4.5.1)

ROUTES = [
    route("closed", "*@closed.example", refuses=True),
    route("users", "root@example.org", "anna@example.com", "*@catch-all.example"),
    route("desk", "postmaster@example.net", "anna@example.net"),
    route("out", "*@*", clients=Clients.AUTHENTICATED),
]


@pytest.mark.parametrize(
    ("recipient", "authenticated", "meant", "name"),
    table(
        {
            "<postmaster> is spec.postmaster": (None, False, "Root@example.org", "users"),
            "and for users": (None, True, "Root@example.org", "users"),
            "so is postmaster@ a domain with one mailbox": (
                "postmaster@example.com",
                False,
                "Root@example.org",
                "users",
            ),
            "in any case": ("PostMaster@EXAMPLE.com", False, "Root@example.org", "users"),
            "and in quotes": ('"postmaster"@example.com', False, "Root@example.org", "users"),
            "and at the hostname": ("postmaster@mx.example.org", False, "Root@example.org", "users"),
            "a route that refuses takes nothing": ("postmaster@closed.example", False, "Root@example.org", "users"),
            "a catch-all takes it itself": (
                "postmaster@catch-all.example",
                False,
                "postmaster@catch-all.example",
                "users",
            ),
            "a route of its own takes it": ("postmaster@example.net", False, "postmaster@example.net", "desk"),
            "who may use a later route may use it for this": (
                "postmaster@example.com",
                True,
                "postmaster@example.com",
                "out",
            ),
            "a domain that is not ours": ("postmaster@example.info", False, "postmaster@example.info", "out"),
            "a domain below one that is ours": ("postmaster@a.example.com", False, "postmaster@a.example.com", "out"),
            "another mailbox": ("abuse@example.com", False, "abuse@example.com", "out"),
            "postmaster with a subaddress": ("postmaster+a@example.com", False, "postmaster+a@example.com", "out"),
        }
    ),
)
def test_the_postmaster(recipient, authenticated, meant, name):
    """Mail for the postmaster of each domain that is served reaches the one whom the document names."""
    router = Router(ROUTES, hostname=HOSTNAME, postmaster=POSTMASTER)
    address, index = router.resolve(Address.parse(recipient) if recipient else None, authenticated=authenticated)

    assert str(address) == meant
    assert index is not None
    assert ROUTES[index].name == name


def test_a_postmaster_whom_no_route_takes():
    """Then the answer is that of the address itself, as for any other."""
    router = Router([route("closed", "*@closed.example", refuses=True)], hostname=HOSTNAME, postmaster=POSTMASTER)

    for text, index in (("postmaster@closed.example", 0), ("postmaster@mx.example.org", None)):
        assert router.resolve(Address.parse(text), authenticated=False) == (Address.parse(text), index)


def test_a_postmaster_whose_route_is_for_users():
    """Who may not use that route is answered for the address itself."""
    router = Router(
        [route("desk", "anna@example.com"), route("users", "root@example.org", clients=Clients.AUTHENTICATED)],
        hostname=HOSTNAME,
        postmaster=POSTMASTER,
    )
    address = Address.parse("postmaster@example.com")

    assert router.resolve(address, authenticated=False) == (address, None)
    assert router.resolve(address, authenticated=True) == (POSTMASTER, 1)
