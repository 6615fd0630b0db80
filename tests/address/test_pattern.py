"""Recipient patterns: what they match, which cover which, and what their author is told of a bad one."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailport.address.mail_address import Address
from mailport.address.pattern import Pattern, parse_pattern
from tests.tables import table

globs = st.builds(Pattern, st.text("ab*", min_size=1, max_size=6), st.text("ab*", min_size=1, max_size=6))
words = st.text("ab", min_size=1, max_size=6)
addresses = st.builds(Address, words | st.just("a@b"), words)


def matches_glob(glob: str, text: str) -> bool:
    """The definition, letter by letter."""
    if not glob:
        return not text
    if glob[0] == "*":
        return matches_glob(glob[1:], text) or (text != "" and matches_glob(glob, text[1:]))
    return text != "" and glob[0] == text[0] and matches_glob(glob[1:], text[1:])


@given(globs, addresses)
@example(Pattern("a*b", "a*b"), Address("a@b", "b"))
@example(Pattern("a", "*"), Address("a@b", "b"))
def test_a_star_is_anything_and_all_else_is_itself(pattern, address):
    """The regular expression is the definition, part by part."""
    expected = matches_glob(pattern.local, address.local_key) and matches_glob(pattern.domain, address.domain_key)

    assert pattern.matches(address) is expected


@pytest.mark.parametrize(
    ("pattern", "address", "matches"),
    table(
        {
            "an address": ("anna@example.org", "Anna@EXAMPLE.org", True),
            "a whole domain": ("*@example.org", "anything@example.org", True),
            "not those below it": ("*@example.org", "a@mail.example.org", False),
            "those below a domain": ("*@*.example.org", "a@b.c.example.org", True),
            "not the domain itself": ("*@*.example.org", "a@example.org", False),
            "a star alone is everything": ("*", "a@[192.0.2.1]", True),
            "a star may be nothing": ("shop*@example.org", "shop@example.org", True),
            "within a part": ("shop-*-in@example.org", "shop-a-b-in@example.org", True),
            "stars on both sides": ("*news*@*", "the-newspaper@example.org", True),
            "ends count": ("*-in@example.org", "in@example.org", False),
            "a dot is a dot": ("a.b@example.org", "axb@example.org", False),
            "no subaddress is stripped": ("anna@example.org", "anna+x@example.org", False),
            "a quoted local part": ('"anna b"@example.org', '"Anna B"@example.org', True),
            "quotes that are not needed": ('"anna"@example.org', "anna@example.org", True),
            "U-labels and A-labels": ("*@münchen.de", "a@xn--mnchen-3ya.de", True),
            "a wildcard beside a U-label": ("*@*.MÜNCHEN.de", "a@b.xn--mnchen-3ya.de", True),
            "composed and decomposed": ("é@example.org", "e\u0301@example.org", True),
            "an address literal": ("*@[192.0.2.1]", "a@[192.0.2.1]", True),
            "a star stays left of the last @": ("a*@*.org", '"a@evil.org"@example.net', False),
            "so it does for a quoted @ on the wrong side": ("a@*", '"a@b"@example.org', False),
            "a catch-all is for all local parts": ("*@example.org", '"a@b"@example.org', True),
        }
    ),
)
def test_matching(pattern, address, matches):
    """Local part is held against local part, domain against domain, both folded."""
    assert parse_pattern(pattern).matches(Address.parse(address)) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    table(
        {
            "no @": ("example.org", "'example.org' is not an address: it has no @"),
            "nothing": ("", "'' is not an address: it has no @"),
            "two @": ("a@b@c", "'a@b@c' is not an address of the form local-part@domain"),
            "no local part": ("@example.org", "is not an address of the form local-part@domain"),
            "no domain": ("a@", "is not an address of the form local-part@domain"),
            "a space": ("a b@c", "is not an address of the form local-part@domain"),
            "a bad domain": ("*@exa$mple.org", "'exa$mple.org' is not a domain"),
            "an empty label": ("*@example..org", "'example..org' is not a domain"),
            "an empty label beside a wildcard": ("*@*..org", "'' is not a domain"),
            "half a U-label": ("*@mün*.de", "'mün*': a label with * in it has only ASCII letters, digits, - and _"),
            "a wildcard in an address literal": ("*@[192.0.2.*]", "an address literal is written without *"),
            "too long": ("a" * 255 + "@b", "an address has at most 254 octets"),
        }
    ),
)
def test_a_bad_pattern_is_explained(text, message):
    """The message names the fault; rules.py puts the path in front."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is looked at
        parse_pattern(text)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "plain", "wildcard_domain"),
    table(
        {
            "a mailbox": ("anna@example.org", True, False),
            "a domain": ("*@example.org", True, False),
            "everything": ("*", True, True),
            "a glob for a local part": ("a*@example.org", False, False),
            "two stars are a glob": ("**@example.org", False, False),
            "one for a domain": ("a@*", False, True),
            "those below a domain": ("*@*.example.org", False, True),
        }
    ),
)
def test_kinds(text, plain, wildcard_domain):
    """Plain patterns are looked up, not matched; a wildcard domain makes a relay."""
    pattern = parse_pattern(text)

    assert (pattern.is_plain, pattern.has_wildcard_domain) == (plain, wildcard_domain)


def test_stars_do_not_multiply():
    """Many stars against a long address that fails at the very end: no time that grows by powers."""
    pattern = parse_pattern("*a" * 30 + "b@example.org")
    address = Address("a" * 250, "example.org")
    began = time.perf_counter()

    assert not pattern.matches(address)
    assert time.perf_counter() - began < 1  # backtracking would take longer than the universe has
