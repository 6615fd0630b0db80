"""A message that was taken in part is not delivered twice to those who have it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from mailport.address import Address
from mailport.deliver.delivery import Envelope, Receipt, Unavailable
from mailport.listener.config import Config, Route
from mailport.listener.load import Loader, Places
from mailport.listener.partial import KEPT_SECONDS, Delivered
from mailport.listener.slots import Slots
from mailport.listener.transaction import Transaction
from mailport.policy import replies
from mailport.policy.rcpt import RouteFacts

ANNA, BOB, CARL = (Address.parse(f"{name}@example.org") for name in ("anna", "bob", "carl"))
SENDER = Address.parse("sender@example.net")

DOCUMENT = """
apiVersion: mailport.dev/v1alpha1
kind: InboundSmtp
metadata: {name: mx}
spec:
  hostname: mx.example.org
  listeners: [{name: smtp, port: 2525}]
  routes: [{name: all, recipients: ["*@example.org"], deliver: {discard: {}}}]
"""


@dataclass
class Box:
    """A destination that fails on demand, at the one moment where no real one can be made to: in the commit itself."""

    failing: bool = False
    final: bool = True
    got: list[tuple[str, bytes]] = field(default_factory=list)

    async def open(self, _: Envelope) -> BoxDelivery:
        return BoxDelivery(self)

    async def close(self) -> None:
        pass


@dataclass
class BoxDelivery:
    box: Box
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""

    async def rcpt(self, recipient: Address) -> None:
        self.recipients.append(str(recipient))

    async def write(self, chunk: bytes) -> None:
        self.content += chunk

    async def prepare(self) -> None:
        pass

    async def commit(self) -> Receipt:
        if self.box.failing:
            raise Unavailable("the disk is on fire")
        self.box.got += [(recipient, self.content) for recipient in self.recipients]
        return Receipt("ok")

    async def abort(self) -> None:
        pass


class World:
    """Two routes, a clock, and a memory."""

    def __init__(self, folder: Path) -> None:
        (folder / "mx.yaml").write_text(DOCUMENT)
        self.config: Config = Loader(Places((folder / "mx.yaml",))).load()
        self.first, self.second = Box(), Box()
        self.routes = [
            Route(name, "maildir", RouteFacts(number, False, False), box, Slots(50))
            for number, (name, box) in enumerate({"first": self.first, "second": self.second}.items())
        ]
        self.delivered = Delivered()
        self.now = 0.0

    async def send(self, content: bytes, *to: tuple[Address, int], sender: Address | None = SENDER) -> replies.Reply:
        envelope = Envelope("id", sender, False, False, None, None, "192.0.2.1", "client", "mx.example.org")
        transaction = Transaction(self.config, envelope, self.delivered, lambda: self.now)
        for recipient, route in to:
            assert await transaction.add(recipient, self.routes[route]) is replies.RECIPIENT_OK
        assert await transaction.begin(b"Received: x\r\n") is None
        for start in range(0, len(content), 7):
            await transaction.take(content[start : start + 7])
        return await transaction.finish()


MESSAGE = b"Subject: hi\r\n\r\nhello\r\n"
BOTH = ((ANNA, 0), (BOB, 1))


async def half_delivered(folder: Path) -> World:
    world = World(folder)
    world.second.failing = True
    assert await world.send(MESSAGE, *BOTH) is replies.PARTIAL
    world.second.failing = False
    return world


async def test_who_has_it_is_skipped_when_it_comes_again(tmp_path: Path):
    """The second try reaches only the one who lacks it, whole and with trace fields."""
    world = await half_delivered(tmp_path)

    reply = await world.send(MESSAGE, *BOTH)

    assert reply.code == 250
    assert [recipient for recipient, _ in world.first.got] == ["anna@example.org"]
    assert world.second.got == [
        ("bob@example.org", b"Return-Path: <sender@example.net>\r\nReceived: x\r\n" + MESSAGE),
    ]


async def test_all_skipped_is_a_success(tmp_path: Path):
    """A sender that repeats only the delivered recipient hears 250."""
    world = await half_delivered(tmp_path)

    assert (await world.send(MESSAGE, (ANNA, 0))).code == 250
    assert len(world.first.got) == 1


async def test_another_message_of_the_sender_is_delivered_to_all(tmp_path: Path):
    """What tells messages apart is their content."""
    world = await half_delivered(tmp_path)

    assert (await world.send(MESSAGE + b"PS\r\n", *BOTH)).code == 250
    assert [len(world.first.got), len(world.second.got)] == [2, 1]


async def test_others_of_the_same_route_get_theirs(tmp_path: Path):
    """Skipping is by recipient, not by route."""
    world = await half_delivered(tmp_path)

    assert (await world.send(MESSAGE, (ANNA, 0), (CARL, 0), (BOB, 1))).code == 250
    assert [recipient for recipient, _ in world.first.got] == ["anna@example.org", "carl@example.org"]


async def test_after_six_hours_it_is_forgotten(tmp_path: Path):
    """Nothing is kept for ever."""
    world = await half_delivered(tmp_path)
    world.now += KEPT_SECONDS

    assert (await world.send(MESSAGE, *BOTH)).code == 250
    assert len(world.first.got) == 2


async def test_the_memory_is_bounded(tmp_path: Path):
    """The oldest pairs go first."""
    delivered = Delivered()
    for number in range(10_001):
        delivered.remember(SENDER, [Address.parse(f"u{number}@example.org")], b"x", 0.0)
        if number % 1000 == 0:
            await asyncio.sleep(0)

    assert not delivered.may_have(SENDER, [Address.parse("u0@example.org")], 0.0)
    assert delivered.has(SENDER, Address.parse("u10000@example.org"), b"x", 0.0)
