"""How many deliveries of a route go on at once in this process (maxConcurrent)."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Slots:
    """A semaphore whose size may change while it is held, and which knows for how long it has been full.

    Who waits is served in the order of coming.
    """

    __slots__ = ("_full_since", "_waiters", "in_use", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.in_use = 0
        self._full_since = 0.0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether one has to wait."""
        return self.in_use >= self.size

    def full_for(self, seconds: float) -> bool:
        """Whether no slot has been free in the last `seconds`."""
        return self.full and asyncio.get_running_loop().time() - self._full_since >= seconds

    async def take(self, seconds: float) -> bool:
        """Take a slot; False where none came free in `seconds`."""
        if not self.full:  # then nobody waits
            self.in_use += 1
            if self.full:
                self._full_since = asyncio.get_running_loop().time()
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return _is_handed(waiter)  # in the moment in which its time was over
        except asyncio.CancelledError:
            if _is_handed(waiter):  # it leaves in the moment of its turn, which is the next one's
                self.give_back()
            raise
        finally:
            with suppress(ValueError):
                self._waiters.remove(waiter)
        return True

    def give_back(self) -> None:
        """Free a slot."""
        self.in_use -= 1
        self._hand_over()

    def resize(self, size: int) -> None:
        """Change how many there are; those in use stay in use."""
        was_full, self.size = self.full, size
        if self.full and not was_full:
            self._full_since = asyncio.get_running_loop().time()
        self._hand_over()

    def _hand_over(self) -> None:
        """Give what is free to those who wait. It has been free for nobody else: full is as long as it was."""
        while self._waiters and not self.full:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_use += 1
                waiter.set_result(None)


def _is_handed(waiter: asyncio.Future[None]) -> bool:
    return waiter.done() and not waiter.cancelled()
