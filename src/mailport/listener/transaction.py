"""One mail transaction: the recipients' routes, the content, and the one reply at the end (RFC 5321 §3.3).

The message is held whole before anybody gets it, and what is decided about it is decided then. It is handed to one
destination after the other, each under its route's maxConcurrent and timeoutSeconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mailport.address.mail_address import Address
from mailport.deliver.destination import Destination, Outcome, Receipt, Refused, Unavailable
from mailport.deliver.health import of_failure
from mailport.listener import metrics
from mailport.listener.config import Config, Route
from mailport.listener.delivered import Delivered
from mailport.listener.examine import Examination
from mailport.listener.receive import Incoming
from mailport.message.content import Content, Space
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.policy import replies
from mailport.policy.chain import first_refusal
from mailport.policy.outcome import reply_to
from mailport.policy.rcpt import ON_RCPT, RcptFacts
from mailport.policy.recipients import POSTMASTER
from mailport.policy.replies import Reply
from mailport.process import log

if TYPE_CHECKING:
    from mailport.checks.checker import MessageCheck

SLOT_WAIT = 5.0  # seconds that a message waits for a place among maxConcurrent
REPLY_SECONDS = 540.0  # from the end of the content: a client waits 600 (RFC 5321 §4.5.3.2.6)

_log = log.get()


@dataclass(slots=True)
class Leg:
    """The part of a transaction that goes to one route's destination."""

    route: Route
    recipients: dict[str, Address] = field(default_factory=dict)  # by their key: each gets the message once


