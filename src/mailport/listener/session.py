"""One client's session: the verbs of SMTP, one method each. The one file that knows aiosmtpd.

aiosmtpd gives the shape (a method a verb, the AUTH mechanisms); the connection itself is a Wire, which times, batches
and bounds what aiosmtpd leaves open. Every answer is a Reply; each refusal is counted and logged in one place, `reply`.
"""

from __future__ import annotations

import asyncio
import binascii
import secrets
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Session as Greeting

from mailport.deliver.delivery import Envelope
from mailport.listener import metrics
from mailport.listener.config import Config, Options
from mailport.listener.credentials import Busy, Checker
from mailport.listener.framing import DotStuffed
from mailport.listener.journal import Journal
from mailport.listener.partial import Delivered
from mailport.listener.proxy import Client
from mailport.listener.reading import Reader, TooSlow
from mailport.listener.transaction import Transaction
from mailport.listener.wire import Closed, LineTooLong, TimedOut, Wire
from mailport.model import SenderMatch, TlsMode
from mailport.policy import auth, command, limits, replies, trace
from mailport.policy.access import client_key
from mailport.policy.auth import ON_AUTH, AuthFacts
from mailport.policy.chain import first_refusal
from mailport.policy.mail import ON_MAIL, MailFacts
from mailport.policy.rcpt import ON_RCPT, RcptFacts
from mailport.policy.replies import Reply

HANDSHAKE_TIMEOUT = 30.0  # seconds
_TURN = 64  # commands of a pipeline without end, until its replies go out and other sessions get their turn
_LINGER = 2.0  # seconds that a client gets to read our last word before the connection is cut

_BEFORE_TLS = frozenset((b"EHLO", b"HELO", b"NOOP", b"RSET", b"QUIT", b"STARTTLS"))  # RFC 3207 §4, and contract
_HEALTH_CHECK = frozenset((b"EHLO", b"NOOP", b"QUIT"))


class Host(Protocol):
    """What a session asks of the server it is a part of."""

    config: Config
    draining: bool
    hurried: bool  # no time is left, not even to be read
    checker: Checker
    delivered: Delivered

    def options(self, listener: str) -> Options:
        """Return what a listener's options are by now."""


