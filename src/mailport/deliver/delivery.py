"""What a destination is: the promises that the listener builds its 250 on.

A transaction calls, in this order: `open`, `rcpt` for each recipient (at RCPT), `write` for each piece of content
(while DATA arrives), `prepare` (everything that can fail), `commit` (the promise: durable, or an exception); or at any
point `abort`. With one destination `commit` is called without `prepare`, and does both.

Content is what the client sent, behind our trace fields: lines end in CRLF, dots are unstuffed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mailport.address import Address


class Envelope(NamedTuple):
    """What is known of a message before its first byte."""

    id: str  # ours: it stands in the 250, in Received, in the log and at the destination
    sender: Address | None  # None is the null sender <>
    smtputf8: bool  # the client asked for it (RFC 6531 §3.4)
    body_8bitmime: bool  # BODY=8BITMIME (RFC 6152)
    size: int | None  # octets, as declared with SIZE= (RFC 1870); None when not said
    user: str | None  # who authenticated
    client: str  # the client's address as text
    helo: str
    hostname: str  # ours


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a destination says of a message that it now holds durably."""

    text: str  # for the log: paths, sequence numbers, the next hop's 250


class Refused(Exception):  # noqa: N818 - the field's word
    """The destination will never take this: a 5yz. `text` is public, the exception's own message is for the log."""

    def __init__(self, code: int, enhanced: str, text: str, *, reason: str, detail: str = "") -> None:
        super().__init__(detail or text)
        self.code, self.enhanced, self.text, self.reason = code, enhanced, text, reason


class Unavailable(Exception):  # noqa: N818 - the field's word
    """Not now: a 4yz, and the sender keeps the message. Any other exception of a destination is taken for 451 4.3.0."""

    def __init__(
        self,
        detail: str,
        *,
        code: int = 451,
        enhanced: str = "4.3.0",
        text: str = "the destination is not available, try again later",
        reason: str = "destination_unavailable",
    ) -> None:
        super().__init__(detail)
        self.code, self.enhanced, self.text, self.reason = code, enhanced, text, reason


class Delivery(Protocol):
    """One message on its way to one destination."""

    async def rcpt(self, recipient: Address) -> None:
        """Add a recipient. Raises Refused or Unavailable for this recipient only."""

    async def write(self, chunk: bytes) -> None:
        """Take a piece of the content; return when there is room for the next (back-pressure)."""

    async def prepare(self) -> None:
        """Do all that can fail short of the promise. Called once, after the last write."""

    async def commit(self) -> Receipt:
        """Make it durable. After this returns the message survives a crash of process and machine."""

    async def abort(self) -> None:
        """Leave nothing behind. May be called at any time before commit has returned; never raises."""


class Destination(Protocol):
    """Where a route's mail goes; lives as long as its configuration."""

    final: bool  # delivery ends here: Return-Path is written (RFC 5321 §4.4)

    async def open(self, envelope: Envelope) -> Delivery:
        """Begin a delivery. Raises Unavailable where the destination is known to be down."""

    async def close(self) -> None:
        """Let go of what is held, once no delivery is open any more."""
