"""From the end of the content to the one reply: what the client hears and what each destination has agree."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Receipt
from mailport.deliver.health import Finding, State
from mailport.listener import transaction as transaction_module
from mailport.message.envelope import Envelope
from tests.listener.transactions import (
    ANNA,
    BOB,
    CARL,
    Act,
    Box,
    World,
    crash,
    give_up,
    put_off,
    refuse,
    take,
)
from tests.tables import table

MESSAGE = b"Subject: hi\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    "acts, answer, delivered",
    table(
        {
            "one that takes it": ((take,), "250", [1]),
            "one that refuses it": ((refuse,), "554 5.3.0 destination_refused", [0]),
            "one that is down": ((put_off,), "451 4.3.0 destination_unavailable", [0]),
            "one with a fault": ((crash,), "451 4.3.0 internal", [0]),
            "one that is cancelled by something of its own": ((give_up,), "451 4.3.0 internal", [0]),
            "three that take it": ((take, take, take), "250", [1, 1, 1]),
            "a 5yz does not keep it from the others": ((take, refuse, take), "554 5.3.0 partial_refused", [1, 0, 1]),
            "a 4yz ends it": ((take, put_off, take), "451 4.3.0 partial", [1, 0, 0]),
            "a 4yz before anybody has it": ((put_off, take, take), "451 4.3.0 destination_unavailable", [0, 0, 0]),
            "a 4yz behind a 5yz: nobody has it": (
                (refuse, put_off, take),
                "451 4.3.0 destination_unavailable",
                [0, 0, 0],
            ),
            "all refuse it": ((refuse, refuse), "554 5.3.0 destination_refused", [0, 0]),
            "a fault behind one that took it": ((take, crash), "451 4.3.0 partial", [1, 0]),
        }
    ),
)
async def test_one_reply_for_several_destinations(
    tmp_path: Path, acts: tuple[Act, ...], answer: str, delivered: list[int]
):
    """As replies.md has it; memory and slots are free again."""
    world = World(tmp_path, *map(Box, acts))

    reply = await world.send(MESSAGE, *((ANNA, number) for number in range(len(acts))))

    assert " ".join(filter(None, (str(reply.code), reply.reason and f"{reply.enhanced} {reply.reason}"))) == answer
    assert [len(box.got) for box in world.boxes] == delivered
    assert world.holds_nothing()


async def test_a_destination_that_says_nothing_to_rcpt(tmp_path: Path):
    """451 when the route's time is over, and it counts as not there."""
    world = World(tmp_path, Box(verifies=False))
    route = replace(world.routes[0], timeout=0.05)
    transaction = world.begin()
    async with asyncio.timeout(5):
        reply = await transaction.add(ANNA, route)

    assert (reply.code, reply.reason) == (451, "destination_unavailable")
    assert transaction.detail == "no outcome in time"
    assert transaction.recipients == []


async def test_who_refused_is_named(tmp_path: Path):
    """The author is told whom it did not reach; five at most are named."""
    world = World(tmp_path, Box({"anna@example.org": refuse, "carl@example.org": refuse}))
    reply = await world.send(MESSAGE, (ANNA, 0), (BOB, 0), (CARL, 0))

    assert reply.text == "not delivered to anna@example.org, carl@example.org; delivered to the others"

    many = [Address.parse(f"{'x' * 60}{number}@example.org") for number in range(9)]
    world = World(tmp_path, Box(dict.fromkeys((address.key for address in many), refuse)))
    reply = await world.send(MESSAGE, (BOB, 0), *((address, 0) for address in many))

    assert " and 4 more; " in reply.text
    assert len(reply.line) <= 512


async def test_those_that_can_refuse_come_first(tmp_path: Path):
    """Whatever the order of the document: fewer messages are taken in part."""
    world = World(tmp_path, Box(rank=70), Box(put_off, rank=10))
    reply = await world.send(MESSAGE, (ANNA, 0), (BOB, 1))

    assert reply.reason == "destination_unavailable"
    assert world.boxes[0].got == []


async def test_each_destination_has_its_own_id_for_a_message(tmp_path: Path):
    """They may lead to one place, where the one's message is not to replace the other's. The first has the log's id."""
    world = World(tmp_path, Box(rank=70), Box(rank=10), Box(rank=30))
    await world.send(MESSAGE, (ANNA, 0), (BOB, 1), (CARL, 2))

    assert [box.ids for box in world.boxes] == [["id.1.3"], ["id.1"], ["id.1.2"]]


async def test_the_same_recipient_twice_gets_it_once(tmp_path: Path):
    """However it is spelt, as first written."""
    world = World(tmp_path, Box())
    await world.send(MESSAGE, (Address.parse("Anna@example.org"), 0), (Address.parse("anna@EXAMPLE.org"), 0))

    assert [recipient for recipient, _ in world.boxes[0].got] == ["Anna@example.org"]


