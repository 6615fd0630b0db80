"""How many errors a session may make."""

from __future__ import annotations

import pytest

from mailport.contract.model import Limits
from mailport.listener.errors import MAX_UNCOUNTED, Errors
from mailport.policy import replies
from mailport.policy.replies import Reply
from tests.tables import table

USUAL = {"to_rcpt": False, "recipients": 0, "behind_refused_mail": False}
BEHIND_MAIL = {"behind_refused_mail": True}
BEHIND_RECIPIENT = {"to_rcpt": True, "recipients": 1}


def limits(**named: int) -> Limits:
    return Limits.model_validate(named)


def refused_until_the_end(reply: Reply, facts: dict[str, bool | int], configured: Limits, *, most: int = 20_000) -> int:
    """Return how many refusals a session survives."""
    errors = Errors()
    for survived in range(most):
        if errors.add(reply, configured, **(USUAL | facts)):
            return survived
    return most


@pytest.mark.parametrize(
    "reply, facts, configured, survived",
    table(
        {
            "each error counts": (replies.UNKNOWN_COMMAND, {}, limits(maxErrors=20), 20),
            "the first is the last": (replies.UNKNOWN_COMMAND, {}, limits(maxErrors=1), 1),
            "without a limit": (replies.UNKNOWN_COMMAND, {}, limits(maxErrors=0), 20_000),
            "20,000 RCPT pipelined behind a refused MAIL": (
                replies.NEED_MAIL,
                BEHIND_MAIL,
                limits(maxErrors=20),
                MAX_UNCOUNTED + 20,
            ),
            "20,000 unknown recipients behind a good one": (
                replies.NO_SUCH_RECIPIENT,
                BEHIND_RECIPIENT,
                limits(maxErrors=20),
                MAX_UNCOUNTED + 20,
            ),
            "20,000 recipients too many, for now": (
                replies.TOO_MANY_RECIPIENTS,
                BEHIND_RECIPIENT,
                limits(maxErrors=20),
                20_000,
            ),
            "as many as may be recipients of a message": (
                replies.NO_SUCH_RECIPIENT,
                BEHIND_RECIPIENT,
                limits(maxErrors=20, maxRecipients=5000),
                5000 + 20,
            ),
            "20,000 without a limit of errors": (replies.NEED_MAIL, BEHIND_MAIL, limits(maxErrors=0), 20_000),
        }
    ),
)
def test_how_many(reply: Reply, facts: dict[str, bool | int], configured: Limits, survived: int):
    """maxErrors of those that count, and a bound for those that do not."""
    assert refused_until_the_end(reply, facts, configured) == survived


def test_what_does_not_count_leaves_the_errors_as_they_are():
    """A sender with many refused recipients has made no error yet."""
    errors, configured = Errors(), limits(maxErrors=1)
    for _ in range(MAX_UNCOUNTED):
        assert not errors.add(replies.NO_SUCH_RECIPIENT, configured, **(USUAL | BEHIND_RECIPIENT))

    assert not errors.add(replies.UNKNOWN_COMMAND, configured, **USUAL)
    assert errors.add(replies.UNKNOWN_COMMAND, configured, **USUAL)
