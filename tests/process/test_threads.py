"""Work in threads: what comes of it, and of those who no longer wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator

import pytest

from mailport.process.threads import NoThread, Threads, none_can_be_started

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


async def test_what_only_its_caller_wants_is_not_begun_without_it(threads: Threads):
    """Of two callers one gives up before its turn: only the other's work is done."""
    go_on, done = threading.Event(), []
    for _ in range(2):
        threads.run(go_on.wait)
    given_up, waiting = (threads.run_if_awaited(lambda name=name: done.append(name)) for name in ("first", "second"))
    given_up.cancel()
    go_on.set()
    await waiting
    await threads.run(threading.current_thread)  # the first, which was before it, has been passed over by now

    assert done == ["second"]


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
    monkeypatch.setattr("mailport.process.threads.STALL_SECONDS", 0.0)
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
    monkeypatch.setattr("mailport.process.threads.STALL_SECONDS", 60.0)
    few = Threads(1, 8, "a test's")
    await asyncio.gather(*[few.run(threading.current_thread) for _ in range(50)])

    assert len(few._threads) == 1
    few.close()


@pytest.fixture
def host_full(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A host that gives no thread, for as long as it is full: tests/clients/test_no_threads.py has a real one."""
    start = threading.Thread.start
    state = {"full": False}

    def refuse(thread: threading.Thread) -> None:
        if state["full"] and thread.name == "a test's":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return lambda full: state.update(full=full)


async def test_without_any_thread_work_is_refused(threads: Threads, host_full: Callable[[bool], None]):
    """It is not begun, then or later; once there are threads, work is done again."""
    done = threading.Event()
    host_full(True)
    for _ in range(3):
        with pytest.raises(NoThread):
            threads.run(done.set)
    host_full(False)

    assert await threads.run(threading.current_thread) is not threading.current_thread()
    assert not done.is_set()


async def test_where_there_is_one_thread_it_does_all(threads: Threads, host_full: Callable[[bool], None]):
    """A second one that cannot be started is no fault: what is asked for waits for the first."""
    first = await threads.run(threading.current_thread)
    host_full(True)

    assert set(await asyncio.gather(*[threads.run(threading.current_thread) for _ in range(5)])) == {first}
    assert not none_can_be_started()


async def test_who_asks_whether_there_are_threads_has_them_started(threads: Threads, host_full: Callable[[bool], None]):
    """So it heals without work, which nobody sends to one that is not ready."""
    host_full(True)
    with pytest.raises(NoThread):
        threads.run(threading.current_thread)
    assert none_can_be_started()
    host_full(False)

    assert not none_can_be_started()
    assert len(threads._threads) == 1


async def test_an_owner_that_has_left_lacks_nothing(threads: Threads, host_full: Callable[[bool], None]):
    """A destination that is not in the configuration any more does not keep the process from being ready."""
    host_full(True)
    with pytest.raises(NoThread):
        threads.run(threading.current_thread)
    threads.close()

    assert not none_can_be_started()
