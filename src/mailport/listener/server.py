"""The listening sockets and the sessions: accept, refuse or serve, change configuration, drain.

Connections are accepted here and not by `loop.create_server`. With that, code of ours would first run after the TLS
handshake, which is too late to read a PROXY header, and too late to refuse a client without the cost of a handshake.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Iterable

from mailport.contract.model import TlsMode
from mailport.deliver.destination import Destination
from mailport.listener import metrics
from mailport.listener.bindings import BACKLOG, Bound
from mailport.listener.config import Config, ListenerOptions
from mailport.listener.credentials import PasswordChecks
from mailport.listener.delivered import Delivered
from mailport.listener.journal import Journal
from mailport.listener.proxy import BadHeader, Client, NoData, first_octet, read_header
from mailport.listener.session import DRAIN_GRACE, HANDSHAKE_TIMEOUT, Session
from mailport.listener.tls_layer import Handshakes
from mailport.listener.wire import CLOSE_SECONDS, Wire
from mailport.message.content import Space
from mailport.policy import limits, replies
from mailport.policy.replies import Reply
from mailport.process import log

_ACCEPTS_AT_ONCE = 64  # in one turn of the event loop, so that open sessions get their turn too
_PAUSE_AFTER_FAILURE = 0.2  # seconds until accept is tried again when no descriptor was left
_ABORT_SECONDS = 3.0  # in which cancelled sessions must end: less than the five that a pod's grace period adds
_CLOSE_WHEN_CANCELLED = 0.5  # seconds in which a peer must have taken our last reply, when the time is up
_UNUSED_INTERVAL = 1.0  # seconds between two looks whether a destination is still in use
_MAX_LINGERING = 256  # refused connections at once that are kept open until the client has read the reply
_LINGER_SECONDS = 2.0  # for each of them
_NONE_LEFT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_log = log.get()


class Server:
    """All listeners of one configuration."""

    def __init__(self, config: Config, passwords: PasswordChecks, space: Space | None = None) -> None:
        self.started_with = config.spec
        self.config = config
        self.passwords = passwords
        self.delivered = Delivered()
        self.handshakes = Handshakes()
        self.space = space or Space()
        self.draining = False
        self.ending_at_once = False
        self.bound: list[Bound] = []
        self.sessions: dict[Session, asyncio.Task[None]] = {}  # and what runs them, in the order of their beginning
        self._connections = 0  # from accept until the socket is closed: a handshake under way counts
        self._connections_of: Counter[bytes] = Counter()  # by the client's key
        self._options = dict(config.listeners)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lingering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # What sessions ask for.

    def options(self, listener: str) -> ListenerOptions:
        """Return the options of a listener whose socket is open; its last ones where it has left the document."""
        return self._options[listener]

    # Start, reload and drain.

    def start(self, bound: Iterable[Bound]) -> None:
        """Accept connections on these sockets from now on."""
        loop = asyncio.get_running_loop()
        for listening in bound:
            self.bound.append(listening)
            loop.add_reader(listening.socket.fileno(), self._accept, listening)

    def use(self, config: Config) -> None:
        """Use another configuration from now on. Sessions look for it at each command."""
        for route, wanted in zip(config.routes, config.spec.routes, strict=True):
            route.slots.resize(wanted.max_concurrent)
        for name, last in self._options.items():
            options = config.listeners.get(name)
            if options is None or options.port != last.port:  # its socket stays open until a restart
                options = last.under(config.spec)
                config = config.serving(options, self.config)
            self._options[name] = options
        self.config = config

    @property
    def connections(self) -> Counter[str]:
        """How many sessions each listener has."""
        return Counter(session.listener for session in self.sessions)

    async def drain(self, seconds: float) -> int:
        """Stop accepting, let open transactions finish for so long; return how many had to be aborted.

        Idle sessions end at once. All others without an open transaction end after DRAIN_GRACE: half a command, a
        handshake that does not go on, a client that does not read its replies.
        """
        self.draining = True
        loop = asyncio.get_running_loop()
        for listening in self.bound:
            loop.remove_reader(listening.socket.fileno())
            self._refuse_backlog(listening)
            listening.socket.close()
        self.bound.clear()
        for session in list(self.sessions):
            if session.idle:
                session.wire.interrupt()
        grace = loop.call_later(DRAIN_GRACE, self._end_those_without_transaction)
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            grace.cancel()
        left = self._connections
        await self.abort()
        return left

    def _end_those_without_transaction(self) -> None:
        kept = {task for session, task in self.sessions.items() if session.transaction is not None}
        for task in self._tasks - kept:
            task.cancel()

    async def close_when_unused(self, destination: Destination) -> None:
        """Close a destination that has left the configuration, when the last transaction on its way there has ended."""
        while self._is_in_use(destination):  # noqa: ASYNC110 - an event would have to be set by each message's end
            await asyncio.sleep(_UNUSED_INTERVAL)
        await destination.close()

    def _is_in_use(self, destination: Destination) -> bool:
        transactions = (session.transaction for session in self.sessions)
        return any(transaction is not None and transaction.uses(destination) for transaction in transactions)

    async def end_at_once(self) -> None:
        """End every session, and wait for no client to read its last reply."""
        self.ending_at_once = True
        await self.abort()

    async def abort(self) -> None:
        """End every session."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_ABORT_SECONDS)

    def _refuse_backlog(self, listening: Bound) -> None:
        """Send 421 to those whose connection the kernel has accepted already; more may come meanwhile without end."""
        for _ in range(BACKLOG):
            try:
                connection, peer = listening.socket.accept()
            except OSError:
                return
            metrics.connections_total(listening.listener).inc()
            silently = self._options[listening.listener].tls is TlsMode.IMPLICIT
            journal = Journal(listening.listener, Client.of(peer[0], peer[1]))
            journal.refused(replies.DRAINING.reason, None if silently else replies.DRAINING, "")
            with connection:
                if not silently:
                    _send(connection, replies.DRAINING)

    # Accepting.

    def _accept(self, listening: Bound) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connection, peer = listening.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._accept_later(listening, error)
                return
            connection.setblocking(False)
            self._open(listening.listener, connection, Client.of(peer[0], peer[1]))

    def _accept_later(self, listening: Bound, error: OSError) -> None:
        if error.errno not in _NONE_LEFT:
            _log.warning("accept failed", listener=listening.listener, detail=error.strerror)
            return
        _log.error("no descriptor or memory left for connections", listener=listening.listener, detail=error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.socket.fileno())

        def again() -> None:
            if not self.draining:
                loop.add_reader(listening.socket.fileno(), self._accept, listening)

        loop.call_later(_PAUSE_AFTER_FAILURE, again)

    def _open(self, listener: str, connection: socket.socket, peer: Client) -> None:
        """Serve a connection that was accepted, or refuse it."""
        metrics.connections_total(listener).inc()
        trusted = self.options(listener).trusted_proxies
        key = None  # of a trusted proxy's connection: its header will say who the client is
        if trusted is None:
            refusal = self._refusal(peer, self._connections)
            if refusal is not None:
                self._refuse(listener, connection, peer, refusal)
                return
            key = self._count(peer)  # at once: many connections may come in one turn of the loop
        elif peer.address not in trusted:
            refusal = self._limit_reached(peer, self._connections)
            if refusal is not None:  # no reply and no line in the log: a port probe may have come at a bad moment
                metrics.refusals(listener, refusal.reason).inc()
                connection.close()
                return
            key = self._count(peer)
        self._connections += 1
        metrics.connections(listener).inc()
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._serve(listener, connection, peer, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refusal(self, client: Client, others: int) -> Reply | None:
        """Return why a client is not served; `others` is how many connections there are beside its own."""
        if not self.config.access.admits(client.address):
            return replies.ACCESS_DENIED
        return self._limit_reached(client, others)

    def _limit_reached(self, client: Client, others: int) -> Reply | None:
        configured = self.config.spec.limits
        return limits.connection(
            others,
            self._connections_of[client.key],
            configured.max_connections,
            configured.max_connections_per_client,
        )

    def _all_reached(self, others: int) -> Reply | None:
        return limits.connection(others, 0, self.config.spec.limits.max_connections, 0)

    def _count(self, client: Client) -> bytes:
        self._connections_of[client.key] += 1
        return client.key

    async def _serve(self, listener: str, connection: socket.socket, peer: Client, key: bytes | None) -> None:
        wire = Wire(asyncio.get_running_loop())
        close_seconds = CLOSE_SECONDS
        try:
            client = await self._behind_proxy(listener, connection, peer)
            if client is None:
                return
            if key is None:
                key = self._count(client)
            if await self._connect(listener, connection, client, wire):
                await self._run_session(listener, wire, client)
        except asyncio.CancelledError:
            close_seconds = _CLOSE_WHEN_CANCELLED
            raise
        except Exception:  # noqa: BLE001 - one connection's fault must not reach the others
            _log.exception("internal error", listener=listener, client=peer.text)
        finally:
            try:
                if wire.transport is None:
                    connection.close()
                else:  # it closes the socket when it has sent what is left; until then the connection is ours
                    await wire.wait_closed(close_seconds)
            finally:
                self._closed(listener, key)

    def _closed(self, listener: str, key: bytes | None) -> None:
        """Count one connection less."""
        self._connections -= 1
        metrics.connections(listener).dec()
        if key is not None:
            self._connections_of[key] -= 1
            if not self._connections_of[key]:
                del self._connections_of[key]
        if not self._connections:
            self._idle.set()

    async def _behind_proxy(self, listener: str, connection: socket.socket, peer: Client) -> Client | None:
        """Return who the client is; None where it has been refused."""
        trusted = self.options(listener).trusted_proxies
        if trusted is None:
            return peer
        try:
            client = await read_header(connection, peer, trusted)
        except (BadHeader, OSError) as error:
            Journal(listener, peer).refused("proxy_protocol", None, str(error))
            return None
        except NoData:
            return None
        others = self._connections - 1
        # One that is not named can send no mail: the access list is about those who do, and its address is a balancer's
        refusal = self._all_reached(others) if client.unnamed else self._refusal(client, others)
        if refusal is not None:
            self._refuse(listener, connection.dup(), client, refusal)
            return None
        return client

    async def _connect(self, listener: str, connection: socket.socket, client: Client, wire: Wire) -> bool:
        """Attach the wire to the socket, through TLS on an Implicit listener. False where there is no connection."""
        loop = asyncio.get_running_loop()
        if self.options(listener).tls is not TlsMode.IMPLICIT:
            await loop.connect_accepted_socket(lambda: wire, connection)
            return True
        context = self.config.tls
        if context is None or self.handshakes.full:  # no reply can be sent before the handshake
            why = "no certificate has been loaded" if context is None else "too many handshakes are waiting"
            Journal(listener, client).refused("tls_unavailable", None, why)
            return False
        deadline = loop.time() + HANDSHAKE_TIMEOUT
        try:
            async with asyncio.timeout_at(deadline):
                await first_octet(connection)
            wire.expect_tls(context)
            await loop.connect_accepted_socket(lambda: wire, connection)
            await wire.handshake(self.handshakes, max(deadline - loop.time(), 0.1))
        except NoData:
            return False
        except OSError as error:
            Journal(listener, client).tls_failed(error)
            return False
        return True

    async def _run_session(self, listener: str, wire: Wire, client: Client) -> None:
        session = Session(self, listener, wire, client)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for mypy: a connection is always served by a task of its own
        self.sessions[session] = task
        try:
            await session.run()
        finally:
            del self.sessions[session]

    # Refusing.

    def _refuse(self, listener: str, connection: socket.socket, client: Client, reply: Reply) -> None:
        """Send the reply and close. With implicit TLS only close: a reply would need a handshake first."""
        silently = self.options(listener).tls is TlsMode.IMPLICIT
        Journal(listener, client).refused(reply.reason, None if silently else reply, "")
        if silently:
            connection.close()
            return
        _send(connection, reply)
        if self._lingering >= _MAX_LINGERING:
            connection.close()
            return
        self._lingering += 1
        task = asyncio.get_running_loop().create_task(self._linger(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _linger(self, connection: socket.socket) -> None:
        """Wait until the client closes: closing on unread input would reset the connection and lose the reply."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while await asyncio.get_running_loop().sock_recv(connection, 4096):
                    pass
        except (OSError, TimeoutError):
            pass
        finally:
            self._lingering -= 1
            connection.close()


def _send(connection: socket.socket, reply: Reply) -> None:
    """Send a reply on a new connection, whose buffer is empty, and close the writing side."""
    try:
        connection.setblocking(False)
        connection.send(reply.line)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the client has left
