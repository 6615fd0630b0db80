"""Sets of addresses: what an entry holds, and what its author is told of a bad one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.address.ip_ranges import AddressSet, canonical, parse, parse_network, without_nat64
from tests.tables import table

# Few enough different addresses for sets to hit
addresses = st.one_of(
    st.builds(lambda a, b: IPv4Address(bytes([10, a, 0, b])), st.integers(0, 3), st.integers(0, 3)),
    st.builds(lambda a, b: IPv6Address((0x20010DB8 << 96) + (a << 64) + b), st.integers(0, 3), st.integers(0, 3)),
)
networks = st.builds(
    lambda ip, length: ip_network(f"{ip}/{min(length, ip.max_prefixlen)}", strict=False), addresses, st.integers(0, 128)
)


@given(st.lists(networks, max_size=5), addresses)
def test_a_set_holds_what_one_of_its_networks_holds(entries, address):
    """One look-up for each mask finds what going through the list would."""
    assert (address in AddressSet(map(str, entries))) is any(address in network for network in entries)


@pytest.mark.parametrize(
    ("entry", "address", "held"),
    table(
        {
            "an address is itself": ("192.0.2.7", "192.0.2.7", True),
            "and no other": ("192.0.2.7", "192.0.2.8", False),
            "a CIDR, its first": ("198.51.100.0/24", "198.51.100.0", True),
            "a CIDR, its last": ("198.51.100.0/24", "198.51.100.255", True),
            "a CIDR, beyond": ("198.51.100.0/24", "198.51.101.0", False),
            "IPv6": ("2001:db8:bad::/48", "2001:db8:bad:1::1", True),
            "IPv6, beyond": ("2001:db8:bad::/48", "2001:db8:bae::1", False),
            "IPv6 in capitals": ("2001:DB8::1", "2001:db8::1", True),
            "a wildcard for the last field": ("203.0.113.*", "203.0.113.99", True),
            "it is no more than that": ("203.0.113.*", "203.0.114.99", False),
            "trailing fields may be left out": ("192.168.*", "192.168.3.4", True),
            "or written": ("192.168.*.*", "192.168.3.4", True),
            "a whole /8": ("10.*", "10.200.3.4", True),
            "a wildcard in the middle": ("10.*.3.4", "10.99.3.4", True),
            "what stands behind it counts": ("10.*.3.4", "10.99.3.5", False),
            "two in the middle": ("10.*.*.4", "10.9.8.4", True),
            "a star is IPv4": ("*", "192.0.2.1", True),
            "and IPv6": ("*", "2001:db8::1", True),
            "all of IPv6": ("::/0", "2001:db8::1", True),
            "is not IPv4": ("::/0", "192.0.2.1", False),
            "nor that which is written as IPv6": ("::/0", "::ffff:192.0.2.1", False),
            "all of IPv4 is no IPv6": ("0.0.0.0/0", "2001:db8::1", False),
            "an IPv4-mapped client is its IPv4": ("192.0.2.0/24", "::ffff:192.0.2.1", True),
            "so is one behind NAT64": ("192.0.2.*", "64:ff9b::c000:201", True),
            "an IPv4-mapped entry is, too": ("::ffff:192.0.2.0/120", "192.0.2.9", True),
            "all that comes through NAT64": ("64:ff9b::/96", "64:ff9b::c000:209", True),
            "is not IPv4 that comes by itself": ("64:ff9b::/96", "8.8.8.8", False),
            "nor is one address of it": ("64:ff9b::808:808", "8.8.8.8", False),
            "a network around NAT64 holds it": ("64:ff9b::/64", "64:ff9b::c000:201", True),
            "so does all of IPv6": ("::/0", "64:ff9b::c000:201", True),
            "and no other network of IPv6": ("2001:db8::/32", "64:ff9b::c000:201", False),
            "a zone is the host's own affair": ("fe80::/10", "fe80::1%eth0", True),
        }
    ),
)
def test_what_an_entry_holds(entry, address, held):
    """One entry, one client as its socket names it."""
    assert (canonical(address) in AddressSet([entry])) is held


@pytest.mark.parametrize(
    ("entry", "message"),
    table(
        {
            "host bits": ("198.51.100.7/24", "has bits set behind its prefix: write 198.51.100.0/24 for the network"),
            "host bits in IPv6": ("2001:db8::1/32", "write 2001:db8::/32 for the network"),
            "a netmask": (
                "10.0.0.0/255.0.0.0",
                "stands the length of the prefix, a number without zeros",
            ),
            "no prefix": ("10.0.0.0/", "after the / stands the length of the prefix, a number without zeros in front"),
            "a signed prefix": (
                "10.0.0.0/+8",
                "after the / stands the length of the prefix, a number without zeros in front",
            ),
            "a long prefix": ("10.0.0.0/33", "is neither an IPv4 or IPv6 address nor a CIDR"),
            "an absurd prefix": ("10.0.0.0/" + "9" * 5000, "is neither an IPv4 or IPv6 address nor a CIDR"),
            "a name": ("mail.example.org", "is neither an IPv4 or IPv6 address nor a CIDR"),
            "nothing": ("", "is neither an IPv4 or IPv6 address nor a CIDR"),
            "space": (" 10.0.0.1", "is neither an IPv4 or IPv6 address nor a CIDR"),
            "an octet over 255": ("10.0.0.256", "is neither an IPv4 or IPv6 address nor a CIDR"),
            "zeros that some read as octal": ("010.0.0.1", "is neither an IPv4 or IPv6 address nor a CIDR"),
            "a zone": ("fe80::1%eth0", "a zone (%eth0) means something on one host only"),
            "half a field": ("192.168.1*", "a * stands for whole fields of an IPv4 address"),
            "too few fields": ("192.*.1", "a * stands for whole fields of an IPv4 address"),
            "too many": ("1.2.3.4.*", "a * stands for whole fields of an IPv4 address"),
            "a leading wildcard": ("*.0.0.1", "a * stands for whole fields of an IPv4 address"),
            "a wildcard of a field that is none": ("256.*", "a * stands for whole fields of an IPv4 address"),
            "zeros before a wildcard": ("010.*", "a * stands for whole fields of an IPv4 address"),
            "a wildcard in IPv6": ("2001:db8::*", "a * stands for whole fields of an IPv4 address"),
            "a wildcard with a prefix": ("10.*/8", "a * stands for whole fields of an IPv4 address"),
        }
    ),
)
def test_a_bad_entry_is_explained(entry, message):
    """The message names the fault and, where it can, what was meant."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is looked at
        parse(entry)

    assert message in str(caught.value)


