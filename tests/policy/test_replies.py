"""The table of replies, as a whole."""

from __future__ import annotations

import re

import pytest

from mailport.policy import command, replies
from mailport.policy.replies import Reply
from tests.tables import table

CONSTANTS = {
    name: reply for module in (replies, command) for name, reply in vars(module).items() if isinstance(reply, Reply)
}
each = pytest.mark.parametrize("reply", [pytest.param(reply, id=name) for name, reply in CONSTANTS.items()])


@each
def test_the_enhanced_code_is_of_the_replys_class(reply: Reply):
    """RFC 2034 §4; and 354 has none (RFC 2034 §3)."""
    if reply.code == 354:
        assert reply.enhanced == ""
    else:
        assert re.fullmatch(rf"{reply.code // 100}\.\d\.\d{{1,2}}", reply.enhanced)


@each
def test_the_line_is_short_and_of_printable_ascii(reply: Reply):
    """RFC 5321 §4.5.3.1.5: 512 octets."""
    assert re.fullmatch(rb"[ -~]+\r\n", reply.line)
    assert len(reply.line) <= 512


@each
def test_what_is_refused_has_a_reason(reply: Reply):
    """And what is not has none."""
    assert bool(reply.reason) is not reply.positive


@each
def test_421_closes(reply: Reply):
    """RFC 5321 §3.8: it is what a server says when it does."""
    assert reply.close or reply.code != 421


@pytest.mark.parametrize(
    "reply, positive, permanent",
    table(
        {
            "250": (replies.OK, True, False),
            "354": (replies.SEND_DATA, True, False),
            "451": (replies.INTERNAL, False, False),
            "550": (replies.RELAY_DENIED, False, True),
        }
    ),
)
def test_classes(reply: Reply, positive: bool, permanent: bool):
    """RFC 5321 §4.2.1."""
    assert (reply.positive, reply.permanent) == (positive, permanent)


def test_queued():
    """The id that the log has is the client's to quote."""
    assert replies.queued("9f2c.1").line == b"250 2.0.0 Ok: queued as 9f2c.1\r\n"


def test_a_text_beyond_ascii_is_replaced():
    """A route's refusal may say anything; a client must be able to read it (RFC 5321 §4.2)."""
    assert Reply(550, "5.1.1", "verzogen nach Köln").line == b"550 5.1.1 verzogen nach K?ln\r\n"
