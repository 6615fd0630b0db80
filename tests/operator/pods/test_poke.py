"""When the kubelet is made to look at a pod's volumes again."""

import pytest

from mailport.operator.pods.observed import Report
from mailport.operator.pods.poke import Poked, last_attempt, poke_in, value
from tests.tables import table

LIVE = Report("new", 2)
LAGGING = Report("old", 1)
LACKING = Report("new", 2, missing=({"kind": "Secret", "name": "mx-tls"},))
FAILED = Report("old", 1, reload_error="spec: no")
NOW = 1000.0


@pytest.mark.parametrize(
    ("report", "poked", "seconds"),
    table(
        {
            "one that runs what it should is left alone": (LIVE, Poked(), None),
            "one that lags is poked at once": (LAGGING, Poked(), 0),
            "again a second later, for the ConfigMap may have come after the poke": (
                LAGGING,
                Poked("new", 1, NOW),
                1,
            ),
            "then after two": (LAGGING, Poked("new", 2, NOW - 0.5), 1.5),
            "four": (LAGGING, Poked("new", 3, NOW), 4),
            "and eight": (LAGGING, Poked("new", 4, NOW), 8),
            "which goes on": (LAGGING, Poked("new", 8, NOW), 8),
            "until something else must be wrong": (LAGGING, Poked("new", 12, NOW), 60),
            "a poke for an earlier configuration does not count": (LAGGING, Poked("older", 7, NOW), 0),
            "one that is due is due": (LAGGING, Poked("new", 1, NOW - 5), 0),
            "one that lacks a Secret is poked, as that may have come": (LACKING, Poked(), 0),
            "every ten seconds at first": (LACKING, Poked("new", 1, NOW), 10),
            "and every minute in the end": (LACKING, Poked("new", 9, NOW), 60),
            "so is one whose configuration does not load": (FAILED, Poked("new", 1, NOW), 10),
            "one that is on its way out is left alone": (Report("old", 1, draining=True), Poked(), None),
        }
    ),
)
def test_poke(report, poked, seconds):
    assert poke_in(report, "new", poked, NOW) == seconds


@pytest.mark.parametrize(
    ("annotation", "attempts"),
    table(
        {
            "a pod never poked": (None, 0),
            "one poked by the replica that led before": (value("new", 3), 3),
            "one poked for another configuration": (value("old", 3), 0),
            "what somebody else wrote there": ("new.x", 0),
        }
    ),
)
def test_attempts_go_on_where_another_replica_left_them(annotation, attempts):
    """For the kubelet looks again only where the annotation changes."""
    assert last_attempt(annotation, "new") == attempts
