"""A queue of gateways to look at: each is in it once, and with one worker at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable

from mailport.operator.store import Key


class Queue:
    """Level-triggered: what happened is not kept, only that something did."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()  # those in _ready
        self._working: dict[Key, float] = {}  # since when
        self._again: set[Key] = set()  # came while a worker had them
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def add(self, key: Key, *, after: float = 0.0) -> None:
        """Have a gateway looked at, at once or after some seconds; the earliest of several times counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if after > 0:
            if timer is None or timer.when() > loop.time() + after:
                self._stop_timer(key)
                self._timers[key] = loop.call_later(after, self._due, key)
            return
        self._stop_timer(key)
        self._due(key)

    def add_all(self, keys: Iterable[Key], *, after: float = 0.0) -> None:
        """Have several looked at."""
        for key in keys:
            self.add(key, after=after)

    async def get(self) -> Key:
        """Return the next; the caller says `done` when it is."""
        while not self._ready:
            self._filled.clear()
            await self._filled.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working[key] = time.monotonic()
        return key

    def done(self, key: Key) -> None:
        """Let others have it; it comes again where something happened meanwhile."""
        del self._working[key]
        if key in self._again:
            self._again.discard(key)
            self._due(key)

    def clear(self) -> None:
        """Forget all, as another replica leads."""
        for key in list(self._timers):
            self._stop_timer(key)
        self._ready.clear()
        self._waiting.clear()
        self._again.clear()

    @property
    def depth(self) -> int:
        """How many wait for a worker; those that wait for their time do not count."""
        return len(self._ready)

    def longest_work(self) -> float:
        """Seconds since the oldest work that is not done began."""
        return time.monotonic() - min(self._working.values()) if self._working else 0.0

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._filled.set()

    def _stop_timer(self, key: Key) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
