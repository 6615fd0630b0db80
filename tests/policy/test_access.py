"""Who may connect, and what counts as one client."""

from __future__ import annotations

import pytest

from mailport.address.ip_ranges import canonical
from mailport.contract.model import AccessPolicy
from mailport.policy.access import AccessList, client_key
from tests.tables import table

LISTED = ("203.0.113.*", "198.51.100.0/24", "2001:db8:bad::/48", "192.0.2.7")
BANNED = AccessList(AccessPolicy.DENY_LISTED, LISTED)
ALLOWED = AccessList(AccessPolicy.ALLOW_LISTED, LISTED)


@pytest.mark.parametrize(
    ("access", "client", "admitted"),
    table(
        {
            "without a list everyone comes in": (AccessList(), "192.0.2.7", True),
            "a banned address does not": (BANNED, "192.0.2.7", False),
            "one in a banned network": (BANNED, "198.51.100.200", False),
            "one in a banned range": (BANNED, "203.0.113.1", False),
            "one in a banned IPv6 network": (BANNED, "2001:db8:bad::25", False),
            "an address in no list does": (BANNED, "192.0.2.8", True),
            "a banned address in IPv6 clothes does not": (BANNED, "::ffff:192.0.2.7", False),
            "nor through NAT64": (BANNED, "64:ff9b::192.0.2.7", False),
            "a ban on all that comes through NAT64": (
                AccessList(AccessPolicy.DENY_LISTED, ("64:ff9b::/64",)),
                "64:ff9b::8.8.8.8",
                False,
            ),
            "leaves the same address that comes by itself": (
                AccessList(AccessPolicy.DENY_LISTED, ("64:ff9b::/64",)),
                "8.8.8.8",
                True,
            ),
            "who is allowed through NAT64": (
                AccessList(AccessPolicy.ALLOW_LISTED, ("64:ff9b::/96",)),
                "64:ff9b::1",
                True,
            ),
            "is not allowed by itself": (AccessList(AccessPolicy.ALLOW_LISTED, ("64:ff9b::/96",)), "8.8.8.8", False),
            "an allowed address is allowed through NAT64": (ALLOWED, "64:ff9b::192.0.2.7", True),
            "nobody is banned by an empty list": (AccessList(AccessPolicy.DENY_LISTED, ()), "192.0.2.7", True),
            "everybody is by a star": (AccessList(AccessPolicy.DENY_LISTED, ("*",)), "2001:db8::1", False),
            "an allowed address comes in": (ALLOWED, "192.0.2.7", True),
            "one in an allowed network": (ALLOWED, "198.51.100.200", True),
            "others do not": (ALLOWED, "192.0.2.8", False),
            "nor others of IPv6": (ALLOWED, "2001:db8::1", False),
            "nobody is let in by an empty list": (AccessList(AccessPolicy.ALLOW_LISTED, ()), "192.0.2.7", False),
            "everybody is by a star, here": (AccessList(AccessPolicy.ALLOW_LISTED, ("*",)), "2001:db8::1", True),
        }
    ),
)
def test_access(access, client, admitted):
    """DenyListed bans the listed, AllowListed lets in nobody else."""
    assert access.admits(canonical(client)) is admitted


@pytest.mark.parametrize(
    ("one", "other", "same"),
    table(
        {
            "an IPv4 address is a client": ("192.0.2.1", "192.0.2.1", True),
            "its neighbour is another": ("192.0.2.1", "192.0.2.2", False),
            "a /64 of IPv6 is one": ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
            "the next /64 is another": ("2001:db8::1", "2001:db8:0:1::1", False),
            "IPv4-mapped and IPv4 are one": ("::ffff:192.0.2.1", "192.0.2.1", True),
            "an address and the same behind NAT64 are one": ("192.0.2.1", "64:ff9b::192.0.2.1", True),
            "neighbours behind NAT64 are two": ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", False),
            "IPv4 and IPv6 of the same number are two": ("0.0.0.0", "::", False),
        }
    ),
)
def test_one_client(one, other, same):
    """maxConnectionsPerClient counts by this."""
    assert (client_key(canonical(one)) == client_key(canonical(other))) is same
