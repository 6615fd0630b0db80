"""PURE. What somebody else sets again each time that we have put it back: a field of a child, a gateway's status.

Two that disagree would otherwise write several times a second, for ever. We stop, say so, and look again after minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_TIMES = 5  # that the same was put back, and came back, within …
_WINDOW = 600.0  # … so many seconds
_PAUSES = (60.0, 120.0, 300.0)  # seconds before it is put back again, the last ones go on


@dataclass(slots=True)
class Contest:
    """What is known of one object."""

    repairs: dict[str, list[float]] = field(default_factory=dict)  # by what it is about: when that was put back
    until: float = float("-inf")  # monotonic seconds: not touched before then
    pauses: int = 0

    def is_too_often(self, state: str, now: float) -> bool:
        """Whether the same came back too often to be put back now: then a pause begins.

        `state` names what it is about: the same again and again is a contest, and different things are none.
        """
        self.repairs = {
            known: recent
            for known, times in self.repairs.items()
            if (recent := [at for at in times if now - at < _WINDOW])
        }
        if not self.repairs:
            self.pauses = 0
        times = self.repairs.get(state, [])
        if len(times) < _TIMES:
            return False
        del times[-1]  # once, when the pause is over
        self.until = now + _PAUSES[min(self.pauses, len(_PAUSES) - 1)]
        self.pauses += 1
        return True

    def repaired(self, state: str, now: float) -> None:
        """Note that something was put back."""
        self.repairs.setdefault(state, []).append(now)