@pytest.mark.parametrize("entry", ["*", "10.*", "10.0.0.0/255.0.0.0", "10.0.0.1/8"])
def test_a_network_is_an_address_or_a_cidr(entry):
    """Where the contract asks for a CIDR, an access list's other forms are refused."""
    with pytest.raises(ValueError, match=r"10|\*"):
        parse_network(entry)


@pytest.mark.parametrize(
    ("text", "address"),
    table(
        {
            "IPv4": ("192.0.2.1", "192.0.2.1"),
            "IPv6": ("2001:db8::1", "2001:db8::1"),
            "a zone goes": ("fe80::1%eth0", "fe80::1"),
            "IPv4-mapped": ("::ffff:192.0.2.1", "192.0.2.1"),
            "IPv4-mapped with a zone": ("::ffff:192.0.2.1%3", "192.0.2.1"),
            "NAT64 stays IPv6, as it is on the wire": ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
            "beside NAT64's prefix": ("64:ff9b:1::192.0.2.1", "64:ff9b:1::c000:201"),
            "IPv4-compatible is long gone, and stays IPv6": ("::192.0.2.1", "::c000:201"),
        }
    ),
)
def test_one_spelling(text, address):
    """A client is one address, however it came."""
    assert canonical(text) == ip_address(address)


@pytest.mark.parametrize(
    ("text", "behind"),
    table(
        {
            "NAT64 carries IPv4": ("64:ff9b::192.0.2.1", "192.0.2.1"),
            "its first address": ("64:ff9b::", "0.0.0.0"),
            "beside its prefix": ("64:ff9b:0:0:0:1::", "64:ff9b:0:0:0:1::"),
            "another prefix, which is some network's own": ("64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.1"),
            "IPv4": ("192.0.2.1", "192.0.2.1"),
        }
    ),
)
def test_who_is_behind_nat64(text, behind):
    """Limits count by this: NAT64's /64 is everybody's."""
    assert without_nat64(canonical(text)) == ip_address(behind)
