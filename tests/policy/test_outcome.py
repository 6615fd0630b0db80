"""The one reply to a message whose recipients may have fared differently."""

from __future__ import annotations

import pytest

from mailport.policy import replies
from mailport.policy.outcome import reply_to
from mailport.policy.replies import Reply
from tests.tables import table

DOWN = Reply(451, "4.3.0", "the destination is not available, try again later", "destination_unavailable")
FULL = Reply(452, "4.3.1", "insufficient system storage, try again later", "destination_unavailable")
SPAM = Reply(554, "5.7.1", "we do not like this", "destination_refused")
GONE = Reply(550, "5.1.1", "no such mailbox", "destination_refused")
LONG = "x" * 64 + "@" + "y" * 189


def partly(text: str) -> Reply:
    return Reply(554, "5.3.0", text, "partial_refused")


@pytest.mark.parametrize(
    "taken, refused, deferred, reply",
    table(
        {
            "all have it": (True, {}, [], replies.queued("4bXyZ1")),
            "nobody is left to whom it had to go: all had it before": (True, {}, [], replies.queued("4bXyZ1")),
            "the only one refuses it: its own reply": (False, {"anna@example.org": SPAM}, [], SPAM),
            "all refuse it: the first one's reply": (False, {"a@example.org": GONE, "b@example.org": SPAM}, [], GONE),
            "the only one is down: its own reply": (False, {}, [FULL], FULL),
            "all are down: the first one's reply": (False, {}, [DOWN, FULL], DOWN),
            "some have it, and one is down: the sender comes again": (True, {}, [FULL], replies.PARTIAL),
            "one refuses it, and one is down: the sender comes again": (False, {"a@example.org": GONE}, [DOWN], DOWN),
            "all three": (True, {"a@example.org": GONE}, [DOWN], replies.PARTIAL),
            "some have it, and one refuses it: it is named": (
                True,
                {"anna@example.org": SPAM},
                [],
                partly("not delivered to anna@example.org; delivered to the others"),
            ),
            "five are named": (
                True,
                {f"{number}@example.org": SPAM for number in range(5)},
                [],
                partly(
                    "not delivered to 0@example.org, 1@example.org, 2@example.org, 3@example.org, 4@example.org; "
                    "delivered to the others"
                ),
            ),
            "of more, the rest is counted": (
                True,
                {f"{number}@example.org": SPAM for number in range(100)},
                [],
                partly(
                    "not delivered to 0@example.org, 1@example.org, 2@example.org, 3@example.org, 4@example.org "
                    "and 95 more; delivered to the others"
                ),
            ),
            "of a long address, its start": (
                True,
                {LONG: SPAM},
                [],
                partly(f"not delivered to {'x' * 60}; delivered to the others"),
            ),
        }
    ),
)
def test_one_reply(taken: bool, refused: dict[str, Reply], deferred: list[Reply], reply: Reply):
    """replies.md, "Recipients": any 4yz is 451, with `partial` where somebody has it; else some 5yz are 554."""
    assert reply_to("4bXyZ1", taken=taken, refused=refused, deferred=deferred) == reply


@pytest.mark.parametrize(
    "addresses",
    table(
        {
            "as many and as long as may be": [f"{number:03}{LONG[3:]}" for number in range(1000)],
            "beyond ASCII": [f"{'ü' * 60}{number}@bücher.example" for number in range(9)],
        }
    ),
)
def test_the_line_is_short_and_printable(addresses: list[str]):
    """RFC 5321 §4.5.3.1.5: 512 octets."""
    line = reply_to("4bXyZ1", taken=True, refused=dict.fromkeys(addresses, SPAM), deferred=[]).line

    assert len(line) <= 512
    assert line[:-2].decode("ascii").isprintable()
