"""What is kept, for how long, and what is never handed out again."""

from __future__ import annotations

from mailport.outward.pool import IDLE_SECONDS, LIFE_SECONDS, MOST_IDLE, Pool


class Kept:
    def __init__(self) -> None:
        self.usable = True
        self.closed = False

    def close(self) -> None:
        self.closed = True

    async def ended(self) -> None:
        assert self.closed


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.pool: Pool[Kept] = Pool(self.connect, lambda: self.now)

    async def connect(self) -> Kept:
        return Kept()


async def test_a_session_is_used_again():
    world = World()
    session = await world.pool.open()
    world.pool.give_back(session)

    assert world.pool.take_idle() is session
    assert world.pool.take_idle() is None, "who takes one has it alone"
    assert len(world.pool) == 1


async def test_the_one_used_last_comes_first():
    """So that the others get old, and a pool shrinks by itself."""
    world = World()
    first, second = await world.pool.open(), await world.pool.open()
    world.pool.give_back(first)
    world.pool.give_back(second)

    assert world.pool.take_idle() is second


async def test_what_broke_while_idle_is_not_handed_out():
    world = World()
    session = await world.pool.open()
    world.pool.give_back(session)
    session.usable = False

    assert world.pool.take_idle() is None
    assert session.closed
    assert len(world.pool) == 0


async def test_what_comes_back_broken_is_closed():
    world = World()
    session = await world.pool.open()
    session.usable = False
    world.pool.give_back(session)

    assert session.closed
    assert world.pool.idle == 0


async def test_who_was_idle_for_too_long_is_closed():
    world = World()
    session = await world.pool.open()
    world.pool.give_back(session)
    world.now += IDLE_SECONDS

    assert world.pool.take_idle() is None
    assert session.closed


async def test_nobody_lives_for_ever():
    """However busy it is: the name may lead to another address by now."""
    world = World()
    session = await world.pool.open()
    for _ in range(int(LIFE_SECONDS)):
        world.now += 1
        world.pool.give_back(session)
        if world.pool.take_idle() is None:
            break

    assert session.closed
    assert world.now == 1000 + LIFE_SECONDS


async def test_no_more_than_a_few_stay():
    world = World()
    sessions = [await world.pool.open() for _ in range(MOST_IDLE + 5)]
    for session in sessions:
        world.pool.give_back(session)

    assert world.pool.idle == MOST_IDLE
    assert sum(session.closed for session in sessions) == 5


async def test_after_the_end_nothing_is_kept():
    world = World()
    idle, in_use = await world.pool.open(), await world.pool.open()
    world.pool.give_back(idle)
    await world.pool.close()
    world.pool.give_back(in_use)

    assert idle.closed
    assert in_use.closed
