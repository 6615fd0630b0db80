"""A bucket as a destination: an object a message, `<prefix><yyyy>/<mm>/<dd>/<id>.eml`, with the envelope beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver import envelope_values
from mailport.deliver.destination import MISCONFIGURED, Connections, Outcome, Receipt, Unavailable
from mailport.deliver.s3.credentials import Keys, WorkloadIdentity, is_pod_identity_agent
from mailport.deliver.trials import NoTurn, Trials
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.outward.connection import ConnectionLost
from mailport.outward.dial import CannotConnect, Dialer
from mailport.process.clock import now

if TYPE_CHECKING:  # imports obstore, an optional extra
    from mailport.deliver.s3.bucket import Bucket

METADATA_OCTETS = 2048  # of an object's own metadata, names and values: S3 takes no more
AT_ONCE = 1024 * 1024  # octets of a message that is written beside any number of others
_LARGE = 8  # larger ones that are written at a time, with two parts of 5 MiB of each in memory
_PREFIX = "x-amz-meta-"
_LOOKED_AT_SECONDS = 5.0  # for which a name's addresses count as looked at
_FAILURES = (Unavailable, CannotConnect, ConnectionLost, TimeoutError)


class S3:
    """The destination `s3`."""

    kind: ClassVar = "s3"
    rank: ClassVar = 60
    final: ClassVar = True
    verifies_at_once: ClassVar = True

    def __init__(
        self,
        settings: model.S3,
        *,
        dialer: Dialer,
        bucket: Bucket | None,
        credentials: Keys | WorkloadIdentity | None,
    ) -> None:
        """`bucket` is None where there are no credentials for it."""
        self._settings = settings
        self._dialer = dialer
        self._bucket = bucket
        self._connects_to = [endpoint(settings)]
        if isinstance(credentials, WorkloadIdentity) and not is_pod_identity_agent(credentials.url):
            self._connects_to.append(credentials.url)
        self._looked_at = float("-inf")
        self._large = asyncio.Semaphore(_LARGE)
        self._trials = Trials(settings.timeout_seconds)

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Take any recipient, unless the store is known to be down. Raises Unavailable."""
        del recipient, envelope
        self._trials.must_be_admitted()

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Write a message, once for all recipients. A cancelled one leaves no object; it may leave parts of one."""
        with self._trials.begin() as trial:
            try:
                async with asyncio.timeout(self._trials.seconds):
                    receipt = await self._write(message, recipients)
            except NoTurn:
                raise
            except _FAILURES as error:
                raise trial.note_failure(error) from error
            trial.failed = False
        return [receipt] * len(recipients)

    async def check(self) -> None:
        """Ask the bucket for an object that is not there. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._trials.seconds):
                bucket = await self._ready()
                await bucket.look(f"{self._settings.prefix}.mailport-check")
        except _FAILURES as error:
            raise self._trials.unavailable(error) from error

    def connections(self, now: float) -> Connections:
        """Return how the breaker stands; the connections are obstore's."""
        return Connections(None, None, breaker_open=self._trials.breaker_open(now))

    async def close(self) -> None:
        """End what connections we have ourselves."""
        if self._bucket is not None:
            await self._bucket.close()

    async def _write(self, message: Message, recipients: Sequence[Address]) -> Receipt:
        bucket = await self._ready()
        name = f"{self._settings.prefix}{message.envelope.time.astimezone(UTC):%Y/%m/%d}/{message.id}"
        values = envelope_values.values(message.envelope, recipients, message.disposition)
        if _octets(values) > METADATA_OCTETS:
            await bucket.put(f"{name}.json", _as_json(values), {"Content-Type": "application/json"})
            values = {"Mailport-Id": values["Mailport-Id"], "Mailport-Envelope": f"{message.id}.json"}
        values["Content-Type"] = envelope_values.CONTENT_TYPE
        octets = message.length(final=True)
        if octets <= AT_ONCE:
            tag = await bucket.put(f"{name}.eml", await message.whole(final=True), values)
        else:
            async with self._trials.turn(self._large):
                content = await message.whole(final=True) if octets <= bucket.part else message.pieces(final=True)
                tag = await bucket.put(f"{name}.eml", content, values)
        return Receipt(f"s3://{self._settings.bucket}/{name}.eml {tag}".rstrip())

    async def _ready(self) -> Bucket:
        """Return the bucket, whose addresses have been looked at just before. Raises Unavailable, CannotConnect."""
        if self._bucket is None:
            why = "no credentials: no credentialsSecretRef, and the pod has no workload identity"
            raise Unavailable(why, reason=MISCONFIGURED)
        if now() - self._looked_at > _LOOKED_AT_SECONDS:
            for url in self._connects_to:
                place = urlsplit(url)
                port = place.port or (80 if place.scheme == "http" else 443)
                await self._dialer.must_be_allowed(place.hostname or "", port)
            self._looked_at = now()
        return self._bucket


def endpoint(settings: model.S3) -> str:
    """Return the URL of the store."""
    return settings.endpoint or f"https://s3.{settings.region}.amazonaws.com"


def _octets(values: dict[str, str]) -> int:
    return sum(len(_PREFIX) + len(name) + len(value) for name, value in values.items())


def _as_json(values: dict[str, str]) -> bytes:
    """Write the envelope as an object of its own: the same names and values, the recipients as a list."""
    return json.dumps(values | {"Mailport-Rcpt-To": values["Mailport-Rcpt-To"].split(", ")}).encode()
