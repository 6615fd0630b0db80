"""A stream as a destination: one message for each subject that the recipients come to, and each acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import starmap
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver import envelope_values
from mailport.deliver.destination import MISCONFIGURED, Connections, NotDurable, Outcome, Receipt, Refused, Unavailable
from mailport.deliver.nats import answers, stream, subjects
from mailport.deliver.nats.answers import Stored
from mailport.deliver.nats.claims import Claims
from mailport.deliver.nats.stream import Stream
from mailport.deliver.repeated import Repeated
from mailport.deliver.trials import NoTurn, Trials
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.outward.connection import ConnectionLost
from mailport.outward.dial import CannotConnect
from mailport.process.clock import now

if TYPE_CHECKING:  # imports nats-py, an optional extra
    from mailport.deliver.nats.connecting import Connecting
    from mailport.deliver.nats.session import Session

LOOK_SECONDS = 60.0  # after which the stream's settings are looked at again
AT_ONCE = 1024 * 1024  # octets of a message that is sent beside any number of others
_LARGE = 8  # larger ones that are sent at a time, each of them whole in memory
_HEADERS = 8 * 1024  # octets that headers take, at most, but for the recipients
_FRAME = len("NATS/1.0\r\n\r\n")  # octets that go around headers
_RECIPIENT = 1024  # octets that a recipient takes there, at most: each of its octets may become three
_NAMED = 48 * 1024  # octets that the recipients of one message take there: a stream takes headers of 64 KiB
_FAILURES = (Unavailable, CannotConnect, ConnectionLost, TimeoutError)


class Nats:
    """The destination `nats`."""

    kind: ClassVar = "nats"
    rank: ClassVar = 40
    final: ClassVar = True
    verifies_at_once: ClassVar = True

    def __init__(self, settings: model.Nats, *, connecting: Connecting) -> None:
        """`connecting` opens sessions."""
        self._settings = settings
        self._connecting = connecting
        self._session: Session | None = None
        self._opening = asyncio.Lock()
        self._stream: Stream | None = None
        self._claims = Claims(settings.object_store, settings.timeout_seconds) if settings.object_store else None
        self._sweeping: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        self._large = asyncio.Semaphore(_LARGE)
        self._trials = Trials(settings.timeout_seconds)

    @property
    def not_durable(self) -> Sequence[NotDurable]:
        """What of the settings of the stream, and of its object store, speaks against it, once they were looked at."""
        of_stream = self._stream.not_durable if self._stream is not None else ()
        return stream.together([*of_stream, *(self._claims.not_durable if self._claims is not None else ())])

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Take any recipient, unless the server is known to be down. Raises Unavailable."""
        del recipient, envelope
        self._trials.must_be_admitted()

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Publish a message to each distinct subject, and wait for the stream's acknowledgement of each.

        Where none comes nobody knows: 451, and the sender brings it again, under the same id where it has a Message-ID.
        """
        with self._trials.begin() as trial:
            try:
                async with asyncio.timeout(self._trials.seconds):
                    outcomes = await self._publish(message, recipients)
            except NoTurn:
                raise
            except _FAILURES as error:
                failure = trial.note_failure(error)
                if isinstance(error, TimeoutError):
                    await self._drop(self._session)
                raise failure from error
            except Refused:
                trial.failed = False  # it is there, and says what it takes
                raise
            trial.failed = self._take_note(outcomes)
        return outcomes

    async def check(self) -> None:
        """Connect, log in, look at the stream and its object store, delete what is left there. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._trials.seconds):
                session = await self._connecting.open()
                try:
                    await self._look(session)
                    self._must_be_fit()
                    if self._claims is not None:
                        self._claims.must_be_fit()
                        await self._claims.sweep(session)
                finally:
                    await session.close()
        except _FAILURES as error:
            raise self._trials.unavailable(error) from error

    def connections(self, now: float) -> Connections:
        """Return how many there are: one at most, which all deliveries share."""
        one = int(self._session is not None and self._session.usable)
        in_use = int(self._session is not None and self._session.in_use and one)
        return Connections(one - in_use, in_use, breaker_open=self._trials.breaker_open(now))

    async def close(self) -> None:
        """End the connection."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._drop(self._session)

    async def _publish(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        session = await self._ready()
        parts = _parts(subjects.by_subject(self._settings.subject, recipients))
        octets = message.length(final=True)
        if octets <= AT_ONCE:
            outcomes = await self._publish_to(session, message, octets, parts)
        else:
            async with self._trials.turn(self._large):
                outcomes = await self._publish_to(session, message, octets, parts)
        if len(parts) == 1:
            return list(outcomes) * len(recipients)
        of = {one.spelt_key: outcome for part, outcome in zip(parts, outcomes, strict=True) for one in part.recipients}
        return [of[recipient.spelt_key] for recipient in recipients]

    async def _publish_to(
        self, session: Session, message: Message, octets: int, parts: Sequence[_Part]
    ) -> Sequence[Outcome]:
        known = await Repeated.of(message)
        headers = [self._headers(message, known, part) for part in parts]
        name, content = "", b""
        if not _fits(octets, headers, parts, self._limit(session)):
            name = message.id
            try:
                claim = await self._claim(session, message, name)
            except Unavailable as error:  # the object store is at fault, and others' messages need none
                return [error] * len(parts)
            headers = [one | claim for one in headers]
        else:
            content = await message.whole(final=True)
        publishing = [
            self._publish_one(session, part.subject, content, one) for part, one in zip(parts, headers, strict=True)
        ]
        outcomes = [await publishing[0]] if len(publishing) == 1 else await asyncio.gather(*publishing)
        if self._claims is not None and name and not any(_may_refer(one) for one in outcomes):
            await self._claims.take_back(session, name)
        return [one.receipt if isinstance(one, Stored) else one for one in outcomes]

    async def _publish_one(
        self, session: Session, subject: str, content: bytes, headers: dict[str, str]
    ) -> Stored | Refused | Unavailable:
        from mailport.deliver.nats.session import NoResponders  # noqa: PLC0415 - nats-py is an extra

        try:
            return answers.acknowledgement(await session.request(subject, content, headers), self._settings.stream)
        except NoResponders as error:
            return await self._nobody(session, subject, error)
        except ConnectionLost as error:
            return _Lost(str(error))
        except (Unavailable, Refused) as error:
            return error

    async def _nobody(self, session: Session, subject: str, error: Exception) -> Unavailable:
        """Return why nobody takes a subject: the stream is gone, or has no leader, or is not for it."""
        try:
            found = await self._look(session)
        except (Unavailable, ConnectionLost) as failure:
            return failure if isinstance(failure, Unavailable) else Unavailable(str(failure))
        if found.has_leader and not subjects.matches(found.subjects, subject):
            why = f"stream {self._settings.stream} takes no subject {subject}"
            return Unavailable(why, reason=MISCONFIGURED)
        return Unavailable(f"{error}: the stream has no leader now")

    def _headers(self, message: Message, known: Repeated, part: _Part) -> dict[str, str]:
        return envelope_values.values(message.envelope, part.recipients, message.disposition) | {
            "Content-Type": envelope_values.CONTENT_TYPE,
            "Nats-Msg-Id": f"{known.id(part.recipients)}.{_digest(part.subject)}{part.number or ''}",
            "Nats-Expected-Stream": self._settings.stream,
        }

    async def _claim(self, session: Session, message: Message, name: str) -> dict[str, str]:
        """Put the message into the object store; return the headers that name it. Raises Refused, Unavailable."""
        if self._claims is None:
            raise answers.too_large(f"{message.length(final=True)} octets, and the server takes {self._limit(session)}")
        return await self._claims.put(session, name, message.chunks(final=True))

    def _limit(self, session: Session) -> int:
        largest = self._stream.largest if self._stream is not None else 0
        return min(session.max_payload, largest) if largest else session.max_payload

    async def _ready(self) -> Session:
        """Return a session, whose stream a 250 can rest on. Raises Unavailable, and what opening one raises."""
        session = self._session
        if session is None or not session.usable or self._is_to_look:
            async with self._opening:
                if self._session is None or not self._session.usable:
                    self._session = await self._connecting.open()
                    self._looked_at = float("-inf")
                session = self._session
                if self._is_to_look:
                    await self._look(session)
                    self._sweep(session)
        self._must_be_fit()
        return session

    @property
    def _is_to_look(self) -> bool:
        return now() - self._looked_at >= LOOK_SECONDS

    def _must_be_fit(self) -> None:
        if self._stream is not None and self._stream.why_not:
            why = f"stream {self._settings.stream}: {self._stream.why_not}"
            raise Unavailable(why, reason=MISCONFIGURED)

    async def _look(self, session: Session) -> Stream:
        """Look at the settings of the stream, and of its object store. Raises Unavailable, ConnectionLost."""
        self._stream = stream.read(await session.stream_info(self._settings.stream))
        if self._claims is not None:
            await self._claims.look(session)
        self._looked_at = now()
        return self._stream

    def _sweep(self, session: Session) -> None:
        """Delete what is left in the object store, beside the mail that goes on."""
        if self._claims is not None and self._claims.left and (self._sweeping is None or self._sweeping.done()):
            self._sweeping = asyncio.create_task(self._claims.sweep(session))

    async def _drop(self, session: Session | None) -> None:
        if session is not None:
            self._session = None
            await session.close()

    def _take_note(self, outcomes: Sequence[Outcome]) -> bool | None:
        """Return whether the server failed; None where it answers that it does not take this message.

        It may be of this subject, of these headers, or of the object store alone: others may be taken.
        """
        if any(isinstance(one, Receipt | Refused) for one in outcomes):
            return False
        lost = [one for one in outcomes if isinstance(one, _Lost)]
        if lost:
            self._trials.last_failure = lost[0].again()
        return True if lost else None


class _Part(NamedTuple):
    """Recipients whose message is one: of one subject, and no more than its headers can name."""

    subject: str
    recipients: Sequence[Address]
    number: int = 0  # of those of one subject: each is another message to the stream


class _Lost(answers.Unknown):
    """The connection was lost before the acknowledgement: the message may be there."""


def _parts(groups: Mapping[str, Sequence[Address]]) -> list[_Part]:
    """Return one part for each subject; more where its recipients are too many for the headers of one message."""
    if sum(map(len, groups.values())) <= _NAMED // _RECIPIENT:
        return list(starmap(_Part, groups.items()))
    parts: list[_Part] = []
    for subject, group in groups.items():
        named: list[list[Address]] = [[]]
        octets = 0
        for recipient in group:
            length = len(envelope_values.encoded(str(recipient))) + 2
            octets += length
            if octets > _NAMED and named[-1]:
                named.append([])
                octets = length
            named[-1].append(recipient)
        parts += [_Part(subject, some, number) for number, some in enumerate(named)]
    return parts


def _fits(octets: int, headers: Sequence[Mapping[str, str]], parts: Sequence[_Part], limit: int) -> bool:
    """Whether a message of so many octets is one for the server with each of these headers."""
    if octets + _HEADERS + _RECIPIENT * max(len(part.recipients) for part in parts) <= limit:
        return True
    largest = max(sum(len(name) + len(value) + 4 for name, value in one.items()) for one in headers)
    return octets + largest + _FRAME <= limit


@lru_cache(maxsize=4096)
def _digest(subject: str) -> str:
    return hashlib.blake2b(subject.encode(), digest_size=8).hexdigest()


def _may_refer(outcome: Stored | Refused | Unavailable) -> bool:
    """Whether there may be a message in the stream that names this delivery's object."""
    return isinstance(outcome, answers.Unknown) or (isinstance(outcome, Stored) and not outcome.duplicate)
