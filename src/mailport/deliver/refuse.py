"""No mail at all: 550 5.1.1 at RCPT, which takes an address out of a later catch-all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver.destination import Outcome, Refused
from mailport.message.envelope import Envelope
from mailport.message.message import Message


class Refuse:
    """The destination `refuse`."""

    kind: ClassVar = "refuse"
    rank: ClassVar = 0
    final: ClassVar = True
    verifies_at_once: ClassVar = True

    def __init__(self, settings: model.Refuse) -> None:
        self._text = settings.text

    async def verify(self, recipient: Address, envelope: Envelope) -> NoReturn:
        """Refuse any recipient."""
        del recipient, envelope
        raise self._refused()

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Refuse again: no recipient of this route was let in."""
        del message
        return [self._refused()] * len(recipients)

    async def check(self) -> None:
        """Try nothing: nobody is to be reached."""

    async def close(self) -> None:
        """Hold nothing to let go of."""

    def _refused(self) -> Refused:
        return Refused(self._text, code=550, enhanced="5.1.1", reason="no_such_recipient")
