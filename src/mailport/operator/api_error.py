"""PURE. Why a request to the API server failed."""

from __future__ import annotations

from typing import NamedTuple


class Cause(NamedTuple):
    """One field that the API server objects to."""

    field: str
    message: str


class ApiError(Exception):
    """A request was refused, or not answered: then the status is 0. The message is the server's, for a person."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after: float | None = None,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason  # metav1.StatusReason
        self.causes = causes
        self.retry_after = retry_after  # seconds
        self.timed_out = timed_out  # it was asked, and did not answer in time: something in it takes too long

    @property
    def is_conflict(self) -> bool:
        """Whether the object is not the one that was seen: look again."""
        return self.status == 409

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        return self.status in (0, 401, 409, 429) or self.status >= 500


class NotOurTurnError(Exception):
    """Another replica may lead: nothing may be written."""
