"""When a pod is asked, and when its kubelet is made to look at the volumes again."""

import pytest

from mailport.operator.observed import Report
from mailport.operator.poking import Look, Poked, after, last_attempt, look_in, poke_in, value
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
    ("look", "poked", "ready", "seconds"),
    table(
        {
            "one never asked is asked now": (Look(), Poked(), True, 0),
            "one that is live is asked once a minute": (Look(LIVE, NOW - 20), Poked(), True, 40),
            "one that lags is asked twice a second": (Look(LAGGING, NOW), Poked("new", 1, NOW - 1), True, 0.5),
            "less often when that does not help": (Look(LAGGING, NOW), Poked("new", 12, NOW - 1), True, 5),
            "one that does not answer, every five seconds": (Look(None, NOW - 1), Poked(), False, 4),
            "and every second when it answers the kubelet": (Look(None, NOW - 1), Poked(), True, 0),
            "one that lacks something, too": (Look(LACKING, NOW), Poked("new", 3, NOW - 9), True, 5),
            "but soon after it was poked": (Look(LACKING, NOW - 0.1), Poked("new", 3, NOW), True, 0.5),
            "one that was live and is silent, every second": (Look(LIVE, NOW, silences=1), Poked(), True, 1),
        }
    ),
)
def test_look(look, poked, ready, seconds):
    assert look_in(look, "new", poked, NOW, ready=ready) == pytest.approx(seconds)


def test_a_pod_that_is_not_poked_takes_its_time():
    """It lags, and the kubelet gets to it within a minute or so: nobody waits for that half a second at a time."""
    assert look_in(Look(LAGGING, NOW), "new", Poked(), NOW, ready=True, pokes=False) == 5


def test_a_pod_that_is_silent_for_a_moment_is_as_it_was():
    """One answer that is lost on the way is no news; a few are."""
    look = Look(LIVE, NOW)
    said = []
    for second in range(1, 4):
        look = after(look, None, NOW + second, ready=True)
        said.append(look.report)

    assert said == [LIVE, LIVE, None]
    assert after(Look(LIVE, NOW, 2), LAGGING, NOW, ready=True) == Look(LAGGING, NOW)
    assert after(Look(LIVE, NOW), None, NOW, ready=False).report is None


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
