"""One connection to a next hop, and what is said on it: `session` on a real connection."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from mailport.address.mail_address import Address
from mailport.contract.model import TlsMode
from mailport.deliver.destination import MISCONFIGURED, Outcome, Receipt, Unavailable
from mailport.deliver.next_hop.answers import ProtocolError
from mailport.deliver.next_hop.outcomes import refused
from mailport.deliver.next_hop.session import Answered, Offers, Session, Step
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.outward.connection import Connection, ConnectionLost
from mailport.outward.dial import Dialer
from mailport.outward.trust import Tls

RESET_SECONDS = 2.0  # what an answer to RSET is worth: behind it the connection can be used again
_AT_ONCE = 16 * 1024  # octets of commands
_JOINED = 16 * 1024  # octets of content that are copied, for a write less


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password."""

    username: bytes
    password: bytes = field(repr=False)

    def is_in(self, text: str) -> bool:
        """Whether a text holds the password, as it is or as AUTH PLAIN or LOGIN sends it."""
        forms = (self.password, b"\0" + self.username + b"\0" + self.password)
        sent = (self.password, *map(base64.b64encode, forms))
        return any(form and form.decode("ascii", "replace") in text for form in sent)


@dataclass(frozen=True, slots=True)
class Place:
    """A next hop: where it is, and how it is spoken to."""

    host: str
    port: int
    lmtp: bool
    tls_mode: TlsMode
    tls: Tls
    login: Login | None
    hostname: str  # ours, for EHLO


class Stale(Exception):  # noqa: N818 - what the connection was
    """An idle connection that broke at its first command: nothing has been said that counts, another one may do."""