class Transaction:
    """From MAIL to the reply after the content."""

    __slots__ = ("_clock", "_legs", "config", "detail", "envelope", "examination", "incoming", "receipts", "recipients")

    def __init__(
        self, config: Config, envelope: Envelope, clock: Callable[[], float], check: MessageCheck | None = None
    ) -> None:
        """`check` asks who sent the message; None where nothing is asked."""
        self.config = config  # one configuration, and its destinations, from MAIL to the end
        self.envelope = envelope
        self.examination = Examination(config.spec.hostname, check)
        self._clock = clock
        self._legs: dict[int, Leg] = {}  # by the route's place in the document
        self.recipients: list[Address] = []
        self.incoming: Incoming | None = None  # from DATA or the first BDAT on
        self.receipts: list[Receipt] = []
        self.detail = ""  # of a refusal, for the log

    @property
    def first_route(self) -> int | None:
        """The index of the route that the first recipient took."""
        return next(iter(self._legs), None)

    @property
    def route_names(self) -> str:
        """The names of the routes, for the log."""
        return "+".join(leg.route.name for leg in self._legs.values()) or "none"

    @property
    def route_label(self) -> str:
        """The route, for the metrics: of several, not each combination, which a client could make without end."""
        return "several" if len(self._legs) > 1 else self.route_names

    @property
    def size(self) -> int:
        """Octets of content so far, as RFC 1870 §5 counts them."""
        return self.incoming.size if self.incoming is not None else 0

    def uses(self, destination: Destination) -> bool:
        """Whether a destination may still be asked for something."""
        return any(route.destination is destination for route in self.config.routes)

    async def rcpt(self, named: Address | None) -> Reply:
        """Answer RCPT: first the rules decide, then the destination is asked. None stands for `<postmaster>`."""
        config, envelope = self.config, self.envelope
        authenticated = envelope.user is not None
        recipient, index = config.router.resolve(named, authenticated=authenticated)
        route = config.routes[index] if index is not None else None
        facts = RcptFacts(
            recipient=recipient,
            smtputf8=envelope.smtputf8,
            authenticated=authenticated,
            accepted=len(self.recipients),
            max_recipients=config.spec.limits.max_recipients,
            route=route.facts if route is not None else None,
            hosted=route is None and config.router.hosts(recipient.domain_key),
            first_route=self.first_route,
        )
        refusal = first_refusal(ON_RCPT, facts)
        if refusal is not None or route is None:
            self.detail = f"recipient {recipient}"
            return refusal or replies.RELAY_DENIED
        asks_nobody = named is None or named.local_key == POSTMASTER or route.facts.refuses
        if not asks_nobody and (refusal := await self.examination.refuses_sender()) is not None:
            self.detail = f"recipient {recipient}"
            return refusal
        reply = await self.add(recipient, route)
        if reply is not replies.RECIPIENT_OK:
            self.detail = f"recipient {recipient}: {self.detail}"
        return reply

    async def add(self, recipient: Address, route: Route) -> Reply:
        """Add a recipient, where the route's destination would take it."""
        self.detail = ""
        if route.slots.full_for(SLOT_WAIT):
            return replies.ROUTE_BUSY
        try:
            if route.timeout is None or route.destination.verifies_at_once:
                await route.destination.verify(recipient, self.envelope)
            else:
                async with asyncio.timeout(route.timeout):
                    await route.destination.verify(recipient, self.envelope)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - see _failure
            failed = self._failure(error, route)
            self._put_off(route, failed)
            self.detail = str(failed)
            return failed.reply
        leg = self._legs.setdefault(route.facts.number, Leg(route))
        leg.recipients.setdefault(recipient.spelt_key if route.facts.relays else recipient.key, recipient)
        self.recipients.append(recipient)
        return replies.RECIPIENT_OK

    def begin(self, space: Space, client: Hashable) -> Incoming:
        """Begin to take content, held in `space` on the client's account."""
        self.detail = ""
        examination = self.examination
        self.incoming = Incoming(
            self.config, Content(space, client), examination.look_ahead if examination.asks else None
        )
        return self.incoming

    def close(self) -> None:
        """Hold nothing any more: the reply is known, the client has left, or it has said RSET."""
        self.examination.close()
        if self.incoming is not None:
            self.incoming.content.close()

    async def finish(self, delivered: Delivered) -> Reply:
        """Answer the end of the content."""
        incoming = self.incoming
        assert incoming is not None  # noqa: S101 - begin() comes first
        until = self._clock() + REPLY_SECONDS
        try:
            only = self.recipients[0] if len(self.recipients) == 1 else None
            message = await self.examination.message(incoming, self.envelope, only)
            if message is not None:
                return await self._deliver(message, delivered, until)
        finally:
            incoming.content.close()
        self.detail = incoming.detail
        return incoming.failure or replies.INTERNAL

    async def _deliver(self, message: Message, delivered: Delivered, until: float) -> Reply:
        """Hand the message to one destination after the other, and answer for all of them."""
        sender, digest = self.envelope.sender, b""
        have: list[Address] = []  # recipients that have the message
        if delivered.may_have(sender, self.recipients, self._clock()):
            digest = await message.digest()
            have = [recipient for recipient in self.recipients if delivered.has(sender, recipient, digest)]
        skipped = {recipient.spelt_key for recipient in have}
        refused: dict[str, Reply] = {}
        deferred: list[Reply] = []
        for number, leg in enumerate(self._in_order()):
            recipients = [recipient for recipient in leg.recipients.values() if recipient.spelt_key not in skipped]
            if not recipients:
                continue
            outcomes = await self._deliver_to(leg.route, message.for_route(number), recipients, until)
            for recipient, outcome in zip(recipients, outcomes, strict=True):
                if isinstance(outcome, Receipt):
                    have.append(recipient)
                    self.receipts.append(outcome)
                    continue
                self.detail = self.detail or f"{recipient}: {outcome}"
                if isinstance(outcome, Refused):
                    refused[str(recipient)] = outcome.reply
                else:
                    deferred.append(outcome.reply)
            if deferred:  # the sender comes again, with all of it
                break
        reply = reply_to(self.envelope.id, taken=bool(have), refused=refused, deferred=deferred)
        if not reply.positive and have:
            digest = digest or await message.digest()
            delivered.remember(sender, have, digest, self._clock())
        elif digest:
            delivered.forget(sender, self.recipients, digest)
        return reply

    def _in_order(self) -> list[Leg]:
        """Return the legs: those whose destination can refuse come before those whose hardly can."""
        legs = list(self._legs.values())
        if len(legs) > 1:
            legs.sort(key=lambda leg: leg.route.destination.rank)
        return legs

    async def _deliver_to(
        self, route: Route, message: Message, recipients: Sequence[Address], until: float
    ) -> Sequence[Outcome]:
        """Return one outcome a recipient, whatever the destination does. The route's slot is held for it alone."""
        if not await route.slots.take(SLOT_WAIT):
            busy = replies.ROUTE_BUSY
            return [Unavailable("", enhanced=busy.enhanced, text=busy.text, reason=busy.reason)] * len(recipients)
        began = self._clock()
        outcomes: Sequence[Outcome]
        try:
            if route.timeout is None:
                outcomes = await route.destination.deliver(message, recipients)
            else:
                async with asyncio.timeout(min(route.timeout, until - began)):
                    outcomes = await route.destination.deliver(message, recipients)
            if len(outcomes) != len(recipients):
                raise RuntimeError(f"{len(outcomes)} outcomes for {len(recipients)} recipients")  # noqa: TRY301
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - see _failure
            outcomes = [self._failure(error, route)] * len(recipients)
        finally:
            route.slots.give_back()
        self._take_note(route, outcomes, self._clock() - began)
        return outcomes

    def _take_note(self, route: Route, outcomes: Sequence[Outcome], seconds: float) -> None:
        metrics.destination_seconds(route.name).observe(seconds)
        if all(isinstance(outcome, Unavailable) for outcome in outcomes):
            self._put_off(route, outcomes[0])
        else:
            route.health.delivered(self._clock())

    def _put_off(self, route: Route, outcome: Outcome) -> None:
        """Take note that a destination is not available, where it is not a fault of ours."""
        if isinstance(outcome, Unavailable) and outcome.reply.reason != replies.INTERNAL.reason:
            route.health.put_off(of_failure(outcome), self._clock())

    def _failure(self, error: BaseException, route: Route) -> Refused | Unavailable:
        """Return what a destination's exception means for a recipient: whatever it is, the client hears one reply."""
        if isinstance(error, Refused | Unavailable):
            return error
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error  # it is this session that is to end, and not something of the destination's
        if isinstance(error, TimeoutError):
            return Unavailable(f"no outcome in time: {error}" if str(error) else "no outcome in time")
        _log.exception("destination failed", id=self.envelope.id, route=route.name)
        internal = replies.INTERNAL
        return Unavailable(str(error) or repr(error), text=internal.text, reason=internal.reason)
