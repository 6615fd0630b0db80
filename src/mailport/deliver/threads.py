"""Blocking work, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

STALL_SECONDS = 0.02  # without an end, while work waits: the disk is slow, and another thread costs less than waiting


class Threads:
    """Threads that belong to one owner: work that hangs holds up nobody else's.

    There are a few, as each that wakes up costs the interpreter's lock, and on a quick disk more of them do less. Where
    work waits and none comes to its end, there is one more, up to `most`.

    In ThreadPoolExecutor's place, which takes so many locks for a job that a small message would cost a fifth more
    (tests/bench/maildir_commit.py). And other than there, the caller's cancellation cancels nothing here.
    """

    def __init__(self, few: int, most: int, name: str) -> None:
        self._few = few
        self._most = most
        self._name = name
        self._threads: list[Thread] = []
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._under_way = 0  # jobs that have not ended; this and the next are for the event loop alone
        self._last_end = 0.0

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have it done as soon as a thread is free, whether or not somebody still waits for it then."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            outcome: tuple[Callable[[Any], None], Any]
            try:
                outcome = future.set_result, work()
            except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
                outcome = future.set_exception, error
            with suppress(RuntimeError):  # the loop has ended, and so has everyone who waited
                loop.call_soon_threadsafe(self._settle, future, *outcome)

        self._jobs.put(job)
        self._under_way += 1
        if self._under_way == 1:
            self._last_end = time.monotonic()
        if len(self._threads) < self._few or (len(self._threads) < self._most and self._stalls()):
            self._threads.append(Thread(target=self._work, name=self._name, daemon=True))
            self._threads[-1].start()
        return future

    def close(self) -> None:
        """Let the threads go when all that was asked of them is done. Who comes late gets a new one."""
        while self._threads:
            self._threads.pop()
            self._jobs.put(None)

    def _stalls(self) -> bool:
        waiting = self._under_way > len(self._threads)
        return waiting and time.monotonic() - self._last_end > STALL_SECONDS

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # and the message in it, before the wait for the next

    def _settle(self, future: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any) -> None:
        self._under_way -= 1
        self._last_end = time.monotonic()
        if not future.cancelled():
            settle(outcome)
