"""In place of a destination that lacks what it needs: a Secret or CA certificates that are missing or do not load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn

from mailport.address.mail_address import Address
from mailport.deliver.destination import MISCONFIGURED, Outcome, Unavailable
from mailport.message.envelope import Envelope
from mailport.message.message import Message


class Misconfigured:
    """Answers 451 until it is replaced: what is missing may come, and a fault of our set-up is never a 5yz."""

    verifies_at_once: ClassVar = True

    def __init__(self, kind: str, rank: int, why: str, *, final: bool) -> None:
        """`kind`, `rank` and `final` are those of what it stands for; `why` is for the log."""
        self.kind = kind
        self.rank = rank
        self.final = final
        self._why = why

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Take nobody. Raises Unavailable."""
        del recipient, envelope
        self._say_why()

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Take nothing. Raises Unavailable."""
        del message, recipients
        self._say_why()

    async def check(self) -> None:
        """Say what is missing. Raises Unavailable."""
        self._say_why()

    async def close(self) -> None:
        """Hold nothing."""

    def _say_why(self) -> NoReturn:
        raise Unavailable(self._why, reason=MISCONFIGURED)
