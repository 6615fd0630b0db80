"""The sockets and the sessions: accept, refuse or serve, change configuration, drain.

Connections are accepted here and not by `loop.create_server`: with that, code of ours would first run after the TLS
handshake, too late to refuse for nothing or to read a PROXY header in front of it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from mailport import log
from mailport.deliver.delivery import Destination
from mailport.listener import metrics
from mailport.listener.bindings import Bound
from mailport.listener.config import Config, Options
from mailport.listener.credentials import Checker
from mailport.listener.journal import Journal
from mailport.listener.partial import Delivered
from mailport.listener.proxy import BadHeader, Client, Silent, first_octet, read_header
from mailport.listener.session import HANDSHAKE_TIMEOUT, Session
from mailport.listener.wire import CLOSE_SECONDS, Wire
from mailport.model import TlsMode
from mailport.policy import limits, replies
from mailport.policy.access import client_key
from mailport.policy.replies import Reply

_ACCEPTS_AT_ONCE = 64  # a turn of the loop: sessions that are open get theirs too
_PAUSE_AFTER_FAILURE = 0.2  # seconds, when there is no descriptor left: asking again at once would only burn the CPU
_ABORT_SECONDS = 3.0  # for what is aborted to be undone: less than a pod's last five seconds
_LOOK_AGAIN = 1.0  # seconds
_LAST_WORDS = 256  # refused clients at once that are waited for until they have read why
_LAST_WORDS_SECONDS = 2.0
_NO_ROOM = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

_log = log.get()

Address = IPv4Address | IPv6Address


class Server:
    """All listeners of one configuration."""

    def __init__(self, config: Config, checker: Checker) -> None:
        self.started_with = config.spec
        self.config = config
        self.checker = checker
        self.delivered = Delivered()
        self.draining = self.hurried = False
        self.stuck: set[asyncio.Task[None]] = set()  # sessions that a hanging destination keeps from ending
        self.bound: list[Bound] = []
        self.sessions: dict[Session, None] = {}  # in the order of their beginning
        self._connections = 0  # from accept on: a handshake under way counts
        self._of_client: Counter[Address] = Counter()
        self._options = dict(config.listeners)
        self._tasks: set[asyncio.Task[None]] = set()
        self._saying_why = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # What a session asks.

    def options(self, listener: str) -> Options:
        """Return the options of a listener that is bound, also when it has left the document: its last ones."""
        return self._options[listener]

    # Life.

    def start(self, bound: Iterable[Bound]) -> None:
        """Begin to accept on sockets that listen already."""
        loop = asyncio.get_running_loop()
        for one in bound:
            self.bound.append(one)
            loop.add_reader(one.socket.fileno(), self._accept, one)

    def use(self, config: Config) -> None:
        """Serve by another configuration from now on. Sessions ask for it at each command."""
        self.config = config
        for route, wanted in zip(config.routes, config.spec.routes, strict=True):
            route.slots.resize(wanted.max_concurrent)
        for name, last in self._options.items():
            options = config.listeners.get(name)
            if options is None or options.port != last.port:  # the socket stays open all the same
                options = last.under(config.spec)
            self._options[name] = options

    @property
    def connections(self) -> Counter[str]:
        """How many sessions each listener has."""
        return Counter(session.listener for session in self.sessions)

    async def drain(self, seconds: float) -> int:
        """Stop accepting, let open transactions finish for so long; return how many had to be aborted."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for one in self.bound:
            loop.remove_reader(one.socket.fileno())
            self._turn_away_backlog(one)
            one.socket.close()
        self.bound.clear()
        for session in list(self.sessions):
            if session.idle:
                session.wire.interrupt()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            pass
        left = self._connections
        await self.abort()
        return left

    async def close_when_unused(self, destination: Destination) -> None:
        """Close a destination that has left the configuration, when the last transaction on its way there has ended."""
        while self._is_in_use(destination):  # noqa: ASYNC110 - an event would have to be set by each message's end
            await asyncio.sleep(_LOOK_AGAIN)
        await destination.close()

    def _is_in_use(self, destination: Destination) -> bool:
        transactions = (session.transaction for session in self.sessions)
        return any(one is not None and one.goes_to(destination) for one in transactions)

    async def end_at_once(self) -> None:
        """End every session without a moment for it to read why."""
        self.hurried = True
        await self.abort()

    async def abort(self) -> None:
        """End every session; a commit under way is undone or ends well."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, self.stuck = await asyncio.wait(tasks, timeout=_ABORT_SECONDS)

    def _turn_away_backlog(self, one: Bound) -> None:
        """Those that the kernel has let in already hear why they must come again."""
        while True:
            try:
                connection, peer = one.socket.accept()
            except OSError:
                return
            metrics.connections_total(one.listener).inc()
            silently = self._options[one.listener].tls is TlsMode.IMPLICIT
            journal = Journal(one.listener, Client.of(peer[0], peer[1]))
            journal.refused(replies.DRAINING.reason, None if silently else replies.DRAINING, "")
            with connection:
                if not silently:
                    _send(connection, replies.DRAINING)

    # Accepting.

    def _accept(self, one: Bound) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connection, peer = one.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._accept_later(one, error)
                return
            connection.setblocking(False)
            self._open(one.listener, connection, Client.of(peer[0], peer[1]))

    def _accept_later(self, one: Bound, error: OSError) -> None:
        if error.errno not in _NO_ROOM:
            _log.warning("accept failed", listener=one.listener, detail=error.strerror)
            return
        _log.error("no descriptor or memory left for connections", listener=one.listener, detail=error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(one.socket.fileno())

        def again() -> None:
            if not self.draining:
                loop.add_reader(one.socket.fileno(), self._accept, one)

        loop.call_later(_PAUSE_AFTER_FAILURE, again)

    def _open(self, listener: str, connection: socket.socket, peer: Client) -> None:
        """Take on a connection, or turn it away."""
        metrics.connections_total(listener).inc()
        proxied = self.options(listener).trusted_proxies is not None
        if not proxied and (refusal := self._refusal(peer)) is not None:
            self._turn_away(listener, connection, peer, refusal)
            return
        self._connections += 1
        metrics.connections(listener).inc()
        self._idle.clear()
        key = None
        if not proxied:  # counted at once: sixty-four of them may come in one turn of the loop
            key = self._count(peer)
        task = asyncio.get_running_loop().create_task(self._serve(listener, connection, peer, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refusal(self, client: Client) -> Reply | None:
        config = self.config
        if not config.access.admits(client.address):
            return replies.ACCESS_DENIED
        bounds = config.spec.limits
        return limits.connection(
            self._connections,
            self._of_client[client_key(client.address)],
            bounds.max_connections,
            bounds.max_connections_per_client,
        )

    def _count(self, client: Client) -> Address:
        key = client_key(client.address)
        self._of_client[key] += 1
        return key

    async def _serve(self, listener: str, connection: socket.socket, peer: Client, key: Address | None) -> None:
        wire = Wire(asyncio.get_running_loop())
        try:
            client = await self._behind_proxy(listener, connection, peer)
            if client is None:
                return
            if key is None:
                key = self._count(client)
            if await self._connect(listener, connection, client, wire):
                await self._converse(listener, wire, client)
        except Exception:  # noqa: BLE001 - one connection's fault must not reach the others
            _log.exception("internal error", listener=listener, client=peer.text)
        finally:
            if wire.transport is None:  # which closes its socket itself, when it has sent what is left
                connection.close()
            self._connections -= 1
            metrics.connections(listener).dec()
            if key is not None:
                self._of_client[key] -= 1
                if not self._of_client[key]:
                    del self._of_client[key]
            if not self._connections:
                self._idle.set()

    async def _behind_proxy(self, listener: str, connection: socket.socket, peer: Client) -> Client | None:
        """Return who the client is; None where it has been turned away."""
        trusted = self.options(listener).trusted_proxies
        if trusted is None:
            return peer
        try:
            client = await read_header(connection, peer, trusted)
        except (BadHeader, OSError) as error:
            Journal(listener, peer).refused("proxy_protocol", None, str(error))
            return None
        except Silent:
            return None
        if client.health_check:  # by a trusted proxy, and it can send nothing: the list is about senders
            return client
        self._connections -= 1  # this one is not to be counted against itself
        refusal = self._refusal(client)
        self._connections += 1
        if refusal is not None:
            self._turn_away(listener, connection.dup(), client, refusal)
            return None
        return client

    async def _connect(self, listener: str, connection: socket.socket, client: Client, wire: Wire) -> bool:
        """Put the wire on the socket, with TLS where the listener says Implicit."""
        loop = asyncio.get_running_loop()
        if self.options(listener).tls is not TlsMode.IMPLICIT:
            await loop.connect_accepted_socket(lambda: wire, connection)
            return True
        context = self.config.tls
        if context is None:  # nothing can be said before the handshake
            Journal(listener, client).refused("tls_unavailable", None, "no certificate has been loaded")
            return False
        deadline = loop.time() + HANDSHAKE_TIMEOUT
        try:
            async with asyncio.timeout_at(deadline):
                await first_octet(connection)
            await loop.connect_accepted_socket(
                lambda: wire,
                connection,
                ssl=context,
                ssl_handshake_timeout=max(deadline - loop.time(), 0.1),
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except Silent:
            return False
        except OSError as error:
            Journal(listener, client).tls_failed(error)
            return False
        return True

    async def _converse(self, listener: str, wire: Wire, client: Client) -> None:
        session = Session(self, listener, wire, client)
        self.sessions[session] = None
        try:
            await session.run()
        finally:
            del self.sessions[session]

    # Turning away.

    def _turn_away(self, listener: str, connection: socket.socket, client: Client, reply: Reply) -> None:
        """Say why and close; on a listener with implicit TLS, close: the handshake would cost more than it is worth."""
        silently = self.options(listener).tls is TlsMode.IMPLICIT
        Journal(listener, client).refused(reply.reason, None if silently else reply, "")
        if silently:
            connection.close()
            return
        _send(connection, reply)
        if self._saying_why >= _LAST_WORDS:
            connection.close()
            return
        self._saying_why += 1
        task = asyncio.get_running_loop().create_task(self._wait_until_read(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait_until_read(self, connection: socket.socket) -> None:
        """Wait for the client's end a moment: closing on unread input would send a reset that overtakes the reply."""
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                while await asyncio.get_running_loop().sock_recv(connection, 4096):
                    pass
        except (OSError, TimeoutError):
            pass
        finally:
            self._saying_why -= 1
            connection.close()


def _send(connection: socket.socket, reply: Reply) -> None:
    """Send a reply on a fresh connection, whose buffer has room, and close the writing side."""
    try:
        connection.setblocking(False)
        connection.send(reply.line)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return  # it has left already
