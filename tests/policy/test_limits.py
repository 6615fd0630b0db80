"""How much may a client ask for?"""

from __future__ import annotations

import pytest

from mailport.contract.model import BareNewlines
from mailport.policy import replies
from mailport.policy.limits import (
    GRACE_SECONDS,
    connection,
    counts_as_error,
    is_not_smtp,
    line_ending,
    line_too_long,
    too_slow,
)
from mailport.policy.replies import Reply
from tests.tables import table


@pytest.mark.parametrize(
    "total, of_client, max_total, max_per_client, reply",
    table(
        {
            "the first": (0, 0, 10, 2, None),
            "the last": (9, 1, 10, 2, None),
            "one more than all may have": (10, 0, 10, 2, replies.TOO_MANY_CONNECTIONS),
            "one more than the client may": (5, 2, 10, 2, replies.TOO_MANY_FROM_CLIENT),
            "both: the client's own fault is not told": (10, 2, 10, 2, replies.TOO_MANY_CONNECTIONS),
            "more than there may be since a reload": (20, 0, 10, 2, replies.TOO_MANY_CONNECTIONS),
            "no limit for all": (10**6, 0, 0, 2, None),
            "no limit for one": (5, 10**6, 10, 0, None),
        }
    ),
)
def test_connections(total: int, of_client: int, max_total: int, max_per_client: int, reply: Reply | None):
    """`total` are open already; 0 is no limit."""
    assert connection(total, of_client, max_total, max_per_client) is reply


@pytest.mark.parametrize(
    "reply, facts, counts",
    table(
        {
            "an unknown command": (replies.UNKNOWN_COMMAND, {}, True),
            "a refused login": (replies.BAD_CREDENTIALS, {}, True),
            "a refusal for now": (replies.ROUTE_BUSY, {}, False),
            "a recipient for the next transaction": (replies.OTHER_ROUTE, {"to_rcpt": True}, False),
            "one too many": (replies.TOO_MANY_RECIPIENTS, {"to_rcpt": True, "recipients": 100}, False),
            "a command out of order": (replies.NEED_MAIL, {}, True),
            "one behind a refused MAIL": (replies.NEED_MAIL, {"behind_refused_mail": True}, False),
            "another error behind a refused MAIL": (replies.UNKNOWN_COMMAND, {"behind_refused_mail": True}, True),
            "an unknown recipient": (replies.NO_SUCH_RECIPIENT, {"to_rcpt": True}, True),
            "one behind a good one": (replies.NO_SUCH_RECIPIENT, {"to_rcpt": True, "recipients": 1}, False),
            "relaying behind a good one": (replies.RELAY_DENIED, {"to_rcpt": True, "recipients": 1}, False),
            "a malformed one behind a good one": (
                replies.BAD_RECIPIENT,
                {"to_rcpt": True, "recipients": 1},
                True,
            ),
            "a 550 to the message": (replies.BARE_NEWLINE, {"recipients": 1}, True),
        }
    ),
)
def test_what_counts_as_an_error(reply: Reply, facts: dict[str, bool], counts: bool):
    """maxErrors counts each 5yz, with two exceptions for honest senders."""
    usual = {"to_rcpt": False, "recipients": 0, "behind_refused_mail": False}

    assert counts_as_error(reply, **(usual | facts)) is counts


@pytest.mark.parametrize(
    "line, bare_newlines, reply",
    table(
        {
            "CRLF": (b"NOOP\r\n", BareNewlines.NORMALIZE, None),
            "LF": (b"NOOP\n", BareNewlines.NORMALIZE, None),
            "CRLF, strictly": (b"NOOP\r\n", BareNewlines.REJECT, None),
            "LF, strictly": (b"NOOP\n", BareNewlines.REJECT, replies.LINE_WITHOUT_CR),
            "nothing but LF, strictly": (b"\n", BareNewlines.REJECT, replies.LINE_WITHOUT_CR),
        }
    ),
)
def test_line_endings(line: bytes, bare_newlines: BareNewlines, reply: Reply | None):
    """LF alone ends a command as it does a line of a message, unless bareNewlines is Reject."""
    assert line_ending(line, bare_newlines) is reply


@pytest.mark.parametrize(
    "verb, longest, reply",
    table(
        {
            "most commands": (b"NOOP", 512, replies.LINE_TOO_LONG),
            "unknown ones": (b"NONSENSE", 512, replies.LINE_TOO_LONG),
            "MAIL": (b"MAIL", 2048, replies.LINE_TOO_LONG),
            "RCPT": (b"RCPT", 2048, replies.LINE_TOO_LONG),
            "AUTH": (b"AUTH", 12288, replies.AUTH_LINE_TOO_LONG),
        }
    ),
)
def test_how_long_a_line_may_be(verb: bytes, longest: int, reply: Reply):
    """In octets, CRLF and all."""
    assert line_too_long(verb, longest) is None
    assert line_too_long(verb, longest + 1) is reply


@pytest.mark.parametrize(
    "line, told",
    table(
        {
            "GET": (b"GET / HTTP/1.1\r\n", True),
            "POST": (b"POST / HTTP/1.1\r\n", True),
            "HEAD": (b"HEAD / HTTP/1.1\r\n", True),
            "CONNECT": (b"CONNECT mx.example.org:25 HTTP/1.1\r\n", True),
            "a header": (b"Host: mx.example.org\r\n", True),
            "in other letters": (b"host:mx.example.org\r\n", True),
            "a word that only begins alike": (b"GETTING\r\n", False),
            "a verb without a target": (b"GET\r\n", False),
            "HELO": (b"HELO get.example.org\r\n", False),
            "nothing": (b"\r\n", False),
        }
    ),
)
def test_what_a_browser_says(line: bytes, told: bool):
    """It gives itself away in the first line, or in the second."""
    assert is_not_smtp(line) is told


@pytest.mark.parametrize(
    "octets, seconds, rate, slow",
    table(
        {
            "nothing yet": (0, 0.0, 500, False),
            "nothing within the grace": (0, GRACE_SECONDS, 500, False),
            "nothing after it": (0, GRACE_SECONDS + 1, 500, True),
            "just enough": (500 * 40, 40.0, 500, False),
            "one octet less": (500 * 40 - 1, 40.0, 500, True),
            "no limit": (0, 10_000.0, 0, False),
        }
    ),
)
def test_too_slow(octets: int, seconds: float, rate: int, slow: bool):
    """Averaged over the whole message, from the thirtieth second on."""
    assert too_slow(octets, seconds, rate) is slow
