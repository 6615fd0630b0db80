"""What a destination is: the promises that the listener builds its 250 on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, runtime_checkable

from mailport.address.mail_address import Address
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.outward.printable import printable
from mailport.policy.replies import Reply

MISCONFIGURED = "destination_misconfigured"  # the reason of an Unavailable that only a person can mend

_ENHANCED = re.compile(r"[245](\.[0-9]{1,3}\.[0-9]{1,3})")  # RFC 3463 §2
_MAX_LINE = 512  # octets of a reply's line with CRLF (RFC 5321 §4.5.3.1.5)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A destination has the message, durably: it survives a crash of process and machine."""

    text: str  # for the log: paths, sequence numbers, the next hop's 250


class NotDelivered(Exception):  # noqa: N818 - what it says of the message
    """A destination has not got the message. `reply` is what the client hears; `detail` is for the log alone."""

    def __init__(self, reply: Reply, detail: str) -> None:
        super().__init__(detail or reply.text)
        self.reply = reply

    def again(self) -> Self:
        """Return the same, as if it had never been raised: what has been holds the frames, and the message in them."""
        same = type(self).__new__(type(self), *self.args)
        same.reply = self.reply
        return same


class Refused(NotDelivered):
    """The destination will never take this: a 5yz, whatever class of codes is given."""

    def __init__(
        self,
        text: str,
        *,
        code: int = 554,
        enhanced: str = "5.3.0",
        reason: str = "destination_refused",
        detail: str = "",
    ) -> None:
        code = code if 500 <= code <= 599 else 554
        super().__init__(_reply(code, _of_class("5", enhanced), text, reason), detail)


class Unavailable(NotDelivered):
    """Not now: a 4yz, whatever class of codes is given, and the sender keeps the message."""

    def __init__(
        self,
        detail: str,
        *,
        code: int = 451,
        enhanced: str = "4.3.0",
        text: str = "the destination is not available, try again later",
        reason: str = "destination_unavailable",
    ) -> None:
        code = code if 400 <= code <= 499 else 451
        super().__init__(_reply(code, _of_class("4", enhanced), text, reason), detail)


Outcome = Receipt | Refused | Unavailable


class Destination(Protocol):
    """Where a route's mail goes; it lives as long as its route's settings.

    Whatever else a method raises than what it says is a fault of ours: 451 for the client, and a traceback in the log.
    """

    @property
    def kind(self) -> str:
        """Its name below `deliver` in the document."""

    @property
    def rank(self) -> int:
        """Its place among the destinations of a message: those that can refuse come before those that hardly can."""

    @property
    def final(self) -> bool:
        """Whether delivery ends here (Return-Path is written, RFC 5321 §4.4).

        Else it hands on to another mail server, which may read more into a local part than we do.
        """

    @property
    def verifies_at_once(self) -> bool:
        """Whether `verify` waits for nobody, and so needs no time limit."""

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Look whether a recipient would be taken, at RCPT. Raises Refused or Unavailable."""

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Deliver to these, no two of them equal by their key; return the outcome of each, in their order.

        Refused or Unavailable may be raised in place of the same outcome for all. It may be cancelled, by the route's
        timeoutSeconds or when the process stops: then nobody has been promised anything, and what is undone is undone.
        """

    async def check(self) -> None:
        """Try the destination without a message: connect, TLS, login, and leave. Nothing where nobody is to be reached.

        On a connection of its own. Raises Unavailable, with the error's text, for people: it holds no password. Where
        the destination is wrongly set up its reason is MISCONFIGURED. It may be cancelled at any moment.
        """

    async def close(self) -> None:
        """Let go of what is held, once no transaction uses it any more."""


class Connections(NamedTuple):
    """The connections of a destination, for metrics."""

    idle: int | None  # None: it is a library's to know
    in_use: int | None
    breaker_open: bool  # after failures in a row: outward/breaker.py


@runtime_checkable
class ReportsConnections(Protocol):
    """A destination that keeps connections, and says how many."""

    def connections(self, now: float) -> Connections:
        """Return how many there are at `now`, seconds of the event loop's clock."""


class NotDurable(NamedTuple):
    """Why what a destination took may not last: a reason of the condition DeliveryDurable, and words for a person."""

    reason: str
    message: str


@runtime_checkable
class ReportsDurability(Protocol):
    """A destination that finds out by itself whether what it took lasts."""

    @property
    def not_durable(self) -> Sequence[NotDurable]:
        """What speaks against it, as far as is known."""


def _of_class(digit: str, enhanced: str) -> str:
    """Return an enhanced code with this class (RFC 3463 §2), "5.3.0" or "4.3.0" where it is none."""
    match = _ENHANCED.fullmatch(enhanced)
    return digit + (match[1] if match else ".3.0")


def _reply(code: int, enhanced: str, text: str, reason: str) -> Reply:
    """Return a reply whose text is one line of printable ASCII, as much of it as a line holds."""
    room = _MAX_LINE - len(f"{code} {enhanced} \r\n")
    return Reply(code, enhanced, printable(text).strip()[:room] or "refused", reason)