class Client:
    """One connection, for one transaction at a time. What its methods raise ends it."""

    def __init__(self, place: Place, connection: Connection) -> None:
        self._place = place
        self._connection = connection
        self._session = Session(lmtp=place.lmtp, encrypted=connection.encrypted)
        self._answers: deque[Answered] = deque()
        self._broken = False
        self._wrong: ProtocolError | None = None
        self._used = False
        self._reset_sent = False

    @classmethod
    async def open(cls, place: Place, dialer: Dialer) -> Client:
        """Connect, greet, begin TLS, log in. Raises Unavailable, OSError, ProtocolError."""
        implicit = place.tls if place.tls_mode is TlsMode.IMPLICIT else None
        client = cls(place, await dialer.connect(place.host, place.port, implicit))
        try:
            await client._begin()
        except BaseException:
            client.close()
            raise
        return client

    @property
    def offers(self) -> Offers:
        """What the server offered."""
        return self._session.offers

    @property
    def usable(self) -> bool:
        """Whether the next transaction can begin on it."""
        return not self._broken and self._session.idle and self._connection.quiet

    def close(self) -> None:
        """End it; politely where nothing is half done, and without waiting."""
        if not self.usable:
            self._connection.abort()
            return
        self._connection.close(self._session.quit())

    async def ended(self) -> None:
        """Wait until it has ended, behind `close`."""
        await self._connection.ended()

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Ask whether a recipient would be taken, by MAIL, RCPT and RSET.

        Raises Refused, Unavailable, Stale, ConnectionLost or ProtocolError.
        """
        sender, taken = await self._transaction(self._mail(envelope, envelope.size), [recipient], reset=True)
        await self._reset()
        for answered in (sender, taken):
            if not answered.ok:
                raise refused(answered.step, answered.answer)

    async def deliver(self, message: Message, recipients: Sequence[Address], until: float) -> list[Outcome]:
        """Send a message; return the outcome of each recipient. `until`, of the event loop's clock, all is known.

        Raises Refused, Unavailable, Stale, ConnectionLost, TimeoutError or ProtocolError for all recipients, and
        another OSError where the message cannot be read.
        """
        length = message.length(final=False)
        sender, *taken = await self._transaction(self._mail(message.envelope, length), recipients)
        if not sender.ok:
            await self._reset()
            raise refused(sender.step, sender.answer)
        outcomes: list[Outcome | None] = [None if rcpt.ok else refused(rcpt.step, rcpt.answer) for rcpt in taken]
        accepted = [index for index, outcome in enumerate(outcomes) if outcome is None]
        if accepted:
            await self._send(message, length)
            for index, outcome in zip(accepted, await self._outcomes(len(accepted), until), strict=True):
                outcomes[index] = outcome
        else:
            await self._reset()
        return [outcome for outcome in outcomes if outcome is not None]

    def _mail(self, envelope: Envelope, size: int | None) -> bytes:
        return self._session.mail(
            str(envelope.sender or ""), smtputf8=envelope.smtputf8, body_8bitmime=envelope.body_8bitmime, size=size
        )

    async def _begin(self) -> None:
        place = self._place
        await self._must(b"")
        await self._must(self._session.ehlo(place.hostname))
        if place.tls_mode in (TlsMode.START_TLS, TlsMode.START_TLS_REQUIRED):
            if "STARTTLS" in self.offers:
                await self._must(self._session.starttls())
                await self._connection.start_tls(place.tls.context, place.tls.server_name)
                self._session.encrypted()
                await self._must(self._session.ehlo(place.hostname))
            elif place.tls_mode is TlsMode.START_TLS_REQUIRED:
                raise Unavailable("STARTTLS is not offered", reason=MISCONFIGURED)
        if place.login is not None:
            if not self.offers.mechanism:
                raise Unavailable("AUTH is not offered, or neither PLAIN nor LOGIN", reason=MISCONFIGURED)
            await self._log_in(place.login)

    async def _log_in(self, login: Login) -> None:
        try:
            answered = await self._must(self._session.auth(login.username, login.password))
            while answered.answer.code == 334:
                answered = await self._must(self._session.auth_response())
        except (Unavailable, ProtocolError) as error:
            if not login.is_in(str(error)):
                raise
            text = "AUTH: an answer that repeats the password"  # it goes no further: not into a log, nor into a status
            if isinstance(error, ProtocolError):
                raise ProtocolError(text) from None
            raise Unavailable(text, reason=error.reply.reason) from None

    async def _transaction(self, mail: bytes, recipients: Sequence[Address], *, reset: bool = False) -> list[Answered]:
        """Begin a transaction; return the answers to MAIL and each RCPT; MAIL's for all where that is refused.

        `reset`: it is for the answers alone, so RSET may go out with the commands; `_reset` has to follow all the same.
        """
        used_before, self._used = self._used, True
        try:
            answers = [answered async for answered in self._envelope(mail, recipients, reset=reset)]
        except (ConnectionLost, ProtocolError) as error:
            if used_before:
                raise Stale from error
            raise
        if answers[-1].closing:
            if used_before:
                raise Stale
            raise refused(answers[-1].step, answers[-1].answer)
        return answers if answers[0].ok else [answers[0]] * (1 + len(recipients))

    async def _envelope(self, mail: bytes, recipients: Sequence[Address], *, reset: bool) -> AsyncIterator[Answered]:
        """Say MAIL and each RCPT; yield the answers, up to a 421 or MAIL's refusal.

        Where PIPELINING is offered (RFC 2920) several go out at once, but no more than the transport takes without
        waiting for the other side: that may be waiting for us to read its answers (§3.1).
        """
        at_once = _AT_ONCE if "PIPELINING" in self.offers else 0
        group, count, left, goes_on = bytearray(mail), 1, deque(recipients), True
        while goes_on and (count or left):
            while left and (not count or len(group) < at_once):
                group += self._session.rcpt(str(left.popleft()))
                count += 1
            if reset and at_once and not left:
                group += self._session.rset()
                self._reset_sent = True
            await self._connection.write(group)
            for _ in range(count):
                yield (answered := await self._answer())
                if answered.closing:
                    return
                goes_on = goes_on and (answered.ok or answered.step is not Step.MAIL)
            group, count = bytearray(), 0

    async def _reset(self) -> None:
        """Make ready for the next transaction. What goes wrong concerns the connection only."""
        if self._session.closing:
            return
        sent, self._reset_sent = self._reset_sent, False
        try:
            async with asyncio.timeout(RESET_SECONDS):
                if not (await self._ask(b"" if sent else self._session.rset())).ok:
                    self._broken = True
        except (ConnectionLost, ProtocolError, TimeoutError):
            self._broken = True

    async def _send(self, message: Message, length: int) -> None:
        """Send the content, to its end. It streams: what the next hop does not take is not read.

        What is small goes out at once with the command before it or the end behind it.
        """
        chunking = "CHUNKING" in self.offers
        if not chunking:
            data = await self._ask(self._session.data())
            if not data.ok:
                await self._reset()
                raise refused(data.step, data.answer)
        waiting: bytes | bytearray = self._session.bdat(length) if chunking else b""
        async for piece in self._pieces(message, chunking=chunking):
            if len(waiting) + len(piece) <= _JOINED:
                waiting = waiting + piece
            else:
                await self._connection.write(waiting)
                waiting = piece
        await self._nothing_before_its_time()
        await self._connection.write(waiting)  # the last octets: the answer may come as soon as they are out

    async def _pieces(self, message: Message, *, chunking: bool) -> AsyncIterator[bytes | bytearray]:
        """Yield the content as it goes out, and what ends it; nothing that is empty."""
        async for piece in message.pieces(final=False):
            if piece:
                yield piece if chunking else self._session.content(piece)
        if not chunking:
            yield self._session.end()

    async def _nothing_before_its_time(self) -> None:
        """Look that nothing has come that would pass for the answer to the content, which is not out yet.

        It may be one answer too many to a command before, and say 250.
        """
        if self._wrong is not None:
            raise self._wrong
        if self._connection.unread:
            raise ProtocolError(f"before the end of the content came {(await self._connection.read())[:80]!r}")
        if self._session.answered_by_half:
            raise ProtocolError("before the end of the content came a part of a reply")

    async def _outcomes(self, accepted: int, until: float) -> list[Outcome]:
        """Return the outcome of each recipient accepted, if any is known: SMTP has one for all, LMTP one for each.

        One that is not known when the connection breaks or the time is up is 451: the recipient may get it twice.
        """
        outcomes: list[Outcome] = []
        try:
            async with asyncio.timeout_at(until):
                while len(outcomes) < accepted:
                    answered = await self._answer()
                    outcome = Receipt(str(answered.answer)) if answered.ok else refused(answered.step, answered.answer)
                    outcomes += [outcome] if self._place.lmtp else [outcome] * accepted
        except (ConnectionLost, TimeoutError, ProtocolError) as error:
            if not outcomes:
                raise
            outcomes += [Unavailable(f"no outcome: {error}")] * (accepted - len(outcomes))
        return outcomes

    async def _must(self, octets: bytes) -> Answered:
        """Say something that has to be answered with a yes. Raises Unavailable."""
        answered = await self._ask(octets)
        if not answered.ok:
            raise refused(answered.step, answered.answer)
        return answered

    async def _ask(self, octets: bytes) -> Answered:
        if octets:
            await self._connection.write(octets)
        return await self._answer()

    async def _answer(self) -> Answered:
        """Return the next answer. What is wrong behind it is raised when that is asked for, and not before."""
        try:
            while not self._answers:
                await self._read()
        except BaseException:
            self._broken = True
            raise
        return self._answers.popleft()

    async def _read(self) -> None:
        if self._wrong is not None:
            raise self._wrong
        octets = await self._connection.read()
        try:
            self._answers.extend(self._session.receive(octets))
        except ProtocolError as error:
            self._wrong, self._broken = error, True
