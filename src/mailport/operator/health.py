"""Whether the operator works: what its /livez and /readyz say."""

from __future__ import annotations

import asyncio
import time

from mailport.operator.cluster import Cluster
from mailport.operator.watch.lists import RESYNC_SECONDS, Lists
from mailport.operator.watch.queue import Queue
from mailport.operator.watch.streams import Watches

STALL_SECONDS = 15.0  # as long as a Lease lasts

_BEAT_SECONDS = 1.0
_LONGEST_WORK = 600.0  # seconds: then a worker hangs. A write may take half a minute, and a gateway has some ten
_LONGEST_BLINDNESS = 120.0  # seconds without watches


class Pulse:
    """Whether the event loop turns. One that stood still for a while is not trusted any more.

    While it stands still nobody answers at /livez, and that is a failed probe too.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.longest = 0.0
        """Seconds that it stood still at the most."""

    async def run(self) -> None:
        """Measure once a second, until cancelled."""
        self._last = time.monotonic()
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            self.measure()

    def measure(self) -> None:
        """Note for how long the loop has stood still since the last measurement."""
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last - _BEAT_SECONDS)
        self._last = now


class Health:
    """What is wrong with the process, if anything is."""

    def __init__(self, pulse: Pulse, queue: Queue, lists: Lists, watches: Watches, *clusters: Cluster) -> None:
        self._pulse = pulse
        self._queue = queue
        self._lists = lists
        self._watches = watches
        self._clusters = clusters

    def why_not_alive(self) -> str:
        """Say what hangs: each of these ends only by a new process. Empty where nothing does."""
        self._pulse.measure()
        if self._pulse.longest >= STALL_SECONDS:
            return "the event loop has stalled"
        if self._queue.longest_work() > _LONGEST_WORK:
            return "a worker hangs"
        filled_at = self._lists.filled_at
        if filled_at is not None and time.monotonic() - filled_at > 2 * RESYNC_SECONDS + _LONGEST_WORK:
            return "nothing was listed for too long"
        if self._watches.failing_for() > _LONGEST_BLINDNESS:
            return "no watches"
        return ""

    def why_not_ready(self) -> str:
        """Say what it waits for. Empty where it has seen everything, and hears of what happens."""
        if self._lists.filled_at is None:
            return "starting"
        if not all(cluster.answers for cluster in self._clusters):
            return "the API server does not answer"
        return "" if self._watches.running else "watches begin anew"
