"""Mail that is taken and thrown away, with 250: for tests, load tests, and addresses that must not bounce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mailport.address.mail_address import Address
from mailport.deliver.destination import Outcome, Receipt
from mailport.message.envelope import Envelope
from mailport.message.message import Message

_DISCARDED = Receipt("discarded")


class Discard:
    """The destination `discard`."""

    kind: ClassVar = "discard"
    rank: ClassVar = 80
    final: ClassVar = True
    verifies_at_once: ClassVar = True

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Take any recipient."""

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:  # noqa: ARG002 - the promise's signature
        """Drop the message."""
        return [_DISCARDED] * len(recipients)

    async def check(self) -> None:
        """Try nothing: nobody is to be reached."""

    async def close(self) -> None:
        """Hold nothing to let go of."""
