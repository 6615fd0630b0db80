"""Ends the process when its event loop has stopped turning: what stands still must not come back and write.

A thread looks at when the loop last turned. A process that was stopped as a whole (SIGSTOP, a frozen machine) has
no thread that looks either: then whichever of the two runs first, the thread or the loop, sees the gap.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

STALL_SECONDS = 5.0

_STDERR = 2
_FAILED = 1


def end_process(seconds: float) -> None:
    """Write why, and end at once, with status 1: no handler, no clean-up, no lock that somebody holds."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    event = {"event": "the event loop has stalled: ending", "level": "error", "seconds": round(seconds, 1), "time": now}
    try:
        # by ourselves, for the log's thread may stand still too; and not where nobody reads: that would block
        if select.select([], [_STDERR], [], 0)[1]:
            os.write(_STDERR, json.dumps(event).encode() + b"\n")
    except OSError:  # no stderr, or a closed one
        pass
    os._exit(_FAILED)


class Watchdog:
    """A context manager, for a running event loop; `ended` is called, from any thread, when the loop stalls so long."""

    def __init__(self, seconds: float = STALL_SECONDS, ended: Callable[[float], object] = end_process) -> None:
        self._seconds = seconds
        self._ended = ended
        self._beaten = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._beaten = time.monotonic()
        self._thread.start()
        self._beat()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def age(self) -> float:
        """Return how many seconds ago the loop was last seen to turn: mostly less than a fifth of the limit."""
        return time.monotonic() - self._beaten

    def _beat(self) -> None:
        self._check()
        self._beaten = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(self._seconds / 5, self._beat)

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds / 20):
            self._check()

    def _check(self) -> None:
        age = self.age()
        if age >= self._seconds and not self._stopped.is_set():
            self._stopped.set()  # it ends once, whoever sees it first
            self._ended(age)
