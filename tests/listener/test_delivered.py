"""A message that was taken in part is not delivered twice to those who have it; one that was taken whole is."""

from __future__ import annotations

from pathlib import Path

from mailport.address.mail_address import Address
from mailport.listener.delivered import KEPT_SECONDS, Delivered
from mailport.policy import replies
from tests.listener.transactions import ANNA, BOB, CARL, SENDER, World, put_off, take

MESSAGE = b"Subject: hi\r\n\r\nhello\r\n"
BOTH = ((ANNA, 0), (BOB, 1))


async def half_delivered(folder: Path) -> World:
    world = World(folder)
    world.boxes[1].act = put_off
    assert await world.send(MESSAGE, *BOTH) is replies.PARTIAL
    world.boxes[1].act = take
    return world


async def test_who_has_it_is_skipped_when_it_comes_again(tmp_path: Path):
    """The second try reaches only the one who lacks it, whole and with trace fields."""
    world = await half_delivered(tmp_path)

    reply = await world.send(MESSAGE, *BOTH)

    assert reply.code == 250
    assert [recipient for recipient, _ in world.boxes[0].got] == ["anna@example.org"]
    [(recipient, content)] = world.boxes[1].got
    assert recipient == "bob@example.org"
    assert content.startswith(b"Return-Path: <sender@example.net>\r\nReceived: from client.example.net ")
    assert content.endswith(MESSAGE)


async def test_all_skipped_is_a_success(tmp_path: Path):
    """A sender that repeats only the delivered recipient hears 250."""
    world = await half_delivered(tmp_path)

    assert (await world.send(MESSAGE, (ANNA, 0))).code == 250
    assert len(world.boxes[0].got) == 1


async def test_after_its_250_the_same_octets_are_another_message(tmp_path: Path):
    """A device sends the same message every hour, and means it each time."""
    world = await half_delivered(tmp_path)
    assert (await world.send(MESSAGE, *BOTH)).code == 250

    assert (await world.send(MESSAGE, *BOTH)).code == 250
    assert [len(box.got) for box in world.boxes] == [2, 2]


async def test_who_has_it_stays_skipped_until_the_whole_message_has_its_250(tmp_path: Path):
    """Three tries, and one delivery to who took it at the first; each try counts the six hours anew."""
    world = await half_delivered(tmp_path)
    world.boxes[1].act = put_off
    world.now += KEPT_SECONDS - 1
    assert await world.send(MESSAGE, *BOTH) is replies.PARTIAL
    world.boxes[1].act = take
    world.now += KEPT_SECONDS - 1

    assert (await world.send(MESSAGE, *BOTH)).code == 250
    assert [len(box.got) for box in world.boxes] == [1, 1]


async def test_another_message_of_the_sender_is_delivered_to_all(tmp_path: Path):
    """What tells messages apart is their content."""
    world = await half_delivered(tmp_path)

    assert (await world.send(MESSAGE + b"PS\r\n", *BOTH)).code == 250
    assert [len(box.got) for box in world.boxes] == [2, 1]


async def test_others_of_the_same_route_get_theirs(tmp_path: Path):
    """Skipping is by recipient, not by route."""
    world = await half_delivered(tmp_path)

    assert (await world.send(MESSAGE, (ANNA, 0), (CARL, 0), (BOB, 1))).code == 250
    assert [recipient for recipient, _ in world.boxes[0].got] == ["anna@example.org", "carl@example.org"]


async def test_after_six_hours_it_is_forgotten(tmp_path: Path):
    """Nothing is kept for ever."""
    world = await half_delivered(tmp_path)
    world.now += KEPT_SECONDS

    assert (await world.send(MESSAGE, *BOTH)).code == 250
    assert len(world.boxes[0].got) == 2


def test_the_memory_is_bounded():
    """The oldest pairs go first."""
    delivered = Delivered()
    for number in range(10_001):
        delivered.remember(SENDER, [Address.parse(f"u{number}@example.org")], b"x", 0.0)

    assert not delivered.may_have(SENDER, [Address.parse("u0@example.org")], 0.0)
    assert delivered.has(SENDER, Address.parse("u10000@example.org"), b"x")
