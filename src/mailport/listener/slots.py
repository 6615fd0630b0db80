"""How many deliveries of a route go on at once in this process (maxConcurrent)."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Slots:
    """A semaphore whose size may change while it is held, and which can be waited for without being taken."""

    __slots__ = ("_waiters", "in_use", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.in_use = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether one has to wait."""
        return self.in_use >= self.size

    async def free(self, seconds: float) -> bool:
        """Wait until there is a slot, and leave it; False where there was none in `seconds`."""
        if not self.full:
            return True
        if await self._wait(seconds):
            self._wake()  # it was not taken: the next one's turn
            return True
        return False

    async def take(self, seconds: float) -> bool:
        """Take a slot; False where none came free in `seconds`."""
        if self.full and not await self._wait(seconds):
            return False
        self.in_use += 1
        return True

    def give_back(self) -> None:
        """Free a slot."""
        self.in_use -= 1
        self._wake()

    def resize(self, size: int) -> None:
        """Change how many there are; those in use stay in use."""
        self.size = size
        for _ in range(size - self.in_use):
            self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self.full:
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    try:
                        await waiter
                    except asyncio.CancelledError:
                        if waiter.done() and not waiter.cancelled():
                            self._wake()  # we leave in the moment of our turn: it is the next one's
                        with suppress(ValueError):
                            self._waiters.remove(waiter)
                        raise
        except TimeoutError:
            return not self.full
        return True
