"""PURE. When the kubelet is made to refresh a pod's volumes.

The kubelet takes up to a minute or more to refresh a mounted ConfigMap or Secret by itself, and does so at once where
an annotation of the pod changes. Its watch of ConfigMaps may be behind that of pods, so once is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailport.operator.pods.observed import Report

MANY = 12
"""Pokes after which something else must be wrong than a kubelet that lags."""

_LAGGING = (1.0, 2.0, 4.0, 8.0)  # seconds after each poke, until the pod runs what it should; the last ones go on
_LAGGING_LONG = 60.0  # after MANY
_LACKING = (10.0, 20.0, 40.0, 60.0)  # what is missing may come at any time, and nobody tells us


@dataclass(frozen=True, slots=True)
class Poked:
    """What was done about one pod."""

    hash: str = ""
    attempts: int = 0
    at: float = 0.0  # monotonic seconds


def poke_in(report: Report, expected: str, poked: Poked, now: float) -> float | None:
    """Return the seconds until the next poke, 0 for now; None where none is needed."""
    if report.draining or (report.hash == expected and not lacks(report)):
        return None
    if poked.hash != expected or not poked.attempts:
        return 0.0
    if report.hash == expected or report.reload_error:
        pause = _LACKING[min(poked.attempts, len(_LACKING)) - 1]
    else:
        pause = _LAGGING_LONG if poked.attempts >= MANY else _LAGGING[min(poked.attempts, len(_LAGGING)) - 1]
    return max(0.0, poked.at + pause - now)


def value(expected: str, attempt: int) -> str:
    """Return the annotation of a poke."""
    return f"{expected}.{attempt}"


def last_attempt(annotation: str | None, expected: str) -> int:
    """Return how often a pod was poked for this configuration, also by the replica that led before."""
    digest, _, attempt = (annotation or "").rpartition(".")
    return int(attempt) if digest == expected and attempt.isdigit() else 0


def lacks(report: Report) -> bool:
    """Whether a listener misses something, or could not load it."""
    return bool(report.missing or report.reload_error)
