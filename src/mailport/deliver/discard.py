"""Mail that is taken and thrown away, with 250: for tests, load tests, and addresses that must not bounce."""

from __future__ import annotations

from mailport.address import Address
from mailport.deliver.delivery import Envelope, Receipt


class Discard:
    """The destination `discard`. It keeps nothing, so one delivery of it serves for all."""

    final = False  # nobody will read a Return-Path

    async def open(self, _envelope: Envelope) -> Discard:
        """Begin a delivery."""
        return self

    async def rcpt(self, _recipient: Address) -> None:
        """Take any recipient."""

    async def write(self, _chunk: bytes) -> None:
        """Drop a piece of the content."""

    async def prepare(self) -> None:
        """Have nothing to prepare."""

    async def commit(self) -> Receipt:
        """Say what became of it."""
        return Receipt("discarded")

    async def abort(self) -> None:
        """Have nothing to undo."""

    async def close(self) -> None:
        """Hold nothing to let go of."""
