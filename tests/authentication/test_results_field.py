"""Authentication-Results: the RFC's examples, and words that would break out of it."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.authentication import results_field
from mailport.authentication.arc import ArcResult
from mailport.authentication.dkim import DkimResult
from mailport.authentication.dmarc import DmarcResult
from mailport.authentication.dmarc_record import Policy
from mailport.authentication.iprev import IprevResult
from mailport.authentication.result import Result
from mailport.authentication.results_field import Authentication
from mailport.authentication.spf import Identity, SpfResult
from tests.tables import table

CLIENT = ip_address("192.0.2.1")
SIGNED = DkimResult(Result.PASS, "example.org", "s", "rsa-sha256", "dzdVyOfA", "", testing=False, why="")
ALL = Authentication(
    client=ip_address("2001:db8::1"),
    iprev=IprevResult(Result.FAIL, "", ""),
    spf=SpfResult(Result.PASS, Identity.MAIL_FROM, "example.org", "anna@example.org", ""),
    dkim=(SIGNED, SIGNED._replace(result=Result.FAIL, signature="a/b+c=")),
    dmarc=DmarcResult(Result.PASS, "example.org", "example.org", Policy.REJECT, "dkim", ""),
    arc=ArcResult(Result.NONE, "", 0, ""),
)


def test_everything():
    """Each method has a line, with the properties that RFC 8601 §2.7 gives it."""
    assert results_field.field("mx.example.org", ALL).decode().split("\r\n") == [
        "Authentication-Results: mx.example.org;",
        '\tiprev=fail policy.iprev="2001:db8::1";',
        "\tspf=pass smtp.mailfrom=anna@example.org;",
        "\tdkim=pass header.d=example.org header.s=s header.a=rsa-sha256 header.b=dzdVyOfA;",
        '\tdkim=fail header.d=example.org header.s=s header.a=rsa-sha256 header.b="a/b+c=";',
        "\tdmarc=pass header.from=example.org policy.dmarc=reject;",
        "\tarc=none",
        "",
    ]


def test_nothing():
    """RFC 8601 appendix B.1: nothing was looked for."""
    assert results_field.field("mx.example.org", Authentication(CLIENT)) == (
        b"Authentication-Results: mx.example.org;\r\n\tnone\r\n"
    )


def test_unsigned_and_by_helo():
    """No signature is `none`; of <> the HELO name is checked."""
    found = Authentication(CLIENT, spf=SpfResult(Result.NONE, Identity.HELO, "[x] y", "", ""), dkim=())

    assert results_field.field("mx", found) == (
        b'Authentication-Results: mx;\r\n\tspf=none smtp.helo="[x] y";\r\n\tdkim=none\r\n'
    )


@pytest.mark.parametrize(
    ("text", "written"),
    table(
        {
            "a token": ("example.org", "example.org"),
            "an address": ("a.b+c@example.org", "a.b+c@example.org"),
            "an address without a local part": ("@example.org", "@example.org"),
            "a comment": ("x(y)", '"x(y)"'),
            "the end of a result": ("x; dkim=pass", '"x; dkim=pass"'),
            "a quote and a backslash": ('x"\\', '"x\\"\\\\"'),
            "the end of a line": ("x\r\nBcc: y", '"xBcc: y"'),
            "an address with a quoted local part": ('"a b"@example.org', '"\\"a b\\"@example.org"'),
            "nothing that can be written": ("\0", '""'),
        }
    ),
)
def test_values(text, written):
    """What the grammar does not allow bare stands in quotes, and no line ends."""
    assert results_field.value(text) == written


@given(st.text(max_size=40))
def test_any_value(text):
    """Whatever comes from outside is one word of the grammar."""
    assert re.fullmatch(r'[^\s;()"\\<>,\[\]]+|"(?:[^"\\\r\n]|\\["\\])*"', results_field.value(text))
