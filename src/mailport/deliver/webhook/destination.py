"""A program as a destination: it is posted each message, and its answer is the outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.contract.model import WebhookFormat
from mailport.deliver.destination import Connections, Outcome, Unavailable
from mailport.deliver.repeated import Repeated
from mailport.deliver.trials import Trials
from mailport.deliver.webhook import answers, bodies, envelope_fields, signature
from mailport.deliver.webhook.credentials import Credentials
from mailport.deliver.webhook.signature import Keys
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.outward.connection import ConnectionLost
from mailport.outward.dial import CannotConnect, Dialer
from mailport.outward.http import Answer, Body, BodyLate, Poster
from mailport.outward.trust import Tls
from mailport.policy.replies import INTERNAL
from mailport.process.clock import now

_FAILURES = (CannotConnect, ConnectionLost, TimeoutError)


@dataclass(frozen=True, slots=True)
class Proof:
    """How a receiver is told who sends."""

    keys: Keys | None = None
    credentials: Credentials = field(default_factory=Credentials)


class Webhook:
    """The destination `webhook`."""

    kind: ClassVar = "webhook"
    rank: ClassVar = 30
    final: ClassVar = True
    verifies_at_once: ClassVar = True

    def __init__(self, settings: model.Webhook, *, dialer: Dialer, tls: Tls, proof: Proof | None = None) -> None:
        self._format = settings.format
        self._proof = proof or Proof()
        self._poster = Poster(settings.url, dialer, tls, self._proof.credentials.secrets)
        self._trials = Trials(settings.timeout_seconds)

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Take any recipient, unless the receiver is known to be down. Raises Unavailable."""
        del recipient, envelope
        self._trials.must_be_admitted()

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Post a message, once for all recipients.

        Where all of it has been sent and no answer has come, nobody knows: 451, and the sender brings it again, under
        the same webhook-id where it has a Message-ID.
        """
        with self._trials.begin() as trial:
            try:
                answer = await self._post(message, recipients, now() + self._trials.seconds)
            except _FAILURES as error:
                raise trial.note_failure(error) from error
            except BodyLate as error:
                raise _late() from error
            outcome = answers.outcome(answer.status, answer.text)
            trial.failed = self._take_note(answer, outcome)
        return [outcome] * len(recipients)

    async def check(self) -> None:
        """Connect, with TLS where it is https. Whether mail is taken there, this does not tell. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._trials.seconds):
                await self._poster.try_connection()
        except OSError as error:
            raise self._trials.unavailable(error) from error

    def connections(self, now: float) -> Connections:
        """Return how many there are."""
        breaker_open = self._trials.breaker_open(now)
        return Connections(self._poster.idle, self._poster.in_use, breaker_open=breaker_open)

    async def close(self) -> None:
        """End the connections."""
        await self._poster.close()

    async def _post(self, message: Message, recipients: Sequence[Address], until: float) -> Answer:
        """Post, and return the answer. Half of the time is the receiver's alone: it is not blamed for our wait."""
        try:
            async with asyncio.timeout_at(until - self._trials.seconds / 2):
                fields, body = await self._request(message, recipients)
        except TimeoutError as error:
            raise _late() from error
        return await self._poster.post(fields, body, until)

    async def _request(
        self, message: Message, recipients: Sequence[Address]
    ) -> tuple[list[tuple[str, str]], bytes | Body]:
        """Return the header and the body, for which there may be a wait: our threads are few. Raises OSError."""
        message_id, timestamp = (await Repeated.of(message)).id(recipients), int(time.time())
        signing = self._proof.keys.signing(message_id, timestamp) if self._proof.keys is not None else None
        if self._format is WebhookFormat.JSON:
            fields = [("Content-Type", "application/json")]
            body = await bodies.threads.run_if_awaited(lambda: bodies.as_document(message, recipients, signing))
        else:
            fields = [*envelope_fields.raw(message.envelope, recipients, message.disposition)]
            if self._format is WebhookFormat.CLOUD_EVENTS:
                fields += envelope_fields.cloud_event(message.envelope, message_id)
            body = await bodies.as_it_is(message, signing)
        fields += signature.fields(message_id, timestamp, signing)
        if self._proof.credentials.authorization:
            fields.append(("Authorization", self._proof.credentials.authorization))
        return fields, body

    def _take_note(self, answer: Answer, outcome: Outcome) -> bool | None:
        """Return whether an answer is a failure of the receiver; None where that is not clear."""
        if not isinstance(outcome, Unavailable):
            return False
        self._trials.last_failure = outcome
        if pause := answers.pause(answer.status, answer.retry_after, datetime.now(UTC)):
            self._trials.breaker.open(now(), pause)
        return answers.is_down(answer.status) or None


def _late() -> Unavailable:
    why = "the message was not ready to be posted in time: too many large ones at once"
    return Unavailable(why, text=INTERNAL.text, reason=INTERNAL.reason)
