"""When a destination is checked, and what is said of it meanwhile."""

from __future__ import annotations

import pytest

from mailport.deliver.health import Finding, Health, State
from tests.tables import table

# A second, and what happens in it: `ok`, `down` and `wrong` are what a check comes to; `mail` is a message that is
# delivered, `late` one that is put off, `403` one that is put off as nobody may deliver there. Behind it: what is known
# then, and when the next check is due.
Story = list[tuple[float, str]]
FIVE: Story = [(second, "403") for second in (61, 62, 63, 64, 65)]
STORIES: dict[str, tuple[Story, str, float]] = {
    "a destination that was loaded is checked at once": ([], "Unknown", 0),
    "one that answers is checked each minute": ([(0, "ok")], "Reachable", 60),
    "… unless a message is delivered meanwhile": ([(0, "ok"), (50, "mail")], "Reachable", 110),
    "one that does not answer is checked again soon": ([(0, "down")], "Unreachable", 5),
    "… then after twice the time": ([(0, "down"), (5, "down"), (15, "down")], "Unreachable", 35),
    "… and then each minute": ([(0, "down"), (1, "down"), (2, "down"), (3, "down"), (4, "down")], "Unreachable", 64),
    "so is one whose login is wrong": ([(0, "wrong"), (5, "wrong")], "Misconfigured", 15),
    "its answer ends that": ([(0, "down"), (5, "down"), (15, "ok")], "Reachable", 75),
    "… and the next failure is a first one": ([(0, "down"), (5, "down"), (15, "ok"), (75, "down")], "Unreachable", 80),
    "a message that is delivered shows that it is there": ([(0, "down"), (2, "mail")], "Reachable", 62),
    "a message that is put off has it checked at once": ([(0, "ok"), (30, "late")], "Reachable", 30),
    "… but not more often than each five seconds": ([(0, "ok"), (1, "late"), (2, "late")], "Reachable", 5),
    "… and one of the message's own faults changes nothing": ([(0, "ok"), (30, "late"), (30, "ok")], "Reachable", 90),
    "while it is down, messages change nothing": ([(0, "down"), (5, "down"), (6, "late")], "Unreachable", 15),
    "a message before the first check": ([(0, "late")], "Unknown", 0),
    "four messages in a row that are put off": ([(0, "ok"), *FIVE[:4], (66, "ok")], "Reachable", 126),
    "five of them, though checks go well": ([(0, "ok"), *FIVE, (66, "ok")], "Misconfigured", 126),
    "… and further ones have it checked no more often": (
        [(0, "ok"), *FIVE, (66, "ok"), (67, "late")],
        "Misconfigured",
        126,
    ),
    "… one that is delivered ends it": ([(0, "ok"), *FIVE, (66, "ok"), (70, "mail")], "Reachable", 130),
    "… it is so for ten minutes": ([(0, "ok"), *FIVE, (664, "ok")], "Misconfigured", 724),
    "… and then forgotten": ([(0, "ok"), *FIVE, (665, "ok")], "Reachable", 725),
    "what a check finds counts for more": ([(0, "ok"), *FIVE, (66, "down")], "Unreachable", 71),
    "… and with its end all is well": ([(0, "ok"), *FIVE, (66, "down"), (71, "ok")], "Reachable", 131),
    "what is delivered between them is counted anew": (
        [(0, "ok"), *FIVE[:4], (64, "mail"), (65, "403")],
        "Reachable",
        65,
    ),
}
FOUND = {
    "ok": Finding(State.REACHABLE),
    "down": Finding(State.UNREACHABLE, "no"),
    "wrong": Finding(State.MISCONFIGURED, "no"),
    "late": Finding(State.UNREACHABLE, "later"),
    "403": Finding(State.MISCONFIGURED, "never"),
}
ROW = "5 deliveries in a row failed, the last: never"


@pytest.mark.parametrize("story, state, due", table(STORIES))
def test_what_is_known_and_when_it_is_looked_at_next(story: Story, state: str, due: float):
    health = Health()
    for second, event in story:
        if event == "mail":
            health.delivered(second)
        elif event in ("late", "403"):
            health.put_off(FOUND[event], second)
        else:
            health.begin()
            health.checked(FOUND[event], second)

    assert health.finding.state == state
    assert health.finding.error in (["no", ROW] if state in ("Unreachable", "Misconfigured") else [""])
    assert health.due(due)
    assert not health.due(due - 0.1) or state == "Unknown"


def test_there_is_one_check_at_a_time():
    """However long it takes; one that was cancelled is begun again."""
    health = Health()
    health.begin()
    assert not health.due(1000.0)

    health.cancelled()
    assert health.due(0.0)
