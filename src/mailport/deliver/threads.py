"""Blocking work, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """At most `count` threads that belong to one owner: work that hangs holds up nobody else's.

    In ThreadPoolExecutor's place, whose locks and futures make a small message half as dear again, the disk's own time
    aside (tests/bench/maildir_commit.py on a tmpfs). And other than there, cancelling who waits cancels no work.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._threads: list[Thread] = []
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

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
                loop.call_soon_threadsafe(_settle, future, *outcome)

        self._jobs.put(job)
        if len(self._threads) < self._count:
            self._threads.append(Thread(target=self._work, name=self._name, daemon=True))
            self._threads[-1].start()
        return future

    def close(self) -> None:
        """Let the threads go when all that was asked of them is done. Who comes late gets a new one."""
        while self._threads:
            self._threads.pop()
            self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # and the message in it, before the wait for the next


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any) -> None:
    if not future.cancelled():
        settle(outcome)
