"""PURE. Whether a destination that keeps failing is tried at all.

Closed, everything is tried. After some failures without a success between them it is open for a while: senders hear
451 at once, in place of a time-out each. Then one message at a time is let through, until one succeeds.
"""

from __future__ import annotations

from enum import StrEnum

FAILURES = 5  # without a success between them, each begun within FORGET of the end of the one before
FORGET = 60.0  # seconds
FIRST_PAUSE = 5.0  # seconds; twice as long after each trial that failed
LONGEST_PAUSE = 60.0


class State(StrEnum):
    """What becomes of the next message."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The recent past of one destination. `now` is seconds of a monotonic clock, which the caller passes in."""

    __slots__ = ("_asked_until", "_failed_at", "_failures", "_open_until", "_pause", "_trial")

    def __init__(self) -> None:
        self._failures = 0
        self._failed_at = 0.0
        self._open_until: float | None = None  # None is closed
        self._asked_until = 0.0  # until then the destination itself wants nothing
        self._pause = FIRST_PAUSE
        self._trial = False  # a message is on its way that decides

    def state(self, now: float) -> State:
        """Tell how it stands."""
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if now < self._open_until else State.HALF_OPEN

    def admits(self, now: float) -> bool:
        """Whether a message that came now would be tried; nothing is begun."""
        state = self.state(now)
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._trial)

    def begin(self, now: float) -> bool:
        """Begin with a message, if it may be tried: then `end` has to follow, whatever becomes of it."""
        if not self.admits(now):
            return False
        self._trial = self._open_until is not None
        return True

    def end(self, now: float, *, failed: bool | None, began: float | None = None) -> None:
        """Take note of how a message fared that was `began` then; None is neither, such as a client that left."""
        if self._trial and failed is None:
            self._trial = False
        elif failed:
            self.failed(now, since=began)
        elif failed is False and now >= self._asked_until:
            self._failures, self._open_until, self._pause, self._trial = 0, None, FIRST_PAUSE, False

    def open(self, now: float, seconds: float) -> None:
        """Try nothing for so long: the destination has asked for it. A success that began earlier does not end it."""
        self._asked_until = max(self._asked_until, now + seconds)
        self._open_until, self._trial = max(self._open_until or now, self._asked_until), False

    def failed(self, now: float, *, since: float | None = None) -> None:
        """Take note of a failure, tried `since` then: a connection that was refused or lost, a time-out, 421."""
        state = self.state(now)
        if state is State.OPEN:  # one that began earlier
            return
        tried = since if since is not None else now
        self._failures = self._failures + 1 if tried - self._failed_at <= FORGET else 1
        self._failed_at = now
        if state is State.HALF_OPEN:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif self._failures < FAILURES:
            return
        self._open_until, self._trial = now + self._pause, False
