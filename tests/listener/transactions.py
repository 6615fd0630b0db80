"""Transactions for tests: destinations that do as they are told, and a message on its way to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, ClassVar

from mailport.address.mail_address import Address
from mailport.deliver.destination import Outcome, Receipt, Refused, Unavailable
from mailport.deliver.health import Health
from mailport.listener.config import Config, Route
from mailport.listener.delivered import Delivered
from mailport.listener.load import Loader, Places
from mailport.listener.slots import Slots
from mailport.listener.transaction import Transaction
from mailport.message.content import Space
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.policy import replies
from mailport.policy.rcpt import RouteFacts
from mailport.policy.replies import Reply

ANNA, BOB, CARL = (Address.parse(f"{name}@example.org") for name in ("anna", "bob", "carl"))
SENDER = Address.parse("sender@example.net")
CLIENT = IPv4Address("192.0.2.1")
DOCUMENT = """
apiVersion: mailport.dev/v1alpha1
kind: InboundSmtp
metadata: {name: mx}
spec:
  hostname: mx.example.org
  listeners: [{name: smtp, port: 2525}]
  messageSize: {advertised: 8Mi}
  routes: [{name: all, recipients: ["*@example.org"], deliver: {discard: {}}}]
"""
ENVELOPE = Envelope(
    id="id.1",
    sender=SENDER,
    smtputf8=False,
    body_8bitmime=False,
    size=None,
    user=None,
    client=CLIENT,
    client_port=50000,
    helo="client.example.net",
    extended=True,
    tls=None,
    listener="smtp",
    hostname="mx.example.org",
    time=datetime(2026, 11, 28, tzinfo=UTC),
)

Act = Callable[[], Any]


def take() -> Receipt:
    """Take the message."""
    return Receipt("taken")


def refuse() -> Refused:
    return Refused("not for me")


def put_off() -> Unavailable:
    return Unavailable("not now")


def crash() -> None:
    raise RuntimeError("a fault that nobody thought of")


def give_up() -> None:
    raise asyncio.CancelledError  # of something of its own: the transaction's task is not cancelled


ACTS: dict[str, Act] = {act.__name__: act for act in (take, refuse, put_off, crash, give_up)}


@dataclass
class Box:
    """A destination that does as it is told, also where no real one can be made to. It reads the message whole."""

    act: Act | dict[str, Act] = take  # for all recipients, or by the recipient's key
    rank: int = 50
    final: ClassVar = True
    kind: ClassVar = "box"
    verifies_at_once: ClassVar = False
    got: list[tuple[str, bytes]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)  # of the messages that it was given
    verifies: bool = True  # False: it says nothing to RCPT, as a volume that hangs

    async def verify(self, _recipient: Address, _envelope: Envelope) -> None:
        await (asyncio.sleep(0) if self.verifies else asyncio.get_running_loop().create_future())

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        content = b"".join([piece async for piece in message.pieces(final=True)])
        assert content == b"".join([piece async for piece in message.pieces(final=True)]), "it can be read again"
        assert len(content) == message.length(final=True)
        self.ids.append(message.id)
        acts = [self.act if callable(self.act) else self.act.get(recipient.key, take) for recipient in recipients]
        outcomes = [act() for act in acts]
        self.got += [
            (str(recipient), content)
            for recipient, outcome in zip(recipients, outcomes, strict=True)
            if isinstance(outcome, Receipt)
        ]
        return outcomes

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass


@cache
def config(folder: Path) -> Config:
    (folder / "mx.yaml").write_text(DOCUMENT)
    return Loader(Places((folder / "mx.yaml",))).load()


class World:
    """Routes to boxes, a clock, a memory of what was delivered, and space for contents."""

    def __init__(self, folder: Path, *boxes: Box, space: Space | None = None, slots: int = 50) -> None:
        self.config = config(folder)
        self.boxes = boxes or (Box(), Box())
        self.routes = [
            Route(f"route{number}", RouteFacts(number, False, False), box, Health(), Slots(slots), timeout=30)
            for number, box in enumerate(self.boxes)
        ]
        self.delivered = Delivered()
        self.space = space or Space(folder)
        self.now = 0.0

    def begin(self) -> Transaction:
        return Transaction(self.config, ENVELOPE, lambda: self.now)

    async def send(self, content: bytes, *to: tuple[Address, int], cuts: Sequence[int] = ()) -> Reply:
        """Send a message to recipients of routes, its content cut into pieces at these places."""
        transaction = self.begin()
        for recipient, route in to:
            assert await transaction.add(recipient, self.routes[route]) is replies.RECIPIENT_OK
        incoming = transaction.begin(self.space, CLIENT)
        for start, end in zip((0, *cuts), (*cuts, len(content)), strict=True):
            await incoming.take(content[start:end])
        return await transaction.finish(self.delivered)

    def holds_nothing(self) -> bool:
        """Whether memory, scratch and slots are back at zero."""
        held = self.space.memory.held, self.space.scratch.held, *(route.slots.in_use for route in self.routes)
        return set(held) == {0}
