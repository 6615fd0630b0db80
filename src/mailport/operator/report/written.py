"""PURE. What this process wrote of one gateway's status last, and whether another operator writes it too."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from mailport.operator.contest import Contest
from mailport.operator.metadata import Manifest


@dataclass(slots=True)
class Written:
    """The status that we wrote last, as the API server answered."""

    _last: str = ""  # a digest; empty before the first
    _contest: Contest = field(default_factory=Contest)

    def note(self, status: Manifest) -> None:
        """Take note of what was written."""
        self._last = _digest(status)

    def says(self, status: Manifest) -> bool:
        """Whether this is what we have said already: who reads Events has read of it."""
        return self._last == _digest(status)

    def contested_for(self, before: Manifest, after: Manifest, now: float) -> float | None:
        """Return for how many seconds to leave the status alone, as another operator keeps replacing it; None if not.

        `before` is what stands there, `after` what we would write; `now` is monotonic. What has not been written yet is
        news, and waits for nothing.
        """
        state = _digest(after)
        if now < self._contest.until and state in self._contest.repairs:
            return self._contest.until - now
        if not self._last or self.says(before):
            return None
        if self._contest.is_too_often(state, now):
            return self._contest.until - now
        self._contest.repaired(state, now)
        return None


def _digest(status: Manifest) -> str:
    """Name a status, but for the times in it, which each writing of the same sets anew."""
    conditions = [
        {name: value for name, value in one.items() if name != "lastTransitionTime"}
        for one in status.get("conditions", ())
    ]
    return hashlib.sha256(json.dumps({**status, "conditions": conditions}, sort_keys=True).encode()).hexdigest()
