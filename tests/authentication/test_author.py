"""The author's domain, of whatever stands in From."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.authentication import author
from mailport.authentication.author import FromFault
from mailport.authentication.fields import Fields
from tests.tables import table


def domain(body: str | bytes) -> str:
    octets = body if isinstance(body, bytes) else body.encode()
    return author.domain(Fields(b"From: " + octets + b"\r\n"))


@pytest.mark.parametrize(
    ("body", "expected"),
    table(
        {
            "an address alone": ("anna@example.org", "example.org"),
            "behind a name": ("Anna Doe <anna@example.org>", "example.org"),
            "behind a name with dots": ("Anna Q. Doe <anna@example.org>", "example.org"),
            "behind a quoted name with another address": ('"eve@example.net" <anna@example.org>', "example.org"),
            "behind another address without quotes": ("eve@example.net <anna@example.org>", "example.org"),
            "behind a name with a comma without quotes": ("Doe, Anna <anna@example.org>", "example.org"),
            "with comments": ("anna@(a (nested) one \\))example.org (x@example.net)", "example.org"),
            "folded": ("Anna\r\n <anna@\r\n example.org>", "example.org"),
            "with a quoted local part": ('"an,na@x"@example.org', "example.org"),
            "with a route": ("<@a.example,@b.example:anna@example.org>", "example.org"),
            "in a group": ("Us: anna@example.org;", "example.org"),
            "in capitals": ("anna@EXAMPLE.Org.", "example.org"),
            "in U-labels": ("anna@bücher.example", "xn--bcher-kva.example"),
            "behind an encoded word": ("=?utf-8?q?x=40example.net?= <anna@example.org>", "example.org"),
            "of an address literal": ("anna@[192.0.2.1]", "[192.0.2.1]"),
        }
    ),
)
def test_domain(body, expected):
    """The one address of the one field."""
    assert domain(body) == expected


@pytest.mark.parametrize(
    ("body", "why"),
    table(
        {
            "nothing": ("", "no address"),
            "a name alone": ("Anna", "no address"),
            "an empty group": ("undisclosed-recipients:;", "no address"),
            "two addresses": ("anna@example.org, bob@example.org", "several addresses"),
            "two in a group": ("Us: anna@example.org, <bob@example.net>;", "several addresses"),
            "two @": ("anna@example.net@example.org", "no local part, or no domain"),
            "no domain": ("anna@", "no local part, or no domain"),
            "no local part": ("<@example.org>", "no local part, or no domain"),
            "a bracket that is left open": ("Anna <anna@example.org", "no list of addresses"),
            "an address behind the brackets": ("<anna@example.org> bob@example.net", "no list of addresses"),
            "a comment without an end": ("anna@example.org (", "has no end"),
            "a quote without an end": ('"anna@example.org', "no list of addresses"),
            "a domain that is none": ("anna@exa mple..org", "no domain"),
            "a NUL": (b"anna@exam\0ple.org", "no domain"),
        }
    ),
)
def test_no_domain(body, why):
    """What is not one address is a permerror."""
    with pytest.raises(FromFault, match=why):
        domain(body)


@pytest.mark.parametrize(
    "section", [b"", b"To: x@example.org\r\n", b"From: a@example.org\r\nX: y\r\nfrom: b@example.org\r\n"]
)
def test_not_one_field(section):
    """No From field, and two of them."""
    with pytest.raises(FromFault):
        author.domain(Fields(section))


@given(st.text(alphabet='ab@<>,;:()"\\[] \r\n.é', max_size=60))
def test_any_text(body):
    """Whatever stands there: a domain, or a fault."""
    with suppress(FromFault):
        assert domain(body)


@pytest.mark.parametrize("body", [b"(" * 65536, b"()" * 32768, b"a," * 32768, b"<:" * 32768, b'"\\' * 32768])
def test_time_is_bounded(body):
    """64 KiB of what costs most take no 10 ms."""
    fields = Fields(b"From: " + body + b"\r\n")
    began = time.process_time()
    with pytest.raises(FromFault):
        author.domain(fields)

    assert time.process_time() - began < 0.01
