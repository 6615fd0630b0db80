"""The queue of gateways to look at. Its clock is the loop's, with pauses of milliseconds."""

import asyncio

import pytest

from mailport.operator.watch.queue import Queue
from mailport.operator.watch.store import Key

MX, OTHER = Key("mail", "mx"), Key("mail", "other")
SOON, LATER = 0.01, 600.0  # seconds


async def next_of(queue, seconds=2.0):
    return await asyncio.wait_for(queue.get(), seconds)


async def test_what_happens_several_times_is_looked_at_once():
    queue = Queue()
    queue.add_all([MX, OTHER, MX, MX])

    assert [await next_of(queue), await next_of(queue)] == [MX, OTHER]
    assert queue.depth == 0


async def test_a_gateway_is_with_one_worker_at_a_time():
    """What happens to it meanwhile has it looked at again, after that."""
    queue = Queue()
    queue.add(MX)
    await next_of(queue)
    queue.add(MX)
    queue.add(MX)

    assert queue.depth == 0
    queue.done(MX)
    assert await next_of(queue) == MX
    queue.done(MX)
    assert queue.depth == 0


async def test_a_namespace_holds_no_more_than_its_part_of_the_workers():
    """Whoever waits for a place of its own is passed by others, and has the next place that is free."""
    queue = Queue(at_once=2)
    slow = [Key("slow", str(number)) for number in range(4)]
    queue.add_all([*slow, MX, OTHER])

    assert [await next_of(queue) for _ in range(4)] == [*slow[:2], MX, OTHER]
    with pytest.raises(TimeoutError):
        await next_of(queue, SOON)
    waiting = asyncio.create_task(next_of(queue))
    await asyncio.sleep(SOON)
    queue.done(MX)
    await asyncio.sleep(SOON)
    assert not waiting.done()
    queue.done(slow[1])
    assert await waiting == slow[2]
    assert queue.depth == 1


async def test_of_several_times_the_earliest_counts():
    queue = Queue()
    queue.add(MX, after=LATER)
    queue.add(MX, after=SOON)
    queue.add(MX, after=LATER)

    assert await next_of(queue) == MX


async def test_at_once_takes_the_place_of_later():
    queue = Queue()
    queue.add(MX, after=SOON)
    queue.add(MX)
    assert await next_of(queue) == MX
    queue.done(MX)

    with pytest.raises(TimeoutError):
        await next_of(queue, 20 * SOON)


async def test_a_time_that_comes_while_a_worker_has_it_waits_for_that():
    queue = Queue()
    queue.add(MX)
    await next_of(queue)
    queue.add(MX, after=SOON)
    await asyncio.sleep(5 * SOON)

    assert queue.depth == 0
    queue.done(MX)
    assert await next_of(queue) == MX


async def test_the_oldest_work_is_known():
    queue = Queue()
    assert queue.longest_work() == 0
    queue.add(MX)
    await next_of(queue)
    await asyncio.sleep(SOON)

    assert queue.longest_work() >= SOON
    queue.done(MX)
    assert queue.longest_work() == 0
