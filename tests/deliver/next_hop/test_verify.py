"""RCPT: what asking a next hop takes, of time and of memory."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mailport.address.mail_address import Address
from mailport.deliver.destination import Unavailable
from mailport.deliver.health import Health
from mailport.deliver.next_hop.destination import MOST_VERIFYING, NextHop
from mailport.listener.config import Route
from mailport.listener.slots import Slots
from mailport.listener.transaction import Transaction
from mailport.policy.rcpt import RouteFacts
from tests.deliver.conftest import verify
from tests.deliver.next_hop.hops import next_hop
from tests.listener.transactions import CLIENT, World
from tests.ports import free_port

EHLO = b"250-next\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n"


@asynccontextmanager
async def serving(answer: Callable[[bytes], bytes | None]) -> AsyncGenerator[int]:
    """Greet, and answer each line by its verb; None is silence. Gives the port."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        writer.write(b"220 next\r\n")
        while line := await reader.readline():
            writer.write(answer(line[:4].upper()) or b"")

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()


def refusing(verb: bytes) -> bytes:
    return {b"EHLO": EHLO, b"RCPT": b"550 5.1.1 no such user\r\n"}.get(verb, b"250 2.0.0 ok\r\n")


def silent(verb: bytes) -> bytes | None:
    return EHLO if verb == b"EHLO" else None


async def refused(world: World, hop: NextHop, name: str) -> int:
    """One transaction, with a recipient that is not there and content in memory, from begin to end."""
    transaction = world.begin()
    route = Route("next", RouteFacts(0, False, False), hop, Health(), Slots(5), timeout=10)
    reply = await transaction.add(Address.parse(f"{name}@example.org"), route)
    await transaction.begin(world.space, CLIENT).take(b"Subject: x\r\n\r\nbody\r\n")
    transaction.close()
    return reply.code


def transactions() -> int:
    gc.collect()
    return sum(isinstance(one, Transaction) for one in gc.get_objects())


async def test_a_refusal_holds_no_transaction(tmp_path: Path):
    """What is remembered of it is the reply: whether it was heard of the next hop or known."""
    world, before = World(tmp_path), transactions()
    async with serving(refusing) as port, next_hop("smtp", port) as hop:
        codes = [await refused(world, hop, f"nobody{number}") for number in (1, 2, 3, 3, 3)]

        assert codes == [550] * 5
        assert len(hop._known) == 3
        assert transactions() == before


async def test_a_next_hop_that_is_down_holds_no_transaction(tmp_path: Path):
    """Its last failure is every sender's answer."""
    world, before = World(tmp_path), transactions()
    async with next_hop("smtp", free_port()) as hop:
        codes = [await refused(world, hop, f"anna{number}") for number in range(8)]

        assert codes == [451] * 8
        assert hop._trials.breaker_open(asyncio.get_running_loop().time())
        assert transactions() == before


async def test_who_waits_to_ask_a_silent_next_hop_waits_no_longer_than_who_asks():
    """Only so many ask at a time: the others hear what those have found out, and do not ask one after the other."""
    async with serving(silent) as port, next_hop("smtp", port, seconds=1) as hop:
        begun = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(
            *(verify(hop, f"anna{number}@example.org") for number in range(6 * MOST_VERIFYING)), return_exceptions=True
        )
        took = asyncio.get_running_loop().time() - begun

    assert all(isinstance(one, Unavailable) for one in outcomes)
    assert took < 2


async def test_those_who_waited_while_it_broke_do_not_ask():
    """The breaker has opened meanwhile."""
    asked = 0

    def hang_up_later(verb: bytes) -> bytes | None:
        nonlocal asked
        asked += verb == b"MAIL"
        return EHLO if verb == b"EHLO" else b"421 4.3.2 going down\r\n"

    async with serving(hang_up_later) as port, next_hop("smtp", port) as hop:
        await asyncio.gather(
            *(verify(hop, f"anna{number}@example.org") for number in range(6 * MOST_VERIFYING)), return_exceptions=True
        )

    assert asked <= MOST_VERIFYING
