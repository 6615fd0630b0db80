"""maxConcurrent: who waits for a place, and who gets it."""

from __future__ import annotations

import asyncio
import time

import pytest

from mailport.listener.slots import Slots

LONG = 5.0  # seconds: never over in these tests
pytestmark = pytest.mark.both_loops


async def turns() -> None:
    """Let everybody come as far as they get without a clock."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_there_are():
    """The third of two waits, until its time is over."""
    slots = Slots(2)

    assert await slots.take(0)
    assert await slots.take(0)
    assert not await slots.take(0.01)
    assert slots.in_use == 2


async def test_a_place_that_comes_free_is_the_first_ones_who_waits():
    """One after the other, in the order in which they came."""
    slots = Slots(1)
    await slots.take(0)
    order: list[str] = []

    async def wait(name: str) -> None:
        assert await slots.take(LONG)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(wait(name))
        await turns()
        for expected in ("a", "ab", "abc"):
            slots.give_back()
            await turns()
            assert "".join(order) == expected


async def test_who_comes_later_is_not_before_who_waits():
    """Not even in the moment in which a place comes free."""
    slots = Slots(1)
    await slots.take(0)
    waiting = asyncio.create_task(slots.take(LONG))
    await turns()

    slots.give_back()
    assert not await slots.take(0)
    assert await waiting
    assert slots.in_use == 1


async def test_who_is_handed_a_place_as_its_time_is_over_has_it():
    """It is not lost between the two."""
    slots = Slots(1)
    await slots.take(0)
    waiting = asyncio.create_task(slots.take(0.01))
    await turns()
    time.sleep(0.02)  # noqa: ASYNC251 - so that both are in the loop's next turn
    slots.give_back()

    had = await waiting
    assert slots.in_use == int(had)
    assert had or await slots.take(0)


async def test_it_knows_for_how_long_it_has_been_full():
    """RCPT is refused where no place has been free for a while; one that comes free begins the count anew."""
    slots = Slots(1)
    assert not slots.full_for(0)
    await slots.take(0)

    assert slots.full_for(0)
    assert not slots.full_for(0.02)
    await asyncio.sleep(0.03)
    assert slots.full_for(0.02)
    slots.give_back()
    assert not slots.full_for(0)
    await slots.take(0)
    assert not slots.full_for(0.02)


async def test_a_place_that_goes_to_who_waits_is_not_free():
    """Under steady load each one that comes free is handed on: to a newcomer it has been full all the time."""
    slots = Slots(1)
    await slots.take(0)
    waiting = [asyncio.create_task(slots.take(LONG)) for _ in range(3)]
    await turns()
    for _ in range(3):
        await asyncio.sleep(0.03)
        slots.give_back()
        await turns()

    assert slots.full_for(0.08)
    assert all([await one for one in waiting])
    slots.give_back()
    await slots.take(0)
    assert not slots.full_for(0.08)


async def test_more_places_let_as_many_in():
    """A reload with a higher maxConcurrent is felt at once."""
    slots = Slots(1)
    await slots.take(0)
    waiting = [asyncio.create_task(slots.take(LONG)) for _ in range(3)]
    await turns()

    slots.resize(3)
    await turns()

    assert [task.done() for task in waiting] == [True, True, False]
    slots.give_back()
    assert await waiting[2]


async def test_fewer_places_are_kept_by_those_who_have_them():
    """Nobody is thrown out, and nobody let in before there are few enough."""
    slots = Slots(2)
    await slots.take(0)
    await slots.take(0)

    slots.resize(1)
    slots.give_back()

    assert not await slots.take(0.01)
    slots.give_back()
    assert await slots.take(0)


async def test_who_leaves_in_the_moment_of_its_turn_passes_it_on():
    """A client that vanishes takes no place with it."""
    slots = Slots(1)
    await slots.take(0)
    leaving, staying = (asyncio.create_task(slots.take(LONG)) for _ in range(2))
    await turns()

    slots.give_back()
    leaving.cancel()
    await turns()

    assert staying.done()
    assert await staying
    assert leaving.cancelled()
    assert slots.in_use == 1


async def test_who_has_left_is_passed_over():
    """Its turn is the next one's."""
    slots = Slots(1)
    await slots.take(0)
    leaving, staying = (asyncio.create_task(slots.take(LONG)) for _ in range(2))
    await turns()

    leaving.cancel()
    await turns()
    slots.give_back()

    assert await staying
