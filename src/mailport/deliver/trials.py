"""Whether a destination is tried with a message, for how long, and what is said while it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from mailport.deliver.destination import MISCONFIGURED, Unavailable
from mailport.outward.breaker import Breaker, State
from mailport.outward.connection import TlsFailed
from mailport.outward.dial import NotAllowed
from mailport.process.clock import now

AHEAD = 0.2  # seconds by which a destination's time ends before its route's, so that the breaker learns of it


class NoTurn(Unavailable):
    """No turn came in time, as other messages of ours were waiting: this says nothing about the destination."""


class Trials:
    """One destination's."""

    __slots__ = ("breaker", "last_failure", "seconds")

    def __init__(self, route_seconds: float) -> None:
        """`route_seconds` is the route's timeoutSeconds."""
        self.seconds = route_seconds - min(AHEAD, route_seconds / 10)
        self.breaker = Breaker()
        self.last_failure = Unavailable("not tried yet")  # the answer while the breaker is open

    def must_be_admitted(self) -> None:
        """Look whether a message would be tried now. Raises Unavailable."""
        if not self.breaker.admits(now()):
            raise self.last_failure.again()

    def begin(self) -> Trial:
        """Begin a trial, a context manager around one delivery. Raises Unavailable while the breaker is open."""
        if not self.breaker.begin(now()):
            raise self.last_failure.again()
        return Trial(self)

    @asynccontextmanager
    async def turn(self, among: asyncio.Semaphore) -> AsyncGenerator[None]:
        """Wait for a turn, for half of the time: the rest is the destination's. Raises NoTurn."""
        try:
            async with asyncio.timeout(self.seconds / 2):
                await among.acquire()
        except TimeoutError as error:
            raise NoTurn("too many deliveries to it are in progress") from error
        try:
            yield
        finally:
            among.release()

    def unavailable(self, error: Exception) -> Unavailable:
        """Return what an error on the way to the destination means for a message."""
        if isinstance(error, Unavailable):
            return error
        if isinstance(error, TimeoutError):
            return Unavailable(str(error) or f"no answer in {self.seconds:.0f} s")
        if isinstance(error, TlsFailed | NotAllowed):
            return Unavailable(str(error), reason=MISCONFIGURED)
        return Unavailable(str(error))

    def breaker_open(self, now: float) -> bool:
        """Whether messages are put off without a try."""
        return self.breaker.state(now) is not State.CLOSED


class Trial:
    """One message's. `failed` is how the destination fared: None where that is not clear, as when the client left."""

    __slots__ = ("_began", "_trials", "failed")

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self._began = now()
        self.failed: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._trials.breaker.end(now(), failed=self.failed, began=self._began)

    def note_failure(self, error: Exception) -> Unavailable:
        """Take note that the destination, or the way there, has failed; return what that means for the message."""
        self.failed = True
        failure = self._trials.unavailable(error)
        self._trials.last_failure = failure.again()
        return failure
