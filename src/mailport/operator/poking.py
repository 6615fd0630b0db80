"""PURE. When a pod is asked what it runs, and when the kubelet is made to refresh its volumes.

The kubelet takes up to a minute or more to refresh a mounted ConfigMap or Secret by itself, and does so at once where
an annotation of the pod changes. Its watch of ConfigMaps may be behind that of pods, so once is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailport.operator.observed import Report

ANNOTATION = "mailport.dev/poke"  # <hash>.<attempt>

_LOOK_LIVE = 60.0  # nothing tells us that a listener took a renewed certificate, or lost a Secret, but itself
_LOOK_LACKING = 5.0  # something is missing, does not load, or there was no answer
_LOOK_READY = 1.0  # there was no answer, though the kubelet gets one
_SILENCES = 3  # answers that may fail to come, one after the other, before nothing is known of a pod
_LOOK_LAGGING = 0.5  # a change is on its way: a listener takes it up within half a second
_LAGGING = (1.0, 2.0, 4.0, 8.0)  # seconds after each poke, until the pod runs what it should; the last ones go on
_LAGGING_LONG = 60.0  # after so many that something else must be wrong
_MANY = 12
_LACKING = (10.0, 20.0, 40.0, 60.0)  # what is missing may come at any time, and nobody tells us


@dataclass(slots=True)
class Poked:
    """What was done about one pod."""

    hash: str = ""
    attempts: int = 0
    at: float = 0.0  # monotonic seconds


@dataclass(slots=True)
class Look:
    """What one pod said last."""

    report: Report | None = None
    at: float = float("-inf")  # monotonic seconds
    silences: int = 0  # how often it has not answered since


def after(look: Look, report: Report | None, now: float, *, ready: bool) -> Look:
    """Return what is known after a pod was asked. A ready one that is silent for a moment is as it was."""
    if report is None and look.report is not None and ready and look.silences + 1 < _SILENCES:
        return Look(look.report, now, look.silences + 1)
    return Look(report, now)


def look_in(look: Look, expected: str | None, poked: Poked, now: float, *, ready: bool, pokes: bool = True) -> float:
    """Return the seconds until a pod is to be asked again, 0 for now.

    `ready` is what the kubelet says. `pokes`: whether the pod is made to run what it should; else it takes its time.
    """
    report = look.report
    if report is None or look.silences:
        pause = _LOOK_READY if ready else _LOOK_LACKING
    elif _lacks(report):
        pause = _LOOK_LACKING
    elif report.hash == expected:
        pause = _LOOK_LIVE
    else:
        pause = _LOOK_LAGGING if pokes and poked.attempts < _MANY else _LOOK_LACKING
    if poked.at > look.at:
        pause = min(pause, poked.at - look.at + _LOOK_LAGGING)
    return max(0.0, look.at + pause - now)


def poke_in(report: Report, expected: str, poked: Poked, now: float) -> float | None:
    """Return the seconds until the next poke, 0 for now; None where none is needed."""
    if report.draining or (report.hash == expected and not _lacks(report)):
        return None
    if poked.hash != expected or not poked.attempts:
        return 0.0
    if report.hash == expected or report.reload_error:
        pause = _LACKING[min(poked.attempts, len(_LACKING)) - 1]
    else:
        pause = _LAGGING_LONG if poked.attempts >= _MANY else _LAGGING[min(poked.attempts, len(_LAGGING)) - 1]
    return max(0.0, poked.at + pause - now)


def value(expected: str, attempt: int) -> str:
    """Return the annotation of a poke."""
    return f"{expected}.{attempt}"


def last_attempt(annotation: str | None, expected: str) -> int:
    """Return how often a pod was poked for this configuration, also by the replica that led before."""
    digest, _, attempt = (annotation or "").rpartition(".")
    return int(attempt) if digest == expected and attempt.isdigit() else 0


def _lacks(report: Report) -> bool:
    return bool(report.missing or report.reload_error)
