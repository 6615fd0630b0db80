"""One client's session: the verbs of SMTP, one method each. The one file that knows aiosmtpd.

aiosmtpd gives the shape, a method a verb. The connection is a Wire, which times, batches and bounds what aiosmtpd does
not. Every answer is a Reply; each refusal is counted and logged in one place, `reply`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Session as Greeting

from mailport.contract.model import SenderMatch, TlsMode
from mailport.listener import login, metrics
from mailport.listener.config import Config, ListenerOptions
from mailport.listener.credentials import Busy, PasswordChecks
from mailport.listener.delivered import Delivered
from mailport.listener.errors import Errors
from mailport.listener.journal import Journal
from mailport.listener.login import Credentials
from mailport.listener.proxy import SIGNATURE_OCTETS, Client, begins_header
from mailport.listener.receive import DropLimit, Reader, TooSlow
from mailport.listener.tls_layer import Handshakes
from mailport.listener.transaction import Transaction
from mailport.listener.wire import Closed, LineTooLong, TimedOut, Wire
from mailport.message.content import Space
from mailport.message.envelope import Envelope
from mailport.policy import auth, command, limits, replies
from mailport.policy.auth import ON_AUTH, AuthFacts
from mailport.policy.chain import first_refusal
from mailport.policy.mail import ON_MAIL, MailFacts
from mailport.policy.replies import Reply

if TYPE_CHECKING:
    from mailport.checks.checker import ClientCheck

HANDSHAKE_TIMEOUT = 30.0  # seconds
DRAIN_GRACE = 5.0  # seconds that a server which stops leaves to those that are neither idle nor in a transaction
_TURN = 64  # commands of one pipeline, after which its replies are sent and other sessions get their turn
_LINGER = 2.0  # seconds that a client has to read the last reply before the connection is closed

_BEFORE_TLS = frozenset((b"EHLO", b"NOOP", b"STARTTLS", b"QUIT", b"HELO", b"RSET"))  # RFC 3207 §4 names the first four
_FOR_UNNAMED = frozenset((b"EHLO", b"NOOP", b"QUIT"))  # all that a client may use whom the proxy has not named


class SessionServer(Protocol):
    """What a session needs of the server that it belongs to."""

    config: Config
    draining: bool
    ending_at_once: bool  # then no client is waited for, not even until it has read its last reply
    passwords: PasswordChecks
    delivered: Delivered
    handshakes: Handshakes
    space: Space

    def options(self, listener: str) -> ListenerOptions:
        """Return a listener's options as they are now."""


