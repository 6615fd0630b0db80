"""One mail transaction: the recipients' routes, the content on its way to them, and the one reply at the end.

The content is written to every destination as it comes. Nothing of it is kept here.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass, field

from mailport import log
from mailport.address import Address
from mailport.deliver.delivery import Delivery, Destination, Envelope, Receipt, Refused, Unavailable
from mailport.listener.config import Config, Route
from mailport.listener.framing import Newlines
from mailport.listener.partial import Delivered, Digest, Scratch
from mailport.model import BareNewlines
from mailport.policy import replies, trace
from mailport.policy.replies import Reply

SLOT_WAIT = 5.0  # seconds that a recipient or a message waits for a place among maxConcurrent

# Those that may still refuse at the end commit before those that hardly can: fewer messages end up taken in part.
_COMMIT_ORDER = ("refuse", "smtp", "lmtp", "webhook", "nats", "s3", "maildir", "discard")

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))

_log = log.get()


@dataclass(slots=True)
class Leg:
    """The part of a transaction that goes to one route's destination."""

    route: Route
    delivery: Delivery
    recipients: list[Address] = field(default_factory=list)
    holds_slot: bool = False
    committed: bool = False


class Transaction:
    """From MAIL to the reply after the content. The methods that speak to destinations answer with a Reply."""

    __slots__ = (
        "_clock",
        "_delivered",
        "_digest",
        "_dropped",
        "_header",
        "_legs",
        "_newlines",
        "_order",
        "_scratch",
        "_trace_pending",
        "config",
        "detail",
        "envelope",
        "failure",
        "receipts",
        "recipients",
        "size",
    )

    def __init__(self, config: Config, envelope: Envelope, delivered: Delivered, clock: Callable[[], float]) -> None:
        self.config = config  # one configuration from MAIL to the end
        self.envelope = envelope
        self._delivered = delivered
        self._clock = clock
        self.recipients: list[Address] = []
        self.size = 0  # octets of content so far, as RFC 1870 counts them
        self.failure: Reply | None = None  # what the end will be, once it cannot be good any more
        self.detail = ""  # of the failure, for the log
        self.receipts: list[Receipt] = []
        self._legs: dict[int, Leg] = {}
        self._order: list[Leg] = []
        self._header: trace.HeaderFilter | None = None
        self._newlines = Newlines()
        self._dropped = 0
        self._trace_pending = b""
        self._digest: Digest | None = None  # only where the message may be taken in part, or was
        self._scratch: Scratch | None = None  # only where some recipient may have it already

    @property
    def first_route(self) -> int | None:
        """The index of the route that the first recipient took."""
        return next(iter(self._legs), None)

    @property
    def route_names(self) -> str:
        """The names of the routes, for the log and the metrics."""
        return "+".join(leg.route.name for leg in self._legs.values()) or "none"

    @property
    def route_label(self) -> str:
        """The route, for the metrics: of several, not each combination, which a client could make without end."""
        return "several" if len(self._legs) > 1 else self.route_names

    @property
    def must_wait(self) -> bool:
        """Whether a route has no place free just now."""
        return any(leg.route.slots.full for leg in self._legs.values())

    def goes_to(self, destination: Destination) -> bool:
        """Whether this is on its way to a destination."""
        return any(leg.route.destination is destination for leg in self._legs.values())

    @property
    def begun(self) -> bool:
        """Whether content is expected: after DATA or the first BDAT."""
        return self._header is not None

    @property
    def drop_limit_passed(self) -> bool:
        """Whether more of a message that is too large was thrown away than a client may send for nothing.

        Without a limit a refusal for another reason is worth the wait: cut off, the client would come again.
        """
        return bool(self.config.size_limit) and self._dropped > self.config.drop_limit

    async def add(self, recipient: Address, route: Route) -> Reply:
        """Answer RCPT: the destination may have a word in it."""
        self.detail = ""
        if not await route.slots.free(SLOT_WAIT):
            return replies.ROUTE_BUSY
        leg = self._legs.get(route.facts.number)
        try:
            if leg is None:
                delivery = await route.destination.open(self.envelope)
                try:
                    await delivery.rcpt(recipient)
                except BaseException:
                    await delivery.abort()
                    raise
                leg = self._legs[route.facts.number] = Leg(route, delivery)
            else:
                await leg.delivery.rcpt(recipient)
        except Exception as error:  # noqa: BLE001 - whatever a destination throws, the client hears one clear reply
            self.detail = str(error)
            return self._explain(error)
        leg.recipients.append(recipient)
        self.recipients.append(recipient)
        return replies.RECIPIENT_OK

    async def begin(self, received: bytes) -> Reply | None:
        """Answer DATA or the first BDAT: take the routes' slots. `received` goes in front of the content."""
        for leg in self._legs.values():
            if not await leg.route.slots.take(SLOT_WAIT):
                self._give_back_slots()
                return replies.ROUTE_BUSY
            leg.holds_slot = True
        self._order = list(self._legs.values())
        if len(self._order) > 1:
            self._order.sort(key=lambda leg: _COMMIT_ORDER.index(leg.route.kind))
        self._header = trace.HeaderFilter(self.config.spec.hostname)
        self._trace_pending = received
        repeated = self._delivered.may_have(self.envelope.sender, self.recipients, self._clock())
        if repeated or len(self._order) > 1:
            self._digest = Digest()
        if repeated:
            self._scratch = Scratch()
        return None

    async def take(self, content: bytes) -> None:
        """Take content as it came off the frame. Never raises: what goes wrong is the reply at the end."""
        if self.failure is not None:
            self._dropped += len(content)
            return
        newlines = self._newlines
        content = newlines.feed(content)
        if newlines.bare and self.config.spec.content.bare_newlines is BareNewlines.REJECT:
            await self.fail(replies.BARE_NEWLINE)
            return
        self.size += len(content)
        if self.config.size_limit and self.size > self.config.size_limit:
            self._dropped = self.size
            await self.fail(replies.TOO_LARGE)
            return
        if self._digest is not None:
            self._digest.feed(content)
        if self._scratch is not None:
            await self._set_aside(content)
        else:
            await self._pass_on(content, last=False)

    async def finish(self) -> Reply:
        """Answer the end of the content: commit everywhere, or nowhere."""
        if rest := self._newlines.finish():
            await self.take(rest)
        if self.failure is None and self._scratch is not None:
            await self._skip_who_has_it(self._scratch)
        if self.failure is None and self._header is not None and (not self._header.done or self._trace_pending):
            await self._pass_on(b"", last=True)
        if self.failure is None:
            await self._commit()
        await self._let_go()
        if self.failure is not None:
            return self.failure
        return replies.queued(self.envelope.id)

    async def abort(self) -> None:
        """Leave nothing behind: RSET, a client that vanished, a fault."""
        await self._abort_open_legs()
        await self._let_go()

    async def fail(self, reply: Reply, detail: str = "") -> None:
        """Make this the end's reply; the rest of the content is read and dropped."""
        self.failure = reply
        self.detail = detail
        await self._abort_open_legs()

    async def _set_aside(self, content: bytes) -> None:
        assert self._scratch is not None  # noqa: S101 - for mypy
        try:
            await self._scratch.write(content)
        except OSError as error:
            await self.fail(replies.NO_SPACE if error.errno in _FULL else replies.INTERNAL, str(error))

    async def _skip_who_has_it(self, scratch: Scratch) -> None:
        """Begin again with those who do not have this very message, and hand them what was set aside."""
        assert self._digest is not None  # noqa: S101 - for mypy
        digest, now = self._digest.value(), self._clock()
        sender = self.envelope.sender
        try:
            for leg in self._order:
                lacking = [one for one in leg.recipients if not self._delivered.has(sender, one, digest, now)]
                if len(lacking) == len(leg.recipients):
                    continue
                await leg.delivery.abort()
                leg.recipients = lacking
                if lacking:
                    leg.delivery = await leg.route.destination.open(self.envelope)
                for recipient in lacking:
                    await leg.delivery.rcpt(recipient)
            self._order = [leg for leg in self._order if leg.recipients]
            async for piece in scratch.pieces():
                await self._pass_on(piece, last=False)
        except Exception as error:  # noqa: BLE001 - as above
            await self.fail(self._explain(error), str(error))

    async def _pass_on(self, content: bytes, *, last: bool) -> None:
        header = self._header
        assert header is not None  # noqa: S101 - begin() comes first
        final = relayed = content
        if not header.done:
            final, relayed = header.feed(content)
            if last:
                rest = header.finish()
                final, relayed = final + rest[0], relayed + rest[1]
            if header.loop:
                await self.fail(replies.MAIL_LOOP)
                return
        received, self._trace_pending = self._trace_pending, b""
        try:
            for leg in self._order:
                piece = final if leg.route.destination.final else relayed
                if received:
                    piece = self._trace(leg, received) + piece
                if piece:
                    await leg.delivery.write(piece)
        except Exception as error:  # noqa: BLE001 - whatever a destination throws, the client hears one clear reply
            await self.fail(self._explain(error), str(error))

    def _trace(self, leg: Leg, received: bytes) -> bytes:
        if leg.route.destination.final:
            return trace.return_path(self.envelope.sender) + received
        return received

    async def _commit(self) -> None:
        step = "prepare"
        try:
            if len(self._order) > 1:  # with one destination, commit prepares: one step less
                for leg in self._order:
                    await leg.delivery.prepare()
            step = "commit"
            for leg in self._order:
                self.receipts.append(await leg.delivery.commit())
                leg.committed = True
        except asyncio.CancelledError:
            await self._abort_open_legs()
            raise
        except Exception as error:  # noqa: BLE001 - as above
            reply = self._explain(error)
            have_it = [recipient for leg in self._order if leg.committed for recipient in leg.recipients]
            if have_it and self._digest is not None:
                self._delivered.remember(self.envelope.sender, have_it, self._digest.value(), self._clock())
                reply = replies.PARTIAL
            await self.fail(reply, f"{step}: {error}")

    def _explain(self, error: Exception) -> Reply:
        if isinstance(error, Refused | Unavailable):
            return _reply_of(error)
        _log.exception("destination failed", id=self.envelope.id, route=self.route_names)
        return replies.INTERNAL

    async def _abort_open_legs(self) -> None:
        for leg in self._legs.values():
            if not leg.committed:
                await leg.delivery.abort()

    async def _let_go(self) -> None:
        self._give_back_slots()
        if self._scratch is not None:
            await self._scratch.close()

    def _give_back_slots(self) -> None:
        for leg in self._legs.values():
            if leg.holds_slot:
                leg.holds_slot = False
                leg.route.slots.give_back()


def _reply_of(error: Refused | Unavailable) -> Reply:
    return Reply(error.code, error.enhanced, error.text, error.reason)
