"""A next hop as a destination: it is asked for recipients, handed messages, and left alone while it is down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, TypeVar

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.contract.model import TlsMode
from mailport.deliver.destination import Connections, NotDelivered, Outcome, Refused, Unavailable
from mailport.deliver.next_hop.answers import ProtocolError
from mailport.deliver.next_hop.client import Client, Login, Place, Stale
from mailport.deliver.next_hop.known import Known
from mailport.deliver.next_hop.outcomes import Closing, not_offered
from mailport.deliver.next_hop.session import Offers
from mailport.deliver.trials import AHEAD, Trials
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.outward.connection import ConnectionLost
from mailport.outward.dial import CannotConnect, Dialer
from mailport.outward.pool import Pool
from mailport.outward.trust import Tls
from mailport.policy.replies import NO_SUCH_RECIPIENT
from mailport.process.clock import now

MOST_VERIFYING = 10  # connections at once that ask for recipients

T = TypeVar("T")


class _NoSession(Unavailable):
    """A connection came about, and what was said on it before the first transaction came to a no."""

    def __init__(self, why: Unavailable) -> None:
        super().__init__(str(why), reason=why.reply.reason)


# Of the next hop, or of the way there. Another Unavailable is an answer to a transaction: the next hop is there.
_FAILURES = (_NoSession, Closing, CannotConnect, ConnectionLost, ProtocolError, TimeoutError)


class NextHop:
    """What `lmtp` and `smtp` have in common."""

    final: ClassVar = False
    verifies_at_once: ClassVar = False
    lmtp: ClassVar[bool]

    def __init__(
        self, settings: model.Lmtp | model.Smtp, *, hostname: str, dialer: Dialer, tls: Tls, login: Login | None = None
    ) -> None:
        """`hostname` is what we say of ourselves."""
        self._place = Place(
            host=settings.host,
            port=settings.port,
            lmtp=self.lmtp,
            tls_mode=TlsMode(settings.tls.mode),
            tls=tls,
            login=login,
            hostname=hostname,
        )
        self._dialer = dialer
        self._trials = Trials(settings.timeout_seconds)
        self._delivering = Pool(self._connect)
        self._verifying = Pool(self._connect)  # of its own: slow clients hold no connection that delivers
        self._verifiers = asyncio.Semaphore(MOST_VERIFYING)
        self._known = Known()
        self._offers: Offers | None = None  # of the connection opened last

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Ask the next hop, unless it is known what it says. Raises Refused or Unavailable."""
        self._trials.must_be_admitted()
        known = self._known.get(str(recipient), str(envelope.sender or ""), now())
        if isinstance(known, Refused):
            raise known
        if known and self._offers is not None:
            self._must_be_offered(self._offers, envelope, recipient)
            return

        async def ask(client: Client) -> None:
            self._must_be_offered(client.offers, envelope, recipient)
            await client.verify(recipient, envelope)

        try:
            async with self._trials.turn(self._verifiers):
                await self._ask(ask)
        except Refused as error:
            self._learn(recipient, envelope, error)
            raise
        self._learn(recipient, envelope, None)

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Hand a message on; what the next hop says of it is the outcome.

        A connection whose delivery is cancelled is dropped. Where the end of the content has been sent and no answer
        has come, nobody knows: 451, and the sender brings it again.
        """
        with self._trials.begin() as trial:
            until = now() + self._trials.seconds
            try:
                async with asyncio.timeout_at(until + AHEAD / 2):  # behind the one in which outcomes are waited for
                    outcomes = await self._on_a_connection(
                        self._delivering, lambda client: self._hand_on(client, message, recipients, until)
                    )
            except _FAILURES as error:
                raise trial.note_failure(error) from error
            except NotDelivered:
                trial.failed = False  # it has answered
                raise
            trial.failed = any(isinstance(one, Closing) for one in outcomes)
        for recipient, outcome in zip(recipients, outcomes, strict=True):
            if not isinstance(outcome, Unavailable):
                self._learn(recipient, message.envelope, outcome if isinstance(outcome, Refused) else None)
        return outcomes

    async def check(self) -> None:
        """Connect, greet, begin TLS, log in and leave. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._trials.seconds):
                client = await self._connect()
        except _FAILURES as error:
            raise self._trials.unavailable(error) from error
        client.close()
        await client.ended()

    def connections(self, now: float) -> Connections:
        """Return how many there are."""
        pools = (self._delivering, self._verifying)
        idle = sum(pool.idle for pool in pools)
        open_ = sum(map(len, pools))
        return Connections(idle, open_ - idle, breaker_open=self._trials.breaker_open(now))

    async def close(self) -> None:
        """End the connections."""
        await self._delivering.close()
        await self._verifying.close()

    async def _ask(self, ask: Callable[[Client], Awaitable[None]]) -> None:
        """Ask, unless the breaker has opened while we waited. Raises Refused or Unavailable."""
        with self._trials.begin() as trial:  # a yes or no to RCPT says little of whether messages go through
            try:
                async with asyncio.timeout(self._trials.seconds):  # the route's own ends both: listener/transaction.py
                    await self._on_a_connection(self._verifying, ask)
            except _FAILURES as error:
                raise trial.note_failure(error) from error

    async def _connect(self) -> Client:
        client = await Client.open(self._place, self._dialer)
        self._offers = client.offers
        return client

    async def _on_a_connection(self, pool: Pool[Client], use: Callable[[Client], Awaitable[T]]) -> T:
        """Use a connection that is kept, or a new one; where the former breaks at its first command, a new one."""
        if (client := pool.take_idle()) is not None:
            try:
                return await use(client)
            except Stale:
                pass
            finally:
                pool.give_back(client)
        try:
            client = await pool.open()
        except Unavailable as error:  # what a greeting, EHLO, STARTTLS or AUTH was answered
            raise _NoSession(error) from error
        try:
            return await use(client)
        finally:
            pool.give_back(client)

    async def _hand_on(
        self, client: Client, message: Message, recipients: Sequence[Address], until: float
    ) -> Sequence[Outcome]:
        size, sender = message.length(final=False), message.envelope.sender
        outcomes: list[Outcome | None] = [not_offered(client.offers, sender, one, size) for one in recipients]
        possible = [one for one, outcome in zip(recipients, outcomes, strict=True) if outcome is None]
        given = iter(await client.deliver(message, possible, until) if possible else ())
        return [next(given) if outcome is None else outcome for outcome in outcomes]

    def _learn(self, recipient: Address, envelope: Envelope, refusal: Refused | None) -> None:
        """Remember that a recipient is there, or a refusal that says that it is not: it need not be asked for."""
        if refusal is None or refusal.reply.reason == NO_SUCH_RECIPIENT.reason:
            self._known.remember(str(recipient), str(envelope.sender or ""), refusal, now())

    @staticmethod
    def _must_be_offered(offers: Offers, envelope: Envelope, recipient: Address) -> None:
        if (refusal := not_offered(offers, envelope.sender, recipient, envelope.size)) is not None:
            raise refusal
