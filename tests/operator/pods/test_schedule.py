"""When a pod is asked what it runs."""

import pytest

from mailport.operator.pods.observed import Report
from mailport.operator.pods.poke import Poked
from mailport.operator.pods.schedule import Look, Target, after, ask_in, look_up_in
from tests.tables import table

LIVE = Report("new", 2)
LAGGING = Report("old", 1)
LACKING = Report("new", 2, missing=({"kind": "Secret", "name": "mx-tls"},))
REACHABLE = Report("new", 2, destinations=({"route": "mail", "state": "Reachable"},))
UNREACHABLE = Report("new", 2, destinations=(*REACHABLE.destinations, {"route": "out", "state": "Unreachable"}))
UNKNOWN = Report("new", 2, destinations=(*UNREACHABLE.destinations, {"route": "new", "state": "Unknown"}))
NOW = 1000.0


def target(poked=None, *, ready=True, may_poke=True):
    return Target(
        "uid",
        "mx-1",
        "192.0.2.1",
        8080,
        ready,
        starting=False,
        expected="new",
        poked=poked or Poked(),
        may_poke=may_poke,
    )


@pytest.mark.parametrize(
    ("look", "target", "seconds"),
    table(
        {
            "one never asked is asked now": (Look(), target(), 0),
            "one that is live is asked once a minute": (Look(LIVE, NOW - 20), target(), 40),
            "one that lags is asked twice a second": (Look(LAGGING, NOW), target(Poked("new", 1, NOW - 1)), 0.5),
            "less often when that does not help": (Look(LAGGING, NOW), target(Poked("new", 12, NOW - 1)), 5),
            "one that is not poked takes its time": (Look(LAGGING, NOW), target(may_poke=False), 5),
            "one that lacks something is asked every five seconds": (
                Look(LACKING, NOW),
                target(Poked("new", 3, NOW - 9)),
                5,
            ),
            "so is one that has not checked its destinations yet": (Look(UNKNOWN, NOW), target(), 5),
            "one that does not reach one is asked every twenty": (Look(UNREACHABLE, NOW), target(), 20),
            "one that reaches them all is not": (Look(REACHABLE, NOW), target(), 60),
            "but soon after it was poked": (Look(LACKING, NOW - 0.1), target(Poked("new", 3, NOW)), 0.5),
            "one that does not answer, though the kubelet gets one, after a second": (Look(None, NOW, 1), target(), 1),
            "then after two": (Look(LIVE, NOW, 2), target(), 2),
            "then after four": (Look(None, NOW, 3), target(), 4),
            "and every minute in the end": (Look(None, NOW, 50), target(), 60),
            "one that does not run yet, after five": (Look(None, NOW - 1, 1), target(ready=False), 4),
            "and every minute in the end, too": (Look(None, NOW, 9), target(ready=False), 60),
            "that a silent one is poked is no reason to ask it sooner": (
                Look(LIVE, NOW - 1, 6),
                target(Poked("new", 1, NOW)),
                31,
            ),
        }
    ),
)
def test_a_pod_is_asked(look, target, seconds):
    assert ask_in(look, target, NOW) == pytest.approx(seconds)


def test_a_pod_that_is_silent_for_a_moment_is_as_it_was():
    """One answer that is lost on the way is no news; a few are. The silences are counted on."""
    look = Look(LIVE, NOW)
    said = []
    for second in range(1, 5):
        look = after(look, None, NOW + second, ready=True)
        said.append((look.report, look.silences))

    assert said == [(LIVE, 1), (LIVE, 2), (None, 3), (None, 4)]
    assert after(Look(LIVE, NOW, 2), LAGGING, NOW, ready=True) == Look(LAGGING, NOW)
    assert after(Look(LIVE, NOW), None, NOW, ready=False).report is None


def test_what_keeps_a_pod_from_starting_is_looked_up_after_a_while():
    """Most start within seconds; then once a minute, as it may be another thing by then."""
    assert look_up_in(NOW - 10, float("-inf"), NOW) == 20
    assert look_up_in(NOW - 40, float("-inf"), NOW) == 0
    assert look_up_in(NOW - 90, NOW - 20, NOW) == 40