async def test_what_one_spelling_has_is_not_what_another_has(tmp_path: Path):
    """Where one of two was put off, the next attempt is for that one."""
    outcomes = iter((take(), put_off(), take()))
    world = World(tmp_path, Box(lambda: next(outcomes)))
    world.routes[0] = replace(world.routes[0], facts=world.routes[0].facts._replace(relays=True))
    spelt = [(Address.parse(f"{local}@example.org"), 0) for local in ("Anna", "anna")]
    first, second = [await world.send(MESSAGE, *spelt) for _ in range(2)]

    assert (first.reason, second.code) == ("partial", 250)
    assert [recipient for recipient, _ in world.boxes[0].got] == ["Anna@example.org", "anna@example.org"]


async def test_another_mail_server_hears_each_local_part_as_it_is(tmp_path: Path):
    """Only it knows whether they are the same (RFC 5321 §2.4). A domain is the same in any case."""
    world = World(tmp_path, Box())
    world.routes[0] = replace(world.routes[0], facts=world.routes[0].facts._replace(relays=True))
    spelt = ("Anna@example.org", "anna@example.org", "anna@EXAMPLE.org")
    await world.send(MESSAGE, *((Address.parse(address), 0) for address in spelt))

    assert [recipient for recipient, _ in world.boxes[0].got] == ["Anna@example.org", "anna@example.org"]


class Never(Box):
    """It never comes to an end by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def deliver(self, message, recipients):
        self.begun.set()
        await asyncio.Event().wait()


class Miscounting(Box):
    async def deliver(self, message, recipients):
        return [Receipt("one")]


async def test_timeout_seconds_end_a_delivery(tmp_path: Path):
    """451, the slot is free again, and the next message is delivered."""
    world = World(tmp_path, Never(), slots=1)
    world.routes[0] = replace(world.routes[0], timeout=0.05)
    reply = await world.send(MESSAGE, (ANNA, 0))

    assert (reply.code, reply.reason) == (451, "destination_unavailable")
    assert world.holds_nothing()


async def test_the_reply_comes_before_the_client_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """540 s (here 0.05) from the end of the content, however long each route may take."""
    monkeypatch.setattr(transaction_module, "REPLY_SECONDS", 0.05)
    world = World(tmp_path, Never())
    reply = await world.send(MESSAGE, (ANNA, 0))

    assert reply.code == 451
    assert world.holds_nothing()


@pytest.mark.parametrize(
    "act, state, due_in",
    table(
        {
            "one that takes it is there": (take, "Reachable", 60),
            "one that refuses it is there": (refuse, "Reachable", 60),
            "one that is down is to be checked": (put_off, "Unknown", 0),
        }
    ),
)
async def test_what_a_delivery_shows_of_the_destination(tmp_path: Path, act: Act, state: str, due_in: float):
    """A message that goes through is as good as a check, and one that does not has the destination checked."""
    world = World(tmp_path, Box(act))
    world.now = 1000.0
    await world.send(MESSAGE, (ANNA, 0))
    health = world.routes[0].health

    assert health.finding.state == state
    assert health.due(1000.0 + due_in)
    assert not due_in or not health.due(1000.0 + due_in - 1)


async def test_a_fault_of_ours_shows_nothing_of_the_destination(tmp_path: Path):
    world = World(tmp_path, Box(crash))
    world.routes[0].health.checked(Finding(State.REACHABLE), 0.0)
    world.now = 10.0
    for _ in range(10):
        await world.send(MESSAGE, (ANNA, 0))

    assert world.routes[0].health.finding.state is State.REACHABLE
    assert not world.routes[0].health.due(10.0)


async def test_a_recipient_that_is_put_off_has_the_destination_checked(tmp_path: Path):
    """No message gets as far as a destination that is down; one that knows no such recipient is there."""

    class AtRcpt(Box):
        async def verify(self, _recipient: Address, _envelope: Envelope) -> None:
            outcome = self.act() if callable(self.act) else take()
            assert not isinstance(outcome, Receipt)
            raise outcome

    for act, due in ((put_off, True), (refuse, False)):
        world = World(tmp_path, AtRcpt(act))
        health = world.routes[0].health
        health.checked(Finding(State.REACHABLE), 0.0)
        world.now = 10.0
        assert not (await world.begin().add(ANNA, world.routes[0])).positive

        assert health.due(10.0) == due


async def test_outcomes_that_do_not_match_the_recipients_are_a_fault(tmp_path: Path):
    """Who has it would be a guess: 451."""
    world = World(tmp_path, Miscounting())
    reply = await world.send(MESSAGE, (ANNA, 0), (BOB, 0))

    assert (reply.code, reply.reason) == (451, "internal")


async def test_a_cancelled_session_gives_everything_back(tmp_path: Path):
    """When the process ends at once, the slot, the memory and the scratch space are not held by anybody."""
    world = World(tmp_path, Never())
    sending = asyncio.create_task(world.send(MESSAGE, (ANNA, 0)))
    await world.boxes[0].begun.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert world.holds_nothing()
