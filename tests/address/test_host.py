"""A host is a name or an address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from mailport.address.host import parse_host
from tests.tables import table

LONG = ".".join(["a" * 63] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    ("text", "host"),
    table(
        {
            "a name": ("mail.example.org", "mail.example.org"),
            "a name of one label": ("dovecot", "dovecot"),
            "with the root's dot": ("mail.example.org.", "mail.example.org."),
            "capitals": ("Mail.Example.ORG", "Mail.Example.ORG"),
            "an A-label": ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
            "digits in front": ("1.2.3.example", "1.2.3.example"),
            "a label that begins with digits": ("example.0x7g", "example.0x7g"),
            "as long as can be": (LONG, LONG),
            "IPv4": ("192.0.2.1", IPv4Address("192.0.2.1")),
            "IPv6": ("2001:db8::25", IPv6Address("2001:db8::25")),
            "IPv6 in capitals": ("2001:DB8::A", IPv6Address("2001:db8::a")),
            "IPv6 that ends in IPv4": ("64:ff9b::192.0.2.1", IPv6Address("64:ff9b::c000:201")),
            "IPv4-mapped": ("::ffff:192.0.2.1", IPv6Address("::ffff:192.0.2.1")),
        }
    ),
)
def test_a_host(text, host):
    """As it is written, or as an address."""
    assert parse_host(text) == host


COLON = "one with a colon is an IPv6 address"
NUMBER = "one that ends in a number is an IPv4 address"


@pytest.mark.parametrize(
    ("text", "hint"),
    table(
        {
            "a colon": (":", COLON),
            "too few groups": ("1:2:3", COLON),
            "a port": ("mail.example.org:25", COLON),
            "a port of IPv4": ("192.0.2.1:25", COLON),
            "brackets": ("[2001:db8::25]", COLON),
            "a zone": ("fe80::1%eth0", COLON),
            "a URL": ("smtp://mail.example.org", COLON),
            "two double colons": ("1::2::3", COLON),
            "half of IPv4": ("10.1", NUMBER),
            "five numbers": ("192.0.2.1.1", NUMBER),
            "an octet over 255": ("192.0.2.256", NUMBER),
            "zeros in front": ("192.0.2.01", NUMBER),
            "IPv4 as one number": ("2130706433", NUMBER),
            "IPv4 in hexadecimal": ("0x7f.0.0.0x1", NUMBER),
            "IPv4 with the root's dot": ("192.0.2.1.", NUMBER),
            "nothing": ("", ""),
            "dots": ("..", ""),
            "an empty label": ("mail..example.org", ""),
            "a dot in front": (".example.org", ""),
            "a hyphen in front": ("-a.example.org", ""),
            "a hyphen behind": ("a-.example.org", ""),
            "an underscore": ("_smtp.example.org", ""),
            "a long label": ("a" * 64, ""),
            "too long": (f"a{LONG}", ""),
            "a space": ("mail example", ""),
            "a line end": ("mail.example.org\n", ""),
            "letters beyond ASCII": ("münchen.example", ""),
            "digits beyond ASCII": ("\N{ARABIC-INDIC DIGIT ONE}.example", ""),
            "a path": ("mail.example.org/in", ""),
            "a user": ("anna@example.org", ""),
        }
    ),
)
def test_what_is_none(text, hint):
    """The message says what was probably meant."""
    with pytest.raises(ValueError, match="must be a host's name or address") as raised:
        parse_host(text)

    assert hint in str(raised.value)
    assert (";" in str(raised.value)) is bool(hint)
