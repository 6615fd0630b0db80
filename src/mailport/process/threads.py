"""Blocking work, off the event loop."""

from __future__ import annotations

import asyncio
import errno
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")

STALL_SECONDS = 0.02  # without an end, while work waits: the disk is slow, and another thread costs less than waiting

_without_thread: WeakSet[Threads] = WeakSet()  # those whose work failed with NoThread, and who have none since


class NoThread(OSError):  # noqa: N818 - what the host says
    """Work that was not begun: the host gives no thread now (EAGAIN), for want of memory or by a limit of processes."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, "no thread can be started")


def none_can_be_started() -> bool:
    """Whether somebody's work fails because there is no thread to do it. Tries to start those that lack.

    For readiness: who is not ready gets no work that would try.
    """
    for threads in list(_without_thread):
        threads.start()
    return bool(_without_thread)


class Threads:
    """Threads that belong to one owner: work that hangs holds up nobody else's.

    There are a few, as each that wakes up costs the interpreter's lock, and on a quick disk more of them do less. Where
    work waits and none comes to its end, there is one more, up to `most`.

    In ThreadPoolExecutor's place, which takes so many locks for a job that a small message would cost a fifth more
    (tests/bench/maildir_commit.py), and which keeps in its queue a job that it has failed to start a thread for. And
    other than there, the caller's cancellation cancels nothing here.
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
        """Have it done as soon as a thread is free, whether or not somebody still waits for it then.

        Raises NoThread, and has not begun, where there is no thread and none can be started.
        """
        return self._run(work, only_if_awaited=False)

    def run_if_awaited(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do what `run` does, for work that is of no use to anybody but its caller.

        It is not begun where the caller has given up before a thread was free: else, once there is more work than
        there is time for, all of the time goes to what is late already.
        """
        return self._run(work, only_if_awaited=True)

    def _run(self, work: Callable[[], T], *, only_if_awaited: bool) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            outcome: tuple[Callable[[Any], None], Any]
            try:
                if only_if_awaited and future.cancelled():
                    outcome = _nobody_waits, None
                else:
                    outcome = future.set_result, work()
            except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
                outcome = future.set_exception, error
            with suppress(RuntimeError):  # the loop has ended, and so has everyone who waited
                loop.call_soon_threadsafe(self._settle, future, *outcome)

        if not self._under_way:
            self._last_end = time.monotonic()
        if len(self._threads) < self._few or (len(self._threads) < self._most and self._stalls()):
            self.start()
        if not self._threads:
            raise NoThread
        self._under_way += 1
        self._jobs.put(job)
        return future

    def start(self) -> None:
        """Start one more thread, where the host gives one; those that are there go on where it does not."""
        thread = _started(self._work, self._name)
        if thread is not None:
            self._threads.append(thread)
            _without_thread.discard(self)
        elif not self._threads:
            _without_thread.add(self)

    def close(self) -> None:
        """Let the threads go when all that was asked of them is done. Who comes late gets a new one."""
        _without_thread.discard(self)
        while self._threads:
            self._threads.pop()
            self._jobs.put(None)

    def _stalls(self) -> bool:
        """Whether the next job would wait, and none has ended for a while."""
        would_wait = self._under_way >= len(self._threads)
        return would_wait and time.monotonic() - self._last_end > STALL_SECONDS

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # and the message in it, before the wait for the next

    def _settle(self, future: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any) -> None:
        self._under_way -= 1
        self._last_end = time.monotonic()
        if not future.cancelled():
            settle(outcome)


def _nobody_waits(_: Any) -> None:
    """Settle a future that is cancelled."""


class Helpers:
    """Threads that help one other thread to do the same with many things, each of which takes its time."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._threads: list[Thread] = []
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def each(self, work: Callable[[T], None], things: Iterable[T]) -> None:
        """Do the work with each of the things; return when all is done. Raises what the work raised, wherever it did.

        The caller works too: where the host gives no more threads, fewer of them do it.
        """
        left = deque(things)
        ends: SimpleQueue[BaseException | None] = SimpleQueue()

        def work_on() -> None:
            try:
                while left:
                    try:
                        thing = left.popleft()
                    except IndexError:  # another thread was quicker
                        break
                    work(thing)
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                ends.put(error)
            else:
                ends.put(None)

        wanted = min(self._most, len(left) - 1)
        while len(self._threads) < wanted and (thread := _started(self._work, self._name)) is not None:
            self._threads.append(thread)
        helping = max(0, min(wanted, len(self._threads)))
        for _ in range(helping):
            self._jobs.put(work_on)
        work_on()
        for error in [ends.get() for _ in range(helping + 1)]:
            if error is not None:
                raise error

    def close(self) -> None:
        """Let the threads go. Who comes late gets new ones."""
        while self._threads:
            self._threads.pop()
            self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # and what it holds, before the wait for the next


def _started(work: Callable[[], None], name: str) -> Thread | None:
    """Start a thread that no end of the process waits for; None where the host gives none."""
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):  # "can't start new thread": pthread_create says EAGAIN
        return None
    return thread