class Session(SMTP):
    """One client's session, from the greeting to the end of the connection."""

    session: Greeting  # the name that EHLO or HELO gave, and which it was. In aiosmtpd it may be None

    # aiosmtpd's __init__ is not called: for each connection it looks through every member of the class, and makes a
    # StreamReader. None of its methods is in use that would need it (tests/listener/test_aiosmtpd.py).
    def __init__(self, server: SessionServer, listener: str, wire: Wire, client: Client) -> None:
        self.server = server
        self.listener = listener
        self.client = client
        self.wire = wire
        self.id = os.urandom(8).hex()
        self.journal = Journal(listener, client, self.id)
        self.loop = asyncio.get_running_loop()
        self.session = Greeting(self.loop)
        self.user: str | None = None
        self.transaction: Transaction | None = None
        self._message_reader: Reader | None = None  # from DATA or the first BDAT on
        self._waits_for_line = False  # for a command, or for the response to a challenge of AUTH
        self._ending = False  # a reply that closes has been given
        self._quit = False  # QUIT has been answered, so the client reads until the connection is closed
        # The last configuration whose access list admitted the client. Not the one of now: since it was let in a
        # handshake may have taken its time.
        self._seen: Config | None = None
        self._options = server.options(listener)
        self._behind_refused_mail = False
        self._chunk_failed = False
        self._dropped = 0  # octets that were read and not held, since MAIL
        self._errors = Errors()
        self._auth_failures = 0
        self._tls: tuple[str, str] | None = None  # version and cipher, for Received
        self._messages = 0
        self._client_check: ClientCheck | None = None

    # The course of a session.

    async def run(self) -> None:
        """Serve the client until it leaves or a reply closes the session."""
        try:
            if self.wire.encrypted:
                self._note_tls()
            if self.server.draining:
                self.reply(replies.DRAINING)
                return
            self._begin_check(self.server.config)
            self.wire.write(self.server.config.greeting)
            await self._handle_client()
        except Closed:
            if self.transaction is not None:
                self.journal.lost(self.transaction, self.wire.tls_fault)
        except TooSlow:
            self.reply(replies.TOO_SLOW)
        except TimedOut:
            self.reply(replies.DRAINING if self.server.draining and self.transaction is None else replies.TIMED_OUT)
        except asyncio.CancelledError:
            self.reply(replies.DRAINING)
            raise
        finally:
            await self._leave()

    @property
    def idle(self) -> bool:
        """Whether nothing is lost by ending now: no transaction is open, and no line has begun."""
        return self._waits_for_line and self.transaction is None and not self.wire.pending

    async def _handle_client(self) -> None:
        commands = 0
        while not self._ending:
            commands += 1
            if commands % _TURN == 0:
                await self.wire.flush()
                await asyncio.sleep(0)
            seconds: float = self.server.config.spec.limits.command_timeout_seconds
            if self.server.draining and self.transaction is None:
                if not self.wire.pending:  # those that were idle when draining began have had their 421
                    self.reply(replies.DRAINING)
                    return
                seconds = DRAIN_GRACE
            reader = self._message_reader
            if reader is not None:
                seconds = reader.patience(seconds)
            # From our last reply to the end of the next line: octets that trickle in do not move it.
            self.wire.set_deadline(seconds)
            self._waits_for_line = True
            began = self.loop.time()
            try:
                line = await self.wire.readline(limits.MAX_AUTH_LINE)
            except LineTooLong as error:
                verb = error.start.partition(b" ")[0].upper()
                refusal = self._gate(verb, error.start, limits.MAX_AUTH_LINE + 1) or replies.LINE_TOO_LONG
                self._behind_refused_mail |= verb == b"MAIL"
                # How long a chunk is that follows such a line is not known: it would be taken for commands.
                self.reply(replace(refusal, close=True) if verb == b"BDAT" else refusal)
                continue
            except TimedOut:
                if reader is not None:
                    reader.waited(self.loop.time() - began)
                raise
            finally:
                self._waits_for_line = False
            if reader is not None:
                reader.waited(self.loop.time() - began)
            await self._command(line)

    async def _command(self, line: bytes) -> None:
        verb, _, argument = line.rstrip(b"\r\n").partition(b" ")
        verb, argument = verb.upper(), argument.strip(b" \t")
        try:
            if (refusal := self._gate(verb, line, len(line))) is None:
                await _VERBS[verb](self, argument)
            elif verb == b"BDAT":
                await self._refuse_chunk(argument, refusal)
                if self.transaction is not None:  # a message with a hole in it is none
                    self._fail_chunks()
            else:
                self.reply(refusal)
                self._behind_refused_mail |= verb == b"MAIL"
        except LineTooLong:  # of an AUTH exchange
            self.reply(replies.AUTH_LINE_TOO_LONG)
        except DropLimit:
            self._give_up(replies.DROP_LIMIT)
        except (Closed, TimedOut, TooSlow):
            raise
        except Exception:  # noqa: BLE001 - a fault of ours is never a 5yz, and never the end of other sessions
            self.journal.fault("internal error", verb=verb.decode("ascii", "replace"))
            self._fail_transaction()
            self.reply(replies.INTERNAL)

    def _fail_transaction(self) -> None:
        """Let the end of the transaction be a 451 too: without one, DATA would hear a 503, which is for good."""
        transaction = self.transaction
        self._behind_refused_mail = transaction is None
        if transaction is not None and transaction.incoming is not None:
            transaction.incoming.fail(replies.INTERNAL)
            self._ending = True  # where the content ends is not known any more

    def _gate(self, verb: bytes, line: bytes, length: int) -> Reply | None:
        """Decide what no verb decides for itself, in the order of replies.md's "Which reply wins".

        `line` is the whole of it, or its start where it was too long to be kept; `length` is the whole line's.
        """
        server, known = self.server, verb in _VERBS
        if not known:
            if limits.is_not_smtp(line):
                return replies.NOT_SMTP
            if self._begins_second_proxy_header(line):
                return replies.SECOND_PROXY_HEADER
        if server.draining and self.transaction is None:
            return replies.DRAINING
        if server.config is not self._seen:
            if not (self.client.unnamed or server.config.access.admits(self.client.address)):
                return replies.ACCESS_REVOKED
            self._seen, self._options = server.config, server.options(self.listener)
        if (too_long := limits.line_too_long(verb, length)) is not None:
            return too_long
        if (refusal := limits.line_ending(line, server.config.spec.content.bare_newlines)) is not None:
            return refusal
        if self.client.unnamed and verb not in _FOR_UNNAMED:
            return replies.PROXY_LOCAL
        if self._tls is None and verb not in _BEFORE_TLS and self._options.tls is TlsMode.START_TLS_REQUIRED:
            return replies.TLS_REQUIRED
        return None if known else replies.UNKNOWN_COMMAND

    def _begins_second_proxy_header(self, line: bytes) -> bool:
        """Whether a line is the start of a PROXY header, where the first one has named the client."""
        if self._options.trusted_proxies is None:
            return False
        return begins_header(line + self.wire.ahead(SIGNATURE_OCTETS))

    def reply(self, reply: Reply, detail: str = "", *, to_rcpt: bool = False) -> Reply:
        """Answer a command, and return what the client hears: another reply where this is an error too many.

        What refuses is counted and logged; what closes ends the session.
        """
        if reply.reason:
            if not reply.silent and self._errors.add(
                reply,
                self.server.config.spec.limits,
                to_rcpt=to_rcpt,
                recipients=len(self.transaction.recipients) if self.transaction is not None else 0,
                behind_refused_mail=self._behind_refused_mail,
            ):
                self._note(reply, detail)
                reply = replies.TOO_MANY_ERRORS
            self._note(reply, detail)
        if not reply.silent:
            self.wire.write(reply.line)
        if reply.close:
            self._ending = True
        return reply

    def _note(self, reply: Reply, detail: str) -> None:
        transaction = self.transaction
        sent = None if reply.silent else reply
        self.journal.refused(reply.reason, sent, detail, transaction.envelope if transaction is not None else None)

    def _begin_check(self, config: Config) -> ClientCheck | None:
        """Return what asks about this client; None where nothing is to be asked."""
        checker = config.checker
        if checker is None or self.user is not None or self.client.unnamed:
            return None
        if self._client_check is None or self._client_check.checker is not checker:
            if self._client_check is not None:  # of the configuration before
                self._client_check.close()
            self._client_check = checker.begin(self.client.address)
        return self._client_check

    async def _leave(self) -> None:
        wire = self.wire
        try:
            self._end_transaction()
            if self._client_check is not None:
                self._client_check.close()
            if self._ending and self._last_reply_may_be_lost and not self.server.ending_at_once:
                await wire.linger(_LINGER)
        finally:
            wire.close()

    @property
    def _last_reply_may_be_lost(self) -> bool:
        """Whether closing may reset the connection: where input is unread, or may be on its way behind our reply."""
        wire = self.wire
        return not wire.closed and (wire.pending or not (wire.encrypted or self._quit))

    def _end_transaction(self) -> None:
        transaction, self.transaction = self.transaction, None
        self._message_reader = None
        self._chunk_failed = False
        if transaction is not None:
            if transaction.incoming is not None:
                self._dropped += transaction.incoming.dropped
            transaction.close()

    # Greeting (RFC 5321 §4.1.1.1).

    async def smtp_EHLO(self, hostname: bytes) -> None:  # noqa: N802 - the protocol's names, as in aiosmtpd
        """Begin the session, or reset it."""
        if await self._greet(hostname, extended=True):
            self.wire.write(self._options.ehlo[self._tls is not None])

    async def smtp_HELO(self, hostname: bytes) -> None:  # noqa: N802
        """Begin the session, or reset it, without extensions."""
        if await self._greet(hostname, extended=False):
            self.wire.write(Reply(250, "", self.server.config.spec.hostname).line)

    async def _greet(self, hostname: bytes, *, extended: bool) -> bool:
        name = command.hello(hostname)
        if isinstance(name, Reply):
            self.reply(name)
            return False
        self._end_transaction()
        self._behind_refused_mail = False
        self.session.host_name = name
        self.session.extended_smtp = extended
        return True

    # TLS (RFC 3207).

    async def smtp_STARTTLS(self, argument: bytes) -> None:  # noqa: N802
        """Start TLS on this connection. All that is known of the client is forgotten (RFC 3207 §4.2)."""
        mode, context = self._options.tls, self.server.config.tls
        if self._tls is not None:
            self.reply(replies.TLS_ACTIVE)
        elif mode is TlsMode.DISABLED:
            self.reply(replies.TLS_DISABLED)
        elif argument:
            self.reply(replies.NO_ARGUMENT)
        elif self.wire.pending:  # it must not be taken for something that came through TLS (CVE-2011-0411)
            self.reply(replies.STARTTLS_INJECTION)
        elif context is None or self.server.handshakes.full:
            self.reply(replies.TLS_UNAVAILABLE)
        else:
            self.wire.write(replies.READY_FOR_TLS.line)
            await self._start_tls(context)

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        self._end_transaction()
        self.wire.expect_tls(context)
        try:
            await self.wire.handshake(self.server.handshakes, HANDSHAKE_TIMEOUT)
        except OSError as error:  # also ssl.SSLError and TimeoutError
            self.journal.tls_failed(error)
            raise Closed from error
        self._note_tls()
        self._set_user(None)
        self.session = Greeting(self.loop)

    def _note_tls(self) -> None:
        connection = self.wire.tls_connection
        version = connection.version() or "TLS" if connection is not None else "TLS"
        cipher = connection.cipher() if connection is not None else None
        self._tls = (version, cipher[0] if cipher else "")
        self.journal.tls_established(version)

    # AUTH (RFC 4954).

    async def smtp_AUTH(self, argument: bytes) -> None:  # noqa: N802
        """Authenticate the client."""
        config = self.server.config
        facts = AuthFacts(
            mode=self._options.auth,
            encrypted=self._tls is not None,
            greeted=self.session.host_name is not None,
            authenticated=self.user is not None,
            in_transaction=self.transaction is not None,
            failures=self._auth_failures,
            max_failures=config.spec.limits.max_auth_failures,
        )
        if (refusal := first_refusal(ON_AUTH, facts)) is not None:
            self.reply(refusal)
            return
        try:
            credentials = await login.exchange(argument, self._ask)
        except login.ExchangeFailed as failure:
            self.reply(failure.reply)
            return
        await self._check_password(config, credentials)

    async def _ask(self, challenge: bytes) -> bytes:
        """Send a challenge, and return the client's response to it. Raises ExchangeFailed, LineTooLong."""
        self.wire.write(b"334 " + b64encode(challenge) + b"\r\n")
        self.wire.set_deadline(self.server.config.spec.limits.command_timeout_seconds)
        self._waits_for_line = True
        try:
            line = await self.wire.readline(limits.MAX_AUTH_LINE)
        finally:
            self._waits_for_line = False
        if (refusal := limits.line_ending(line, self.server.config.spec.content.bare_newlines)) is not None:
            raise login.ExchangeFailed(refusal)
        return login.response(line)

    async def _check_password(self, config: Config, credentials: Credentials) -> None:
        user = credentials.user.decode("utf-8", "replace")
        reply, result = replies.BAD_CREDENTIALS, "bad"
        if config.users is None:
            reply, result = replies.AUTH_UNAVAILABLE, "unavailable"
        else:
            self.wire.send()  # the replies to commands in front of AUTH do not wait for the password's check
            try:
                if await self.server.passwords.check(config.users, self.client.key, user, credentials.password):
                    reply, result = replies.AUTHENTICATED, "ok"
            except Busy:
                reply, result = replies.AUTH_UNAVAILABLE, "unavailable"
        metrics.auth(result).inc()
        if reply is replies.AUTHENTICATED:
            self._set_user(user)
        elif reply is replies.BAD_CREDENTIALS:
            self._auth_failures += 1
        self.reply(reply, f"user {user[:256]!r}" if reply.reason else "")

    def _set_user(self, user: str | None) -> None:
        self.user = self.journal.user = user

    # The transaction (RFC 5321 §3.3).

    async def smtp_MAIL(self, argument: bytes) -> None:  # noqa: N802
        """Begin a transaction."""
        self._behind_refused_mail = False
        if self.session.host_name is None:
            self.reply(replies.SEND_EHLO_FIRST)
            self._behind_refused_mail = True
            return
        if self.transaction is not None:
            self.reply(replies.NESTED_MAIL)
            return
        self._chunk_failed = False
        self._dropped = 0
        parsed = command.mail(argument, extended=self.session.extended_smtp)
        refusal = parsed if isinstance(parsed, Reply) else self._refusal_of_sender(parsed)
        if refusal is not None:
            self.reply(refusal)
            self._behind_refused_mail = True
            return
        assert not isinstance(parsed, Reply)  # noqa: S101 - for mypy: a Reply is a refusal
        config = self.server.config
        self._messages += 1
        envelope = self._envelope(parsed, self.session.host_name, config)
        of_client = self._begin_check(config)
        sender = (parsed.sender.local, parsed.sender.domain_key) if parsed.sender is not None else None
        check = of_client.message(sender, envelope.helo) if of_client is not None else None
        self.transaction = Transaction(config, envelope, self.loop.time, check)
        self.wire.write(replies.SENDER_OK.line)

    def _envelope(self, given: command.MailCommand, helo: str, config: Config) -> Envelope:
        return Envelope(
            id=f"{self.id}.{self._messages}",
            sender=given.sender,
            smtputf8=given.smtputf8,
            body_8bitmime=given.body_8bitmime,
            size=given.size,
            user=self.user,
            client=self.client.address,
            client_port=self.client.port,
            helo=helo,
            extended=self.session.extended_smtp,
            tls=self._tls,
            listener=self.listener,
            hostname=config.spec.hostname,
            time=datetime.now(UTC),
        )

    def _refusal_of_sender(self, given: command.MailCommand) -> Reply | None:
        config = self.server.config
        settings = config.spec.auth
        must_own = self.user is not None and settings is not None and settings.sender_match is SenderMatch.USER
        return first_refusal(
            ON_MAIL,
            MailFacts(
                auth_required=self._options.auth_required,
                user=self.user,
                must_own=must_own,
                owned=auth.owned_address(self.user or "", config.spec.hostname) if must_own else None,
                sender=given.sender,
                smtputf8=given.smtputf8,
                size=given.size,
                size_limit=config.size_limit,
            ),
        )

    async def smtp_RCPT(self, argument: bytes) -> None:  # noqa: N802
        """Add a recipient, where its route is open to this client."""
        transaction = self.transaction
        if transaction is None:
            self.reply(replies.NEED_MAIL if self.session.host_name is not None else replies.SEND_EHLO_FIRST)
            return
        if transaction.incoming is not None:
            self.reply(replies.BAD_SEQUENCE)
            return
        parsed = command.rcpt(argument, extended=self.session.extended_smtp)
        if isinstance(parsed, Reply):
            self.reply(parsed, to_rcpt=True)
            return
        self.wire.send_soon()  # the replies to commands in front of it, where DNS or the destination has to be asked
        reply = await transaction.rcpt(parsed.recipient)
        if reply is replies.RECIPIENT_OK:
            self.wire.write(reply.line)
        else:
            self.reply(reply, transaction.detail, to_rcpt=True)

    async def smtp_DATA(self, argument: bytes) -> None:  # noqa: N802
        """Take the message, and answer for it."""
        transaction = self.transaction
        if transaction is None or not transaction.recipients or transaction.incoming is not None:
            self.reply(self._out_of_sequence(transaction))
            return
        if argument:
            self.reply(replies.NO_ARGUMENT)
            return
        incoming = transaction.begin(self.server.space, self.client.key)
        self.wire.write(replies.SEND_DATA.line)
        self._message_reader = self._new_reader()
        await self._message_reader.data(incoming)
        await self._finish(transaction)

    async def smtp_BDAT(self, argument: bytes) -> None:  # noqa: N802
        """Take a chunk of the message (RFC 3030 §2); with LAST, answer for the whole."""
        octets, last = command.bdat(argument)
        transaction = self.transaction
        if octets is None:
            self.reply(replies.CHUNK_SIZE)
            return
        if transaction is None or not transaction.recipients:
            refusal = replies.CHUNK_OUT_OF_PLACE if self._chunk_failed else self._out_of_sequence(transaction)
            await self._refuse_chunk(argument, refusal)
            self._fail_chunks()
            return
        incoming = transaction.incoming or transaction.begin(self.server.space, self.client.key)
        # One for all chunks: they are one message to minDataRate.
        self._message_reader = self._message_reader or self._new_reader()
        await self._message_reader.chunk(octets, incoming)
        if last:
            await self._finish(transaction)
        elif incoming.failure is not None:
            self._answer(transaction, incoming.failure, incoming.detail, 0.0)
            self._fail_chunks()
        else:
            self.wire.write(replies.CHUNK_OK.line)

    async def _refuse_chunk(self, argument: bytes, refusal: Reply) -> None:
        """Read the chunk of a BDAT that is refused. Where it ends is not known, the connection does."""
        octets, _ = command.bdat(argument)
        if octets is None:
            refusal = replace(refusal, close=True)
        elif not refusal.close:
            await self._new_reader().drop(octets, self.server.config.drop_limit - self._dropped)
            self._dropped += octets
        self.reply(refusal)

    def _fail_chunks(self) -> None:
        """Take no more chunks of a message of which one was refused (RFC 3030 §4.2)."""
        self._end_transaction()
        self._chunk_failed = True

    def _new_reader(self) -> Reader:
        return Reader(self.wire, self.server.config.spec.limits, self.loop.time)

    def _out_of_sequence(self, transaction: Transaction | None) -> Reply:
        if transaction is None:
            return replies.NEED_MAIL if self.session.host_name is not None else replies.SEND_EHLO_FIRST
        return replies.BAD_SEQUENCE if transaction.incoming is not None else replies.NEED_RCPT

    async def _finish(self, transaction: Transaction) -> None:
        """Answer the end of a message."""
        self.wire.send()  # replies to what was pipelined in front of it: the delivery may take a while
        began = time.perf_counter()  # uvloop's clock has milliseconds only
        reply = await transaction.finish(self.server.delivered)
        self._answer(transaction, reply, transaction.detail, time.perf_counter() - began)

    def _answer(self, transaction: Transaction, reply: Reply, detail: str, seconds: float) -> None:
        """Send the one reply to a message, and note it. `seconds` have passed since its last octet."""
        if reply.positive:
            self.wire.write(reply.line)  # before all else: from here on nothing may turn a delivered message into a 451
        else:
            reply = self.reply(reply, detail)
        self._end_transaction()
        try:
            self.journal.message(transaction, reply, seconds)
        except Exception:  # noqa: BLE001 - the client has its answer, and must not hear a second one
            self.journal.fault("internal error", id=transaction.envelope.id)

    def _give_up(self, reply: Reply) -> None:
        """End a session whose message, or chunk, is not worth reading on."""
        transaction = self.transaction
        if transaction is not None and transaction.incoming is not None:
            self._answer(transaction, reply, "", 0.0)
        else:
            self.reply(reply)

    async def smtp_RSET(self, argument: bytes) -> None:  # noqa: N802
        """Forget the transaction."""
        if argument:
            self.reply(replies.NO_ARGUMENT)
            return
        self._behind_refused_mail = False
        self._end_transaction()
        self.wire.write(replies.OK.line)

    # The other commands of RFC 5321 §4.1.1.

    async def smtp_NOOP(self, argument: bytes) -> None:  # noqa: ARG002, N802
        """Do nothing."""
        self.wire.write(replies.OK.line)

    async def smtp_QUIT(self, argument: bytes) -> None:  # noqa: N802
        """End the session."""
        self._quit = not argument
        self.reply(replies.NO_ARGUMENT if argument else replies.BYE)

    async def smtp_HELP(self, argument: bytes) -> None:  # noqa: ARG002, N802
        """Name where help is to be found."""
        self.wire.write(replies.HELP.line)

    async def smtp_VRFY(self, argument: bytes) -> None:  # noqa: N802
        """Do not tell which addresses exist (RFC 5321 §7.3)."""
        if argument:
            self.wire.write(replies.CANNOT_VRFY.line)
        else:
            self.reply(replies.NEEDS_ARGUMENT)

    async def smtp_EXPN(self, arg: object) -> None:  # noqa: ARG002, N802 - aiosmtpd's signature
        """Refuse: no address here is a mailing list."""
        self.reply(replies.NOT_IMPLEMENTED)

    smtp_ETRN = smtp_EXPN  # noqa: N815 - RFC 1985; this server has no queue that it could start
    smtp_TURN = smtp_EXPN  # noqa: N815 - RFC 5321 appendix F.1: deprecated, as it hands mail to whoever asks


# All that a client can call, written out: nothing that aiosmtpd has or will have is among it unless it stands here.
_VERBS: dict[bytes, Callable[[Session, bytes], Awaitable[None]]] = {
    b"EHLO": Session.smtp_EHLO,
    b"HELO": Session.smtp_HELO,
    b"STARTTLS": Session.smtp_STARTTLS,
    b"AUTH": Session.smtp_AUTH,
    b"MAIL": Session.smtp_MAIL,
    b"RCPT": Session.smtp_RCPT,
    b"DATA": Session.smtp_DATA,
    b"BDAT": Session.smtp_BDAT,
    b"RSET": Session.smtp_RSET,
    b"NOOP": Session.smtp_NOOP,
    b"QUIT": Session.smtp_QUIT,
    b"HELP": Session.smtp_HELP,
    b"VRFY": Session.smtp_VRFY,
    b"EXPN": Session.smtp_EXPN,
    b"ETRN": Session.smtp_ETRN,
    b"TURN": Session.smtp_TURN,
}
