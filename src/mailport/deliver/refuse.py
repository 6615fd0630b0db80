"""No mail at all: 550 5.1.1 at RCPT, which takes an address out of a later catch-all."""

from __future__ import annotations

from typing import NoReturn

from mailport import model
from mailport.address import Address
from mailport.deliver.delivery import Envelope, Receipt, Refused


class Refuse:
    """The destination `refuse`. It keeps nothing, so one delivery of it serves for all."""

    final = False  # nothing arrives

    def __init__(self, settings: model.Refuse) -> None:
        self._text = settings.text

    async def open(self, _envelope: Envelope) -> Refuse:
        """Begin a delivery that no recipient will be part of."""
        return self

    async def rcpt(self, _recipient: Address) -> NoReturn:
        """Refuse any recipient."""
        raise Refused(550, "5.1.1", self._text, reason="no_such_recipient")

    async def write(self, _chunk: bytes) -> None:
        """Never be called for a delivery without recipients."""

    async def prepare(self) -> None:
        """Have nothing to prepare."""

    async def commit(self) -> Receipt:
        """Say that nobody was there to take it."""
        return Receipt("no recipient")

    async def abort(self) -> None:
        """Have nothing to undo."""

    async def close(self) -> None:
        """Hold nothing to let go of."""
