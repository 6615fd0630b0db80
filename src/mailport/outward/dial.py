"""How outgoing connections are opened. The resolver and obstore open their own: Mailport asks `allowed` before."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, TypeVar
from weakref import WeakSet

from aiohappyeyeballs import start_connection

from mailport.outward.allowed import Allowed
from mailport.outward.connection import TLS_SECONDS, Connection, ConnectionLost, TlsFailed, tls_failed
from mailport.outward.trust import Tls
from mailport.process.threads import Threads

CONNECT_SECONDS = 10.0  # for the name and all of its addresses
NEXT_ADDRESS_SECONDS = 0.25  # Connection Attempt Delay (RFC 8305 §5)
_FEW_THREADS, _MOST_THREADS = 1, 8  # for names: a resolver that hangs holds up nothing else

P = TypeVar("P", bound=asyncio.BaseProtocol)

_Found = tuple[int, int, int, str, tuple[Any, ...]]  # as getaddrinfo and aiohappyeyeballs have it


class CannotConnect(OSError):  # noqa: N818 - what we cannot
    """No connection came about; the text is for the log."""


class NotAllowed(CannotConnect):
    """No address of this host may be connected to: a matter of set-up, which waiting does not mend."""


class Dialer:
    """Opens connections to where it is allowed."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._names = Threads(_FEW_THREADS, _MOST_THREADS, "names")
        self._connections: WeakSet[Connection] = WeakSet()  # the event loop holds those that are open

    async def connect(self, host: str, port: int, tls: Tls | None = None) -> Connection:
        """Open a connection to the address of a host that answers first (RFC 8305); with TLS from its start, or none.

        Raises CannotConnect and TlsFailed.
        """
        connection = await self.open(Connection, host, port, tls)
        self._connections.add(connection)
        return connection

    async def open(self, protocol: Callable[[], P], host: str, port: int, tls: Tls | None = None) -> P:
        """Do what `connect` does for a protocol of the caller's, such as a library's, and return that."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connected = await start_connection(
                    self._those_allowed(host, await self._look_up(host, port)),
                    happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
                    interleave=1,
                )
        except TimeoutError as error:
            raise CannotConnect(f"{host} port {port}: no connection in {CONNECT_SECONDS:.0f} s") from error
        except NotAllowed:
            raise
        except OSError as error:
            raise _cannot_connect(host, port, error) from error
        try:
            self._look_at_peer(connected)
            return await _speak(connected, protocol, tls)
        except BaseException as error:
            connected.close()
            if isinstance(error, OSError) and not isinstance(error, CannotConnect | ConnectionLost):
                raise _cannot_connect(host, port, error) from error  # the other side has reset it meanwhile
            raise

    async def must_be_allowed(self, host: str, port: int) -> None:
        """Look a host up for a library that connects by itself, to whichever of its addresses.

        Raises NotAllowed where one of them may not be connected to, and CannotConnect where there is none.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._look_up(host, port)
        except TimeoutError as error:
            raise CannotConnect(f"{host}: no address in {CONNECT_SECONDS:.0f} s") from error
        except OSError as error:
            raise CannotConnect(f"{host}: {error.strerror or error}") from error
        for *_, place in found:
            if why_not := self._why_not(place):
                raise NotAllowed(f"{host}: {why_not}")

    async def _look_up(self, host: str, port: int) -> Sequence[_Found]:
        def names() -> Sequence[_Found]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            return [(family, kind, protocol, name, place) for family, kind, protocol, name, place in found]

        with suppress(ValueError):
            family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
            place = (host, port) if family is socket.AF_INET else (host, port, 0, 0)
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)]
        try:
            return await self._names.run_if_awaited(names)
        except socket.gaierror as error:
            raise OSError(error.strerror) from error
        except UnicodeError as error:  # the name is longer than a name can be
            raise OSError("not a name that can be looked up") from error

    def _those_allowed(self, host: str, found: Sequence[_Found]) -> Sequence[_Found]:
        """Return those that may be connected to: not even a SYN goes to any other."""
        whys = {place: self._why_not(place) for *_, place in found}
        allowed = [one for one in found if not whys[one[4]]]
        if not allowed:
            raise NotAllowed(f"{host}: {'; '.join(dict.fromkeys(whys.values())) or 'no address'}")
        return allowed

    def _why_not(self, place: tuple[Any, ...]) -> str:
        return self._allowed.why_not(ip_address(str(place[0]).partition("%")[0]))

    def _look_at_peer(self, connected: socket.socket) -> None:
        """Look at the address that it came to in the end, which is what counts."""
        address = connected.getpeername()[0]
        if why_not := self._allowed.why_not(ip_address(address.partition("%")[0])):
            raise NotAllowed(why_not)

    async def close(self) -> None:
        """Let the threads go, and wait until the connections have ended that somebody has closed.

        Who opens one that comes to nothing, as by a wrong password, does not wait for its end.
        """
        self._names.close()
        await asyncio.gather(*[one.ended() for one in self._connections if one.closing])


def _cannot_connect(host: str, port: int, error: OSError) -> CannotConnect:
    why = os.strerror(error.errno) if error.errno else error.strerror or error  # asyncio's own text is another
    return CannotConnect(f"{host} port {port}: {why}")


async def _speak(connected: socket.socket, protocol: Callable[[], P], tls: Tls | None) -> P:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop = asyncio.get_running_loop()
    if tls is None:
        return (await loop.create_connection(protocol, sock=connected))[1]
    try:
        _, speaking = await loop.create_connection(
            protocol,
            sock=connected,
            ssl=tls.context,
            server_hostname=tls.server_name,
            ssl_handshake_timeout=TLS_SECONDS,
        )
    except TlsFailed:
        raise
    except (OSError, ssl.CertificateError) as error:
        raise tls_failed(error) from error
    return speaking
