"""A queue of gateways to look at: each is in it once, and with one worker at a time."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Iterable

from mailport.operator.watch.store import Key


class Queue:
    """Level-triggered: what happened is not kept, only that something did.

    Of one namespace no more than `at_once` are with workers at the same time, where that is given: a webhook of its own
    may take its time, and its neighbours should not wait for that.
    """

    def __init__(self, at_once: float = math.inf) -> None:
        self._at_once = at_once
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()  # those in _ready
        self._working: dict[Key, float] = {}  # since when
        self._busy: Counter[str] = Counter()  # how many of these, by namespace
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
        while (key := self._first()) is None:
            self._filled.clear()
            await self._filled.wait()
        self._ready.remove(key)
        self._waiting.discard(key)
        self._working[key] = time.monotonic()
        self._busy[key.namespace] += 1
        return key

    def done(self, key: Key) -> None:
        """Let others have it; it comes again where something happened meanwhile."""
        del self._working[key]
        self._busy -= Counter([key.namespace])  # which drops what has come to none
        self._filled.set()  # another of its namespace may have waited for that
        if key in self._again:
            self._again.discard(key)
            self._due(key)

    @property
    def depth(self) -> int:
        """How many wait for a worker; those that wait for their time do not count."""
        return len(self._ready)

    def longest_work(self) -> float:
        """Seconds since the oldest work that is not done began."""
        return time.monotonic() - min(self._working.values()) if self._working else 0.0

    def _first(self) -> Key | None:
        """Return who waits for the longest, of those whose namespace has a place."""
        return next((key for key in self._ready if self._busy[key.namespace] < self._at_once), None)

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
