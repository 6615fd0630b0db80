"""What a next hop said of recipients is remembered for a while, and no more of it than there is room for."""

from __future__ import annotations

import pytest

from mailport.deliver.destination import Refused
from mailport.deliver.next_hop.known import MOST, Known
from tests.tables import table

ANNA, NOBODY = "anna@example.org", "nobody@example.org"
SENDER, OTHER = "a@client.example", "b@client.example"
NO = Refused("no such user", code=550, enhanced="5.1.1", reason="no_such_recipient")


def said(answer: Refused | bool) -> object:
    """Return what is told of an answer: a refusal is raised anew each time."""
    return (answer.reply, str(answer)) if isinstance(answer, Refused) else answer


@pytest.fixture
def known() -> Known:
    """At 100 s, anna is known and nobody is not."""
    known = Known()
    known.remember(ANNA, SENDER, None, 100.0)
    known.remember(NOBODY, SENDER, NO, 100.0)
    return known


@pytest.mark.parametrize(
    "recipient, sender, now, answer",
    table(
        {
            "a yes": (ANNA, SENDER, 100.0, True),
            "a yes for a minute": (ANNA, SENDER, 159.9, True),
            "and no longer": (ANNA, SENDER, 160.0, False),
            "a no": (NOBODY, SENDER, 100.0, NO),
            "a no for ten seconds": (NOBODY, SENDER, 109.9, NO),
            "and no longer, so that a mailbox can be made": (NOBODY, SENDER, 110.0, False),
            "a yes is every sender's": (ANNA, OTHER, 100.0, True),
            "a no may be this sender's alone": (NOBODY, OTHER, 100.0, False),
            "nothing of others": ("carl@example.org", SENDER, 100.0, False),
            "nor of another case: local parts may differ by it": ("Anna@example.org", SENDER, 100.0, False),
        }
    ),
)
def test_an_answer_is_remembered_for_a_while(
    known: Known, recipient: str, sender: str, now: float, answer: Refused | bool
):
    assert said(known.get(recipient, sender, now)) == said(answer)


def test_the_last_answer_counts(known: Known):
    """A mailbox that was made, and one that was removed."""
    known.remember(NOBODY, SENDER, None, 105.0)
    known.remember(ANNA, SENDER, NO, 105.0)

    assert known.get(NOBODY, SENDER, 150.0) is True
    assert said(known.get(ANNA, SENDER, 106.0)) == said(NO)
    assert known.get(ANNA, OTHER, 106.0) is False
    assert len(known) == 2
    assert known.get(ANNA, SENDER, 120.0) is False


@pytest.mark.parametrize("answer", table({"a yes": None, "a no": NO}))
def test_it_has_bounds(answer: Refused | None):
    """However many recipients a client names: those that were answered the longest ago are forgotten first."""
    known = Known()
    for number in range(MOST):
        known.remember(f"{number}@example.org", SENDER, answer, 100.0)
    known.remember("0@example.org", SENDER, answer, 101.0)

    assert len(known) == MOST
    assert said(known.get("1@example.org", SENDER, 102.0)) == said(answer or True)

    known.remember("one.more@example.org", SENDER, answer, 102.0)

    assert len(known) == MOST
    assert said(known.get("0@example.org", SENDER, 102.0)) == said(answer or True)
    assert known.get("1@example.org", SENDER, 102.0) is False


def test_what_is_over_is_let_go(known: Known):
    """As soon as it is asked for."""
    known.get(ANNA, SENDER, 200.0)
    known.get(NOBODY, SENDER, 200.0)

    assert len(known) == 0


def test_a_refusal_is_another_one_each_time(known: Known):
    """One that has been raised holds whoever it was raised to."""
    assert known.get(NOBODY, SENDER, 101.0) is not known.get(NOBODY, SENDER, 101.0)
