"""May a message be delivered, now that its header section is there?"""

from __future__ import annotations

import pytest

from mailport.message import header
from mailport.policy import replies
from mailport.policy.chain import first_refusal
from mailport.policy.content import ON_CONTENT, ContentFacts
from mailport.policy.replies import Reply
from tests.tables import table

FACTS = ContentFacts(header_octets=2000, max_header_octets=1024 * 1024, received=3, ours=0)


@pytest.mark.parametrize(
    "facts, reply",
    table(
        {
            "an ordinary message": ({}, None),
            "no header section": ({"header_octets": 0, "received": 0}, None),
            "one as large as may be": ({"header_octets": 1024 * 1024}, None),
            "an octet more": ({"header_octets": 1024 * 1024 + 1}, replies.HEADER_TOO_LARGE),
            "a hundred hops": ({"received": 100}, None),
            "one more is a loop (RFC 5321 §6.3)": ({"received": 101}, replies.MAIL_LOOP),
            "a list and a forward: twice more each through here": ({"received": 9, "ours": 5}, None),
            "six times here is a loop": ({"received": 9, "ours": 6}, replies.MAIL_LOOP),
            "fifty hops are no loop any more": ({"received": 51}, None),
            "nor are three times here": ({"received": 9, "ours": 3}, None),
            "what was not looked at whole is not called a loop": (
                {"header_octets": 2 * 1024 * 1024, "received": 101},
                replies.HEADER_TOO_LARGE,
            ),
        }
    ),
)
def test_a_header_section(facts: dict[str, int], reply: Reply | None):
    """In the order of replies.md: size, header, loop."""
    assert first_refusal(ON_CONTENT, FACTS._replace(**facts)) == reply


def test_a_mebibyte_is_the_limit():
    """As replies.md has it."""
    assert FACTS.max_header_octets == header.MAX_OCTETS
