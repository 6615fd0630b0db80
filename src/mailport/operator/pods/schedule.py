"""PURE. When a pod is asked what it runs.

Who answers is asked once a minute, and more often while a change is on its way. Who does not answer is asked less and
less: its network, or a policy in it, drops what we send, and each question then waits for its whole time.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailport.operator.pods.observed import Report
from mailport.operator.pods.poke import MANY, Poked, lacks

_LIVE = 60.0  # seconds: nothing tells us that a listener took a renewed certificate, or lost a Secret, but itself
_LACKING = 5.0  # something is missing, does not load, or has not been checked yet
_UNREACHABLE = 20.0  # a destination cannot be reached, which may be so for days, and of many gateways at once
_LAGGING = 0.5  # a change is on its way: a listener takes it up within half a second
_SILENT_READY = 1.0  # there was no answer, though the kubelet gets one; doubled each time
_SILENT = 5.0  # there was no answer, as it does not run yet or no more; doubled each time
_LONGEST = 60.0  # between two questions
_SILENCES = 3  # answers that may fail to come, one after the other, before nothing is known of a pod
_DOUBLED = 8  # times that a pause is, at the most

_STARTING = 30.0  # seconds that a pod may take to start before it is looked up what keeps it


@dataclass(frozen=True, slots=True)
class Target:
    """A pod, as far as it matters to asking it."""

    uid: str
    name: str
    ip: str  # empty: it has none yet
    port: int
    ready: bool  # as the kubelet says
    starting: bool  # its container has not been started
    expected: str | None  # the hash that it should run; None where that is of no format that we write
    poked: Poked
    may_poke: bool  # whether it is made to run what it should; else it takes its time


@dataclass(frozen=True, slots=True)
class Look:
    """What one pod said last."""

    report: Report | None = None
    at: float = float("-inf")  # monotonic seconds
    silences: int = 0  # how often it has not answered since

    @property
    def was_asked(self) -> bool:
        """Whether it was asked at all, by this process."""
        return self.at > float("-inf")

    @property
    def answers(self) -> bool:
        """Whether it answered when it was asked last."""
        return self.report is not None and not self.silences


def after(look: Look, report: Report | None, now: float, *, ready: bool) -> Look:
    """Return what is known after a pod was asked. A ready one that is silent for a moment is as it was."""
    if report is not None:
        return Look(report, now)
    silences = look.silences + 1
    return Look(look.report if ready and silences < _SILENCES else None, now, silences)


def ask_in(look: Look, target: Target, now: float) -> float:
    """Return the seconds until a pod is to be asked again, 0 for now."""
    pause = _pause(look, target)
    if target.poked.at > look.at and not look.silences:
        pause = min(pause, target.poked.at - look.at + _LAGGING)
    return max(0.0, look.at + pause - now)


def _pause(look: Look, target: Target) -> float:
    report = look.report
    if report is None or look.silences:
        first = _SILENT_READY if target.ready else _SILENT
        return min(_LONGEST, first * 2.0 ** min(max(look.silences - 1, 0), _DOUBLED))
    if lacks(report):
        return _LACKING
    if report.hash == target.expected:
        states = {one.get("state") for one in report.destinations}
        return _LACKING if "Unknown" in states else _LIVE if states <= {"Reachable"} else _UNREACHABLE
    return _LAGGING if target.may_poke and target.poked.attempts < MANY else _LACKING


def look_up_in(since: float, at: float, now: float) -> float:
    """Return the seconds until it is to be looked up what keeps a pod from starting; `at` is when it was, last."""
    return max(0.0, max(since + _STARTING, at + _LONGEST) - now)
