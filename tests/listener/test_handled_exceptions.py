"""Each coroutine has the exception that it handles to itself, also where it is compiled (tests/test_compiled.py)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from mailport.listener.slots import Slots
from mailport.listener.wire import Closed, TimedOut, Wire
from tests.tables import table

SOON = 0.02  # seconds of a wait that is meant to end by itself
SECONDS = 5.0  # within which whatever is expected happens


class Unclosable(asyncio.Transport):
    """A transport that takes a turn of the event loop and more to close: the kernel's take less."""

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def slot() -> None:
    """Wait for a slot that does not come free."""
    slots = Slots(0)
    await slots.take(SOON)


def wire() -> Wire:
    made = Wire(asyncio.get_running_loop())
    made.connection_made(Unclosable())
    return made


async def line() -> None:
    """Wait for a line that does not come."""
    waiting = wire()
    waiting.set_deadline(SOON)
    await waiting.readline(100)


async def octets() -> None:
    """Wait for octets of a client that leaves."""
    waiting = wire()
    asyncio.get_running_loop().call_later(SOON, waiting.connection_lost, None)
    await waiting.read()


async def end() -> None:
    """Wait for the end of a connection, which comes late."""
    waiting = wire()
    asyncio.get_running_loop().call_later(2 * SOON, waiting.connection_lost, None)
    await waiting.wait_closed(SOON)


@pytest.mark.parametrize(
    "waits",
    table(
        {
            "for a slot": slot,
            "for a line, until its deadline": line,
            "for octets, until the client leaves": octets,
            "for the end of the connection": end,
        }
    ),
)
@pytest.mark.parametrize("cancelled", [False, True])
async def test_who_waits_leaves_no_exception_to_others(waits: Callable[[], Awaitable[None]], cancelled: bool) -> None:
    """What is handled is seen by who handles it, while others run and when it goes on."""
    handled: list[object] = []

    async def caller() -> None:
        try:
            raise LookupError  # noqa: TRY301 - for the handler
        except LookupError:
            with suppress(Closed, TimedOut):
                await waits()
            handled.append(sys.exc_info()[0])

    async with asyncio.timeout(SECONDS):
        task = asyncio.create_task(caller())
        for turn in range(10):
            await asyncio.sleep(0)
            assert sys.exc_info()[0] is None, f"turn {turn}"
            if cancelled and turn == 5:
                task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert handled == ([] if cancelled else [LookupError])
    assert sys.exc_info()[0] is None
