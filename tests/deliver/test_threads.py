"""Work in threads: what comes of it, and of those who no longer wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

from mailport.deliver.threads import Threads

pytestmark = pytest.mark.both_loops


@pytest.fixture
def threads() -> Generator[Threads]:
    made = Threads(2, 2, "a test's")
    yield made
    made.close()


async def test_a_result_comes_back(threads: Threads):
    """What the work returns is what is awaited, and the loop does not do it."""
    assert await threads.run(threading.current_thread) is not threading.current_thread()


async def test_a_failure_comes_back(threads: Threads):
    """What the work raises is raised where it is awaited, and the thread lives on."""
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)


async def test_work_goes_on_without_its_caller(threads: Threads):
    """A cancelled caller ends nothing: work that waits for its turn is done all the same."""
    go_on, done = threading.Event(), threading.Event()
    for _ in range(2):
        threads.run(go_on.wait)
    waiting = threads.run(done.set)
    waiting.cancel()
    go_on.set()

    assert await asyncio.to_thread(done.wait, 10)


async def test_there_are_no_more_threads_than_asked_for(threads: Threads):
    """Ten pieces of work are done by two threads, which end when their owner does."""
    at_work = set(await asyncio.gather(*[threads.run(threading.current_thread) for _ in range(10)]))
    threads.close()
    for thread in at_work:
        await asyncio.to_thread(thread.join, 10)

    assert len(at_work) <= 2
    assert not any(thread.is_alive() for thread in at_work)


async def test_who_comes_after_the_close_is_served(threads: Threads):
    """A straggler's abort is not left waiting for ever."""
    await threads.run(threading.current_thread)
    threads.close()

    async with asyncio.timeout(10):
        await asyncio.gather(*[threads.run(threading.current_thread) for _ in range(5)])


def test_a_loop_may_end_before_the_work(threads: Threads):
    """Work that outlives the loop has nobody to tell, and says nothing."""
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        assert go_on.wait(10)
        done.set()

    async def begin() -> None:
        threads.run(work)

    asyncio.run(begin())
    go_on.set()
    assert done.wait(10)
    [thread] = threads._threads
    threads.close()
    thread.join(10)


async def test_where_work_hangs_others_get_a_thread(monkeypatch: pytest.MonkeyPatch):
    """One more for whoever comes when nothing has ended for a while, up to the most."""
    monkeypatch.setattr("mailport.deliver.threads.STALL_SECONDS", 0.0)
    threads = Threads(1, 3, "a test's")
    go_on = threading.Event()
    hanging = [threads.run(go_on.wait) for _ in range(2)]

    async with asyncio.timeout(10):
        await threads.run(threading.current_thread)
    last = [threads.run(go_on.wait) for _ in range(2)]
    go_on.set()
    await asyncio.gather(*hanging, *last)

    assert len(threads._threads) == 3
    threads.close()


async def test_where_work_ends_nobody_is_added(monkeypatch: pytest.MonkeyPatch):
    """A queue alone is no reason: on a quick disk more threads do less."""
    monkeypatch.setattr("mailport.deliver.threads.STALL_SECONDS", 60.0)
    few = Threads(1, 8, "a test's")
    await asyncio.gather(*[few.run(threading.current_thread) for _ in range(50)])

    assert len(few._threads) == 1
    few.close()
