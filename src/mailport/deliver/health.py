"""PURE. Whether a destination can be reached, as checks and messages have shown, and when it is to be checked next.

While messages are delivered, no check is needed. One that is not delivered shows little, as the fault may be of that
message or of one mailbox: the destination is checked at once. Where a check finds nothing wrong and yet none of several
messages in a row is delivered, what they were answered counts: relaying that is denied, a webhook that says 404.
"""

from __future__ import annotations

import re
from enum import StrEnum
from math import inf
from typing import NamedTuple

from mailport.deliver.destination import MISCONFIGURED, NotDelivered

CHECK_EVERY = 60.0  # seconds, while nothing is delivered
AFTER_FAILURE = 5.0  # seconds after a check that failed; twice as many after each further one, up to CHECK_EVERY
IN_A_ROW = 5  # messages or recipients that were put off, with none delivered between them
FORGET = 600.0  # seconds after the last of them, where checks go well and no mail comes that would tell

_MAX_ERROR = 300  # characters: what another server says may have no end
_ADDRESS = re.compile(r"<?[^\s<>]+@[^\s<>]+>?")


class State(StrEnum):
    """What is known of a destination."""

    UNKNOWN = "Unknown"  # it has not been checked yet
    REACHABLE = "Reachable"
    UNREACHABLE = "Unreachable"  # waiting may help
    MISCONFIGURED = "Misconfigured"  # a person has to change something: a login, a CA, a Secret that is missing


class Finding(NamedTuple):
    """What a check, or a message, has shown; `error` is for people, and empty where nothing is wrong."""

    state: State
    error: str = ""


def of_failure(failure: NotDelivered) -> Finding:
    """Return what a failure shows: on one line, and without the addresses of people, as it ends up in a status."""
    misconfigured = failure.reply.reason == MISCONFIGURED
    error = _ADDRESS.sub("<…>", " ".join(str(failure).split()))
    return Finding(
        State.MISCONFIGURED if misconfigured else State.UNREACHABLE,
        error if len(error) <= _MAX_ERROR else f"{error[: _MAX_ERROR - 1]}…",
    )


_REACHABLE = Finding(State.REACHABLE)


class Health:
    """One destination's. `now` is seconds of a monotonic clock, which the caller passes in."""

    __slots__ = ("_check", "_checked_at", "_due_at", "_failed_at", "_in_a_row", "_pause", "_put_off", "_under_way")

    def __init__(self) -> None:
        self._check = Finding(State.UNKNOWN)  # the last one's
        self._checked_at = -inf
        self._due_at = -inf
        self._pause = AFTER_FAILURE
        self._under_way = False
        self._in_a_row = 0  # messages that were put off, though checks go well
        self._put_off = Finding(State.UNKNOWN)  # what the one showed that made them IN_A_ROW
        self._failed_at = -inf  # when the last of them was

    @property
    def finding(self) -> Finding:
        """What is known now."""
        return self._put_off if self._in_a_row >= IN_A_ROW else self._check

    def due(self, now: float) -> bool:
        """Whether a check is to begin."""
        return not self._under_way and now >= self._due_at

    def begin(self) -> None:
        """A check begins; `checked` or `cancelled` follows."""
        self._under_way = True

    def cancelled(self) -> None:
        """The check came to no end."""
        self._under_way = False

    def checked(self, found: Finding, now: float) -> None:
        """Take note of what a check came to."""
        self._under_way = False
        self._checked_at = now
        self._check = found
        if found.state is State.REACHABLE:
            self._next_in_a_minute(now)
            if now - self._failed_at >= FORGET:
                self._in_a_row = 0
        else:
            self._due_at = now + self._pause
            self._pause = min(2 * self._pause, CHECK_EVERY)
            self._in_a_row = 0  # they were put off for what the check has found

    def delivered(self, now: float) -> None:
        """Take note of a message that the destination took, or refused for good: it is there."""
        self._check = _REACHABLE
        self._in_a_row = 0
        self._next_in_a_minute(now)

    def put_off(self, found: Finding, now: float) -> None:
        """Take note of a message or a recipient that it did not take now."""
        if self._check.state not in (State.REACHABLE, State.UNKNOWN):  # that is why, and the next check has its time
            return
        self._in_a_row += 1
        self._failed_at = now
        if self._in_a_row == IN_A_ROW:
            error = f"{IN_A_ROW} deliveries in a row failed, the last: {found.error}"
            self._put_off = Finding(found.state, error)
        if self._in_a_row <= IN_A_ROW:
            self._due_at = min(self._due_at, max(now, self._checked_at + AFTER_FAILURE))

    def _next_in_a_minute(self, now: float) -> None:
        self._due_at, self._pause = now + CHECK_EVERY, AFTER_FAILURE