class Session(SMTP):
    """One client, from greeting to goodbye."""

    session: Greeting  # who greeted us and how; aiosmtpd allows for None, before its connection_made

    # aiosmtpd's __init__ is not called: for each connection it looks through every member of the class, and makes a
    # StreamReader. What those of its methods need that are in use here is set below.
    def __init__(self, host: Host, listener: str, wire: Wire, client: Client) -> None:
        self.host = host
        self.listener = listener
        self.client = client
        self.wire = wire
        self.id = secrets.token_hex(8)
        self.journal = Journal(listener, client, self.id)
        self.loop = asyncio.get_running_loop()
        self.session = Greeting(self.loop)
        self.user: str | None = None
        self.transaction: Transaction | None = None
        self._reader_of_message: Reader | None = None  # from DATA or the first BDAT on
        self.awaits_command = False
        self._ending = self._said_goodbye = False
        self._seen = host.config  # the configuration that this session has been held against
        self._options = host.options(listener)
        self._behind_refused_mail = False
        self._chunk_failed = False
        self._errors = 0
        self._auth_failures = 0
        self._tls: tuple[str, str] | None = None  # version and cipher, for Received
        self._messages = 0

    # The life of a session.

    async def run(self) -> None:
        """Serve the client until it leaves or is shown out."""
        try:
            if self.wire.encrypted:
                self._note_tls()
            self.wire.write(self.host.config.greeting)
            await self._handle_client()
        except Closed:
            if self.transaction is not None:
                self.journal.lost(self.transaction)
        except TooSlow:
            self.reply(replies.TOO_SLOW)
        except TimedOut:
            self.reply(replies.DRAINING if self.host.draining and self.transaction is None else replies.TIMED_OUT)
        except asyncio.CancelledError:
            self.reply(replies.DRAINING)
            raise
        finally:
            await self._leave()

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by ending now: no transaction, and no line has begun."""
        return self.awaits_command and self.transaction is None and not self.wire.pending

    async def _handle_client(self) -> None:
        commands = 0
        while not self._ending:
            commands += 1
            if commands % _TURN == 0:
                await self.wire.flush()
                await asyncio.sleep(0)
            if self.host.draining and self.transaction is None and not self.wire.pending:
                self.reply(replies.DRAINING)  # idle by now: the others were told when draining began
                return
            if not self.wire.pending:  # the client waits: what comes next was not pipelined
                self._behind_refused_mail = False
            # From our last reply to the end of the next line: octets that trickle in do not move it.
            self.wire.set_deadline(self.host.config.spec.limits.command_timeout_seconds)
            self.awaits_command = True
            began = self.loop.time()
            try:
                line = await self.wire.readline(limits.MAX_AUTH_LINE)
            except LineTooLong as error:
                verb = error.start.partition(b" ")[0].upper()
                self.reply(self._gate(verb, error.start, limits.MAX_AUTH_LINE + 1) or replies.LINE_TOO_LONG)
                continue
            finally:
                self.awaits_command = False
            if self._reader_of_message is not None:
                self._reader_of_message.waited(self.loop.time() - began)
            await self._command(line)

    async def _command(self, line: bytes) -> None:
        verb, _, argument = line.rstrip(b"\r\n").partition(b" ")
        verb = verb.upper()
        try:
            if (refusal := self._gate(verb, line, len(line))) is not None:
                chunk, _ = command.bdat(argument) if verb == b"BDAT" else (None, False)
                if chunk is None or refusal.close or await self._take_chunk(chunk, None):
                    self.reply(refusal)
                return
            await _VERBS[verb](self, argument.strip(b" \t"))
        except LineTooLong:  # of an AUTH exchange
            self.reply(replies.AUTH_LINE_TOO_LONG)
        except (Closed, TimedOut, TooSlow):
            raise
        except Exception:  # noqa: BLE001 - a fault of ours is never a 5yz, and never the end of other sessions
            self.journal.fault("internal error", verb=verb.decode("ascii", "replace"))
            await self._fail_transaction()
            self.reply(replies.INTERNAL)

    async def _fail_transaction(self) -> None:
        """Let the end of the transaction be a 451 too: without one, DATA would hear a 503, which is for good."""
        transaction = self.transaction
        self._behind_refused_mail = transaction is None
        if transaction is None:
            return
        await transaction.fail(replies.INTERNAL)
        if transaction.begun:  # where the content ends is not known any more
            self._ending = True

    def _gate(self, verb: bytes, line: bytes, length: int) -> Reply | None:
        """Decide what no verb decides for itself, in the order of replies.md's "Which reply wins".

        `line` is the whole of it, or its start where it was too long to be kept; `length` is the whole line's.
        """
        host, known = self.host, verb in _VERBS
        if not known and limits.is_not_smtp(line):
            return replies.NOT_SMTP
        if host.draining and self.transaction is None:
            return replies.DRAINING
        if host.config is not self._seen:
            if not (self.client.health_check or host.config.access.admits(self.client.address)):
                return replies.ACCESS_REVOKED
            self._seen, self._options = host.config, host.options(self.listener)
        if (too_long := limits.line_too_long(verb, length)) is not None:
            return too_long
        if self.client.health_check and verb not in _HEALTH_CHECK:
            return replies.PROXY_LOCAL
        if self._tls is None and verb not in _BEFORE_TLS and self._options.tls is TlsMode.START_TLS_REQUIRED:
            return replies.TLS_REQUIRED
        if not known:
            proxied = self._options.trusted_proxies is not None
            return replies.SECOND_PROXY_HEADER if proxied and verb == b"PROXY" else replies.UNKNOWN_COMMAND
        return None

    def reply(self, reply: Reply, detail: str = "", *, to_rcpt: bool = False) -> None:
        """Answer, count and log; the one place where errors add up and sessions are ended."""
        if reply.reason:
            counts = not reply.silent and limits.counts_as_error(
                reply,
                to_rcpt=to_rcpt,
                recipients=len(self.transaction.recipients) if self.transaction is not None else 0,
                behind_refused_mail=self._behind_refused_mail,
            )
            if counts:
                self._errors += 1
                allowed = self.host.config.spec.limits.max_errors
                if allowed and self._errors > allowed:
                    self._note(reply, detail)
                    reply = replies.TOO_MANY_ERRORS
            self._note(reply, detail)
        if not reply.silent:
            self.wire.write(reply.line)
        if reply.close:
            self._ending = True

    def _note(self, reply: Reply, detail: str) -> None:
        transaction = self.transaction
        self.journal.refused(reply.reason, reply, detail, transaction.envelope if transaction is not None else None)

    async def push(self, status: str | bytes) -> None:
        """Answer for aiosmtpd's own auth_LOGIN, whose only word is that it could not decode base64."""
        del status
        self.reply(replies.AUTH_NOT_BASE64)

    async def _leave(self) -> None:
        wire = self.wire
        try:
            await self._end_transaction()
            await self._say_last_word()
        finally:
            wire.close()

    async def _say_last_word(self) -> None:
        wire = self.wire
        in_question = wire.pending or not (wire.encrypted or self._said_goodbye)  # whether our last word arrives
        if self._ending and in_question and not wire.closed and not self.host.hurried:
            await self._let_read()

    async def _let_read(self) -> None:
        """Close the writing side and wait for the client's, a moment: a reset would overtake our last reply."""
        self.wire.finish_writing()
        self.wire.set_deadline(_LINGER)
        try:
            while True:
                await self.wire.read()
        except (Closed, TimedOut):
            pass

    async def _end_transaction(self) -> None:
        transaction, self.transaction = self.transaction, None
        self._reader_of_message = None
        self._chunk_failed = False
        if transaction is not None:
            await transaction.abort()

    # Greeting (RFC 5321 §4.1.1.1).

    async def smtp_EHLO(self, hostname: bytes) -> None:  # noqa: N802 - the protocol's names, as in aiosmtpd
        """Begin, or begin anew."""
        if await self._greet(hostname, extended=True):
            self.wire.write(self._options.ehlo[self._tls is not None])

    async def smtp_HELO(self, hostname: bytes) -> None:  # noqa: N802
        """Begin without extensions."""
        if await self._greet(hostname, extended=False):
            self.wire.write(Reply(250, "", self.host.config.spec.hostname).line)

    async def _greet(self, hostname: bytes, *, extended: bool) -> bool:
        if not hostname:
            self.reply(replies.NEEDS_HOSTNAME)
            return False
        await self._end_transaction()
        self._behind_refused_mail = False
        self.session.host_name = hostname.decode("utf-8", "replace")
        self.session.extended_smtp = extended
        return True

    # TLS (RFC 3207).

    async def smtp_STARTTLS(self, argument: bytes) -> None:  # noqa: N802
        """Shake hands under the conversation; all that was said before is forgotten."""
        mode, context = self._options.tls, self.host.config.tls
        if self._tls is not None:
            self.reply(replies.TLS_ACTIVE)
        elif mode is TlsMode.DISABLED:
            self.reply(replies.TLS_DISABLED)
        elif argument:
            self.reply(replies.NO_ARGUMENT)
        elif self.wire.pending:  # would be taken for what comes through TLS (CVE-2011-0411)
            self.reply(replies.STARTTLS_INJECTION)
        elif context is None:
            self.reply(replies.TLS_UNAVAILABLE)
        else:
            self.wire.write(replies.READY_FOR_TLS.line)
            await self._start_tls(context)

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        await self._end_transaction()
        try:
            await self.wire.start_tls(context, HANDSHAKE_TIMEOUT)
        except OSError as error:  # ssl.SSLError and TimeoutError are, too
            self.journal.tls_failed(error)
            self.wire.abort()
            raise Closed from error
        self._note_tls()
        self._set_user(None)
        self.session = Greeting(self.loop)

    def _note_tls(self) -> None:
        connection = self.wire.ssl_object
        version = connection.version() or "TLS" if connection is not None else "TLS"
        cipher = connection.cipher() if connection is not None else None
        self._tls = (version, cipher[0] if cipher else "")
        self.journal.tls_established(version)

    # AUTH (RFC 4954).

    async def smtp_AUTH(self, argument: bytes) -> None:  # noqa: N802
        """Find out who the client is."""
        config = self.host.config
        facts = AuthFacts(
            mode=self._options.auth,
            encrypted=self._tls is not None,
            greeted=self.session.extended_smtp,
            authenticated=self.user is not None,
            in_transaction=self.transaction is not None,
            failures=self._auth_failures,
            max_failures=config.spec.limits.max_auth_failures,
        )
        if (refusal := first_refusal(ON_AUTH, facts)) is not None:
            self.reply(refusal)
            return
        words = argument.decode("ascii", "replace").split()
        if not 1 <= len(words) <= 2:
            self.reply(replies.AUTH_SYNTAX)
            return
        mechanism = _MECHANISMS.get(words[0].upper())
        if mechanism is None:
            self.reply(replies.AUTH_MECHANISM)
            return
        result = await mechanism(self, None, words)
        if not result.handled and isinstance(result.auth_data, LoginPassword):
            await self._check(config, result.auth_data)

    async def auth_PLAIN(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        """RFC 4616. Not aiosmtpd's: that one takes any authorization identity for granted."""
        message = await self._initial_response(args)
        if message is MISSING:
            return AuthResult(success=False)
        parts = message.split(b"\0")
        if len(parts) != 3:
            self.reply(replies.AUTH_NOT_BASE64)
            return AuthResult(success=False)
        authzid, login, password = parts
        if authzid not in (b"", login):  # nobody may act for another; refused like a wrong password, and as slowly
            return AuthResult(success=False, handled=False, auth_data=LoginPassword(b"", password))
        return self._authenticate("PLAIN", LoginPassword(login, password))

    async def _initial_response(self, args: list[str]) -> Any:
        if len(args) == 1:
            return await self.challenge_auth("")
        if args[1] == "=":  # an initial response that is empty (RFC 4954 §4)
            return b""
        try:
            return b64decode(args[1], validate=True)
        except ValueError:  # binascii.Error, or not ASCII
            self.reply(replies.AUTH_NOT_BASE64)
            return MISSING

    async def challenge_auth(
        self, challenge: str | bytes, encode_to_b64: bool = True, log_client_response: bool = False
    ) -> Any:
        """Ask, and return the decoded answer; MISSING where a refusal has been sent."""
        del encode_to_b64, log_client_response  # aiosmtpd's: always, and never
        text = challenge.encode() if isinstance(challenge, str) else challenge
        self.wire.write(b"334 " + b64encode(text) + b"\r\n")
        self.wire.set_deadline(self.host.config.spec.limits.command_timeout_seconds)
        answer = (await self.wire.readline(limits.MAX_AUTH_LINE)).strip()
        if answer == b"*":
            self.reply(replies.AUTH_CANCELLED)
            return MISSING
        try:
            return b64decode(answer, validate=True)
        except binascii.Error:
            self.reply(replies.AUTH_NOT_BASE64)
            return MISSING

    def _authenticate(self, mechanism: str, auth_data: Any) -> AuthResult:
        """Hand back what was collected: aiosmtpd would check it here, on the event loop."""
        del mechanism
        return AuthResult(success=False, handled=False, auth_data=auth_data)

    async def _check(self, config: Config, claim: LoginPassword) -> None:
        user = claim.login.decode("utf-8", "replace")
        reply, result = replies.BAD_CREDENTIALS, "bad"
        if config.users is None:
            reply, result = replies.AUTH_UNAVAILABLE, "unavailable"
        else:
            self.wire.send()  # nothing that was pipelined before waits for a hash
            try:
                if await self.host.checker.check(config.users, client_key(self.client.address), user, claim.password):
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
            return
        if self.transaction is not None:
            self.reply(replies.NESTED_MAIL)
            return
        self._chunk_failed = False
        config = self.host.config
        parsed = command.mail(argument, extended=self.session.extended_smtp)
        refusal: Reply | None
        if isinstance(parsed, Reply):
            refusal = parsed
        else:
            settings = config.spec.auth
            must_own = self.user is not None and settings is not None and settings.sender_match is SenderMatch.USER
            refusal = first_refusal(
                ON_MAIL,
                MailFacts(
                    auth_required=self._options.auth_required,
                    user=self.user,
                    must_own=must_own,
                    owned=auth.owned_address(self.user or "", config.spec.hostname) if must_own else None,
                    sender=parsed.sender,
                    smtputf8=parsed.smtputf8,
                    size=parsed.size,
                    size_limit=config.size_limit,
                ),
            )
        if refusal is not None:
            self.reply(refusal)
            self._behind_refused_mail = True
            return
        assert not isinstance(parsed, Reply)  # noqa: S101 - for mypy: a Reply is a refusal
        self._messages += 1
        self.transaction = Transaction(
            config,
            Envelope(
                id=f"{self.id}.{self._messages}",
                sender=parsed.sender,
                smtputf8=parsed.smtputf8,
                body_8bitmime=parsed.body_8bitmime,
                size=parsed.size,
                user=self.user,
                client=self.client.text,
                helo=self.session.host_name,
                hostname=config.spec.hostname,
            ),
            self.host.delivered,
            self.loop.time,
        )
        self.wire.write(replies.SENDER_OK.line)

    async def smtp_RCPT(self, argument: bytes) -> None:  # noqa: N802
        """Add a recipient, where its route is open to this client."""
        transaction = self.transaction
        if transaction is None:
            self.reply(replies.NEED_MAIL if self.session.host_name is not None else replies.SEND_EHLO_FIRST)
            return
        if transaction.begun:
            self.reply(replies.BAD_SEQUENCE)
            return
        parsed = command.rcpt(argument, extended=self.session.extended_smtp)
        if isinstance(parsed, Reply):
            self.reply(parsed, to_rcpt=True)
            return
        config = transaction.config
        recipient = parsed.recipient or config.postmaster
        index = config.router.match(recipient)
        route = config.routes[index] if index is not None else None
        facts = RcptFacts(
            recipient=recipient,
            smtputf8=transaction.envelope.smtputf8,
            authenticated=self.user is not None,
            accepted=len(transaction.recipients),
            max_recipients=config.spec.limits.max_recipients,
            route=route.facts if route is not None else None,
            hosted=route is None and config.router.hosts(recipient.domain_key),
            first_route=transaction.first_route,
        )
        refusal = first_refusal(ON_RCPT, facts)
        if refusal is not None or route is None:
            self.reply(refusal or replies.RELAY_DENIED, f"recipient {recipient}", to_rcpt=True)
            return
        if route.slots.full:
            self.wire.send()  # answers to what came before do not wait with this one
        reply = await transaction.add(recipient, route)
        if reply is replies.RECIPIENT_OK:
            self.wire.write(reply.line)
        else:
            self.reply(reply, f"recipient {recipient}: {transaction.detail}", to_rcpt=True)

    async def smtp_DATA(self, argument: bytes) -> None:  # noqa: N802
        """Take the message, and answer for it."""
        transaction = self.transaction
        if transaction is None or not transaction.recipients or transaction.begun:
            self.reply(self._out_of_sequence(transaction))
            return
        if argument:
            self.reply(replies.NO_ARGUMENT)
            return
        if transaction.must_wait:
            self.wire.send()
        if (refusal := await transaction.begin(self._received(transaction))) is not None:
            self.reply(refusal)
            await self._end_transaction()
            return
        self.wire.write(replies.SEND_DATA.line)
        frame = DotStuffed()
        rest: bytes | None = None
        reader = self._reader_of_message = self._new_reader()
        while rest is None:
            content, rest = frame.feed(await reader.read())
            if content:
                await transaction.take(content)
            if transaction.drop_limit_passed:
                await self._give_up(transaction, replies.DROP_LIMIT)
                return
        self.wire.unread(rest)
        await self._finish(transaction)

    def _new_reader(self) -> Reader:
        return Reader(self.wire, self.host.config.spec.limits, self.loop.time)

    def _out_of_sequence(self, transaction: Transaction | None) -> Reply:
        if transaction is None:
            return replies.NEED_MAIL if self.session.host_name is not None else replies.SEND_EHLO_FIRST
        return replies.BAD_SEQUENCE if transaction.begun else replies.NEED_RCPT

    async def smtp_BDAT(self, argument: bytes) -> None:  # noqa: N802
        """Take a chunk of the message (RFC 3030 §2); with LAST, answer for the whole."""
        size, last = command.bdat(argument)
        if size is None:
            self.reply(replies.CHUNK_SIZE)
            return
        transaction = self.transaction
        refusal: Reply | None = None
        if transaction is None or not transaction.recipients:
            refusal = replies.CHUNK_OUT_OF_PLACE if self._chunk_failed else self._out_of_sequence(transaction)
            transaction = None
        elif not transaction.begun:
            if transaction.must_wait:
                self.wire.send()
            refusal = await transaction.begin(self._received(transaction))
            self._reader_of_message = self._new_reader()  # one for all chunks: they are one message to minDataRate
        if refusal is not None:
            transaction = None
        if not await self._take_chunk(size, transaction):
            return
        if refusal is not None:
            self.reply(refusal)
            await self._end_transaction()
            self._chunk_failed = True
        elif transaction is not None and last:
            await self._finish(transaction)
        elif transaction is not None and transaction.failure is not None:
            self.journal.message(transaction, transaction.failure, 0.0)
            self.reply(transaction.failure, transaction.detail)
            await self._end_transaction()
            self._chunk_failed = True
        else:
            self.wire.write(replies.CHUNK_OK.line)

    async def _take_chunk(self, size: int, transaction: Transaction | None) -> bool:
        """Read `size` octets; without a transaction they are dropped. False: the session has been ended."""
        reader = self._reader_of_message
        if reader is None or transaction is None:
            reader = self._new_reader()
        dropped = 0
        while size > 0:
            data = await reader.read(size)
            size -= len(data)
            if transaction is None:
                dropped += len(data)
            else:
                await transaction.take(data)
            too_much = transaction.drop_limit_passed if transaction else dropped > self.host.config.drop_limit
            if too_much:
                await self._give_up(transaction, replies.DROP_LIMIT)
                return False
        return True

    async def smtp_RSET(self, argument: bytes) -> None:  # noqa: N802
        """Forget the transaction."""
        if argument:
            self.reply(replies.NO_ARGUMENT)
            return
        self._behind_refused_mail = False
        await self._end_transaction()
        self.wire.write(replies.OK.line)

    def _received(self, transaction: Transaction) -> bytes:
        envelope = transaction.envelope
        return trace.received(
            helo=envelope.helo,
            client=self.client.address,
            hostname=envelope.hostname,
            extended=self.session.extended_smtp,
            tls=self._tls,
            authenticated=self.user is not None,
            smtputf8=envelope.smtputf8,
            message_id=envelope.id,
            recipient=transaction.recipients[0] if len(transaction.recipients) == 1 else None,
            date=datetime.now(UTC),
        )

    async def _finish(self, transaction: Transaction) -> None:
        """Answer the end of a message."""
        self.wire.send()  # replies to what was pipelined in front of it: committing may take a while
        began = time.perf_counter()  # uvloop's clock has milliseconds only
        reply = await transaction.finish()
        seconds = time.perf_counter() - began
        if reply.positive:
            self.wire.write(reply.line)  # before all else: from here on nothing may turn a delivered message into a 451
        else:
            self.reply(reply, transaction.detail)
        self.transaction = self._reader_of_message = None
        try:
            self.journal.message(transaction, reply, seconds)
        except Exception:  # noqa: BLE001 - the client has its answer, and must not hear a second one
            self.journal.fault("internal error", id=transaction.envelope.id)

    async def _give_up(self, transaction: Transaction | None, reply: Reply) -> None:
        if transaction is not None:
            await transaction.fail(reply)
            self.journal.message(transaction, reply, 0.0)
        self.reply(reply)

    # Small talk.

    async def smtp_NOOP(self, argument: bytes) -> None:  # noqa: N802
        """Do nothing."""
        del argument
        self.wire.write(replies.OK.line)

    async def smtp_QUIT(self, argument: bytes) -> None:  # noqa: N802
        """Part as friends."""
        self._said_goodbye = not argument  # then nothing more is to be expected
        self.reply(replies.NO_ARGUMENT if argument else replies.BYE)

    async def smtp_HELP(self, argument: bytes) -> None:  # noqa: N802
        """Point to the documents."""
        del argument
        self.wire.write(replies.HELP.line)

    async def smtp_VRFY(self, argument: bytes) -> None:  # noqa: N802
        """Say nothing about who is here (RFC 5321 §7.3)."""
        if argument:
            self.wire.write(replies.CANNOT_VRFY.line)
        else:
            self.reply(replies.NEEDS_ARGUMENT)

    async def smtp_EXPN(self, arg: object) -> None:  # noqa: N802
        """Say that there are no lists here."""
        del arg
        self.reply(replies.NOT_IMPLEMENTED)

    smtp_ETRN = smtp_EXPN  # noqa: N815 - RFC 1985: there is no queue
    smtp_TURN = smtp_EXPN  # noqa: N815 - RFC 5321 appendix F.1: obsolete, and a hole


_VERBS: dict[bytes, Callable[[Session, bytes], Awaitable[None]]] = {
    name.removeprefix("smtp_").encode(): getattr(Session, name) for name in dir(Session) if name.startswith("smtp_")
}
_MECHANISMS: dict[str, Callable[..., Awaitable[AuthResult]]] = {
    name: getattr(Session, f"auth_{name}") for name in auth.MECHANISMS
}
