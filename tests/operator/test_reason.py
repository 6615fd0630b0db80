"""The table of reasons, and the page that people read: the same conditions with the same reasons, in the same order."""

import re

import pytest

from mailport.operator.reason import STALLS, TABLE, Reason
from tests.operator.making import ROOT
from tests.tables import table

PAGE = (ROOT / "docs/conditions.md").read_text()


def test_the_page_has_the_table():
    """A row a condition: what it is when True, and the reasons of False and Unknown."""
    rows = re.findall(r"^\| `(\w+)`: [^|]+ \| `(\w+)` \| (`.*`) \|$", PAGE, re.MULTILINE)
    shown = {kind: (good, set(re.findall(r"`(\w+)`", others)) - {"Pending"}) for kind, good, others in rows}

    assert shown == {kind: (row.true, {*row.false, *row.unknown} - {"Pending"}) for kind, row in TABLE.items()}
    assert list(shown) == list(TABLE)


def test_the_page_says_what_to_do_about_each():
    explained = set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE))

    assert {reason for row in TABLE.values() for reason in (*row.false, *row.unknown)} == explained


@pytest.mark.parametrize(
    "reason, status, stalls",
    table(
        {
            "what is well": (Reason("Accepted", "Accepted", ""), "True", False),
            "what is not": (Reason("ConfigLive", "RollingOut", ""), "False", False),
            "what is not known": (Reason("ConfigLive", "PodsUnreachable", ""), "Unknown", False),
            "what waiting does not help with": (Reason("Programmed", "ImmutableField", ""), "False", True),
            "what it may help with, as a rule": (Reason("Programmed", "ApplyFailed", ""), "False", False),
            "and here does not": (Reason("Programmed", "ApplyFailed", "", hopeless=True), "False", True),
        }
    ),
)
def test_a_reason_says_how_the_condition_is(reason, status, stalls):
    assert (reason.status, reason.stalls) == (status, stalls)


def test_what_stalls_is_in_the_table():
    assert {reason for row in TABLE.values() for reason in row.false} >= STALLS
