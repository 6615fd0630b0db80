"""To which addresses connections may be opened."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mailport.outward.allowed import Allowed
from tests.tables import table

LOCAL = {
    "loopback": "127.0.0.1",
    "all of 127/8 is loopback": "127.8.9.10",
    "loopback over IPv6": "::1",
    "loopback, IPv4-mapped": "::ffff:127.0.0.1",
    "loopback, IPv4-compatible": "::127.0.0.1",
    "loopback through NAT64": "64:ff9b::7f00:1",
    "loopback through NAT64 of the network's own": "64:ff9b:1::7f00:1",
    "loopback through 6to4": "2002:7f00:1::1",
    "unspecified, which Linux connects to loopback": "0.0.0.0",
    "unspecified over IPv6": "::",
    "unspecified, IPv4-mapped": "::ffff:0.0.0.0",
    "the metadata service": "169.254.169.254",
    "the metadata service, IPv4-mapped": "::ffff:169.254.169.254",
    "the metadata service through NAT64": "64:ff9b::a9fe:a9fe",
    "the metadata service of AWS over IPv6": "fd00:ec2::254",
    "link-local over IPv6": "fe80::1",
    "multicast": "224.0.0.1",
    "multicast over IPv6": "ff02::1",
    "multicast, IPv4-mapped": "::ffff:224.0.0.1",
    "broadcast": "255.255.255.255",
}


@pytest.mark.parametrize("address", table(LOCAL))
def test_local_addresses_are_not_allowed_by_themselves(address: str):
    """In no form that leads to the same place; --allow-local-destinations allows each of them."""
    assert "not allowed (--allow-local-destinations)" in Allowed().why_not(ip_address(address))
    assert Allowed(local=True).why_not(ip_address(address)) == ""


@pytest.mark.parametrize(
    "address",
    table(
        {
            "a public address": "192.0.2.1",
            "a Service in the cluster": "10.96.0.10",
            "unique local, as clusters have it": "fd00:10:96::a",
            "beside the metadata service": "fd00:ec2::253",
            "public through NAT64": "64:ff9b::c000:201",
            "IPv6": "2001:db8::1",
        }
    ),
)
def test_others_are(address: str):
    assert Allowed().why_not(ip_address(address)) == ""


@pytest.mark.parametrize(
    "address",
    table(
        {"itself": "10.1.2.3", "mapped": "::ffff:10.1.2.3", "through NAT64": "64:ff9b::a01:203", "IPv6": "2001:db8::1"}
    ),
)
def test_what_is_denied_stays_denied(address: str):
    """Also where local addresses are allowed, and in whatever form."""
    allowed = Allowed(local=True, denied=["10.1.0.0/16", "2001:db8::/32"])

    assert "denied (--deny-destinations)" in allowed.why_not(ip_address(address))
    assert allowed.why_not(ip_address("10.2.0.1")) == ""
