"""The PROXY header, v1 and v2 (haproxy's proxy-protocol.txt): who the client of a trusted proxy is.

Not one octet past the header is read from the socket: what follows may be a ClientHello, which belongs to TLS.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from mailport.address.ip_ranges import AddressSet, IpAddress, canonical
from mailport.policy.access import client_key

TIMEOUT = 5.0  # seconds for the whole header
UNTRUSTED_TIMEOUT = 1.0  # seconds that tell a probe, which closes at once, from a client that is not let in
_V1_MAX = 107  # octets with CRLF (§2.1)
_V2_MAX = 4096
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
SIGNATURE_OCTETS = len(_V2_SIGNATURE)  # by these a header of either version is known
_V2_FIXED = 16  # signature, version and command, family, length
_SHORTEST = len(b"PROXY UNKNOWN\r\n")  # 15: no header of either version is shorter, so this much can be read at once
_V1_FAMILIES = {b"TCP4": 4, b"TCP6": 6}

# Version 2, §2.2: the family, and the octets of its address block without TLVs; the transport.
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_V2_BLOCK = {_UNSPEC: 0, _INET: 2 * 4 + 4, _INET6: 2 * 16 + 4, _UNIX: 2 * 108}
_V2_STREAM, _V2_DATAGRAM = 1, 2


class Client(NamedTuple):
    """Who is at the other end, canonical: an IPv4-mapped address is its IPv4 address."""

    address: IpAddress
    port: int
    text: str  # the address, for logs
    key: bytes  # what is counted as one client
    unnamed: bool = False  # a trusted proxy named no client: a health check of its own, or a client that it cannot name

    @classmethod
    def of(cls, host: str, port: int) -> Client:
        """Make a Client of an address as the kernel or a header gives it."""
        address, text, key = _known(host)
        return cls(address, port, text, key)


@lru_cache(maxsize=4096)  # of the clients that come again and again; reading an address costs as much as a command
def _known(host: str) -> tuple[IpAddress, str, bytes]:
    address = canonical(host)
    return address, str(address), client_key(address)


class BadHeader(Exception):  # noqa: N818 - names what was received
    """What a peer sent is no PROXY header, or came too late, or the peer is not a trusted proxy."""


class NoData(Exception):  # noqa: N818 - a port probe is no error
    """The peer closed the connection without having sent an octet, as load balancers do that probe a port."""


async def read_header(connection: socket.socket, peer: Client, trusted: AddressSet) -> Client:
    """Read a PROXY header off a non-blocking socket; return the client it names. Raises BadHeader, NoData, OSError.

    Where a valid header names no client that came over TCP, the client is the peer, with `unnamed`. Nothing is read of
    a peer that is not trusted.
    """
    if peer.address not in trusted:
        with suppress(TimeoutError):
            async with asyncio.timeout(UNTRUSTED_TIMEOUT):
                await first_octet(connection)
        raise BadHeader("not a trusted proxy")
    try:
        async with asyncio.timeout(TIMEOUT):
            await first_octet(connection)
            start = await _read_exactly(connection, _SHORTEST)
            if start.startswith(b"PROXY "):
                client = parse_v1(await _read_line(connection, start))
            elif start.startswith(_V2_SIGNATURE):
                start += await _read_exactly(connection, _V2_FIXED - _SHORTEST)
                length = int.from_bytes(start[14:16])
                if _V2_FIXED + length > _V2_MAX:
                    raise BadHeader("too long")
                client = parse_v2(start + await _read_exactly(connection, length))
            else:
                raise BadHeader("no PROXY header")
    except TimeoutError:
        raise BadHeader("too late") from None
    _refuse_second(connection)
    return client or peer._replace(unnamed=True)


def parse_v1(line: bytes) -> Client | None:
    """Return the source of `PROXY TCP4 192.0.2.1 198.51.100.1 56324 25 CRLF`; None for UNKNOWN. Raises BadHeader."""
    words = line[:-2].split(b" ")
    if len(words) >= 2 and words[1] == b"UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in _V1_FAMILIES:
        raise BadHeader("malformed")
    version = _V1_FAMILIES[words[1]]
    if b"%" in line:
        raise BadHeader("an address with a zone")  # which means something on one host only
    try:
        source, destination = (ip_address(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise BadHeader("malformed address") from None
    if source.version != version or destination.version != version:
        raise BadHeader("address of another family")
    port, _ = (_port(word) for word in words[4:6])
    return Client.of(str(source), port)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > 65535 or (word[:1] == b"0" and len(word) > 1):
        raise BadHeader("malformed port")
    return int(word)


def parse_v2(header: bytes) -> Client | None:
    """Return the source that a whole v2 header names; None where it names none that came over TCP. Raises BadHeader."""
    version_command, payload = header[12], header[_V2_FIXED:]
    if version_command == 0x20:  # LOCAL: whatever else it says is to be ignored (§2.2)
        return None
    if version_command != 0x21:
        raise BadHeader("unknown version or command")
    family, transport = header[13] >> 4, header[13] & 0x0F
    if family not in _V2_BLOCK or transport > _V2_DATAGRAM:  # to be refused as invalid (§2.2)
        raise BadHeader("unknown family or transport")
    if len(payload) < _V2_BLOCK[family]:
        raise BadHeader("too short for its family")
    if transport != _V2_STREAM or family not in (_INET, _INET6):
        return None
    width = 4 if family == _INET else 16
    source = ip_address(payload[:width])
    return Client.of(str(source), int.from_bytes(payload[2 * width : 2 * width + 2]))


def begins_header(octets: bytes) -> bool:
    """Whether octets begin as a header of either version does, whose signature they hold as a whole."""
    return octets.startswith((b"PROXY ", _V2_SIGNATURE))


def _refuse_second(connection: socket.socket) -> None:
    """Refuse a header behind the header. A trusted proxy sends one; a second is the client's, to pass for another."""
    try:
        following = connection.recv(SIGNATURE_OCTETS, socket.MSG_PEEK)
    except BlockingIOError:
        return
    if begins_header(following):
        raise BadHeader("a second header")


async def _read_line(connection: socket.socket, start: bytes) -> bytes:
    """Read on to CRLF. What is there without a CRLF is all header, so it can be taken out of the socket."""
    line = start
    while not line.endswith(b"\r\n"):
        room = _V1_MAX - len(line)
        if room <= 0 or b"\n" in line:
            raise BadHeader("malformed, or too long")
        ahead = await _peek(connection, room)
        newline = ahead.find(b"\n")
        line += connection.recv(newline + 1 if newline >= 0 else len(ahead))
    return line


async def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += connection.recv(len(await _peek(connection, count - len(data))))
    return data


async def first_octet(connection: socket.socket) -> None:
    """Wait until a peer has sent something, and leave it in the socket. Raises NoData."""
    while True:
        try:
            if not connection.recv(1, socket.MSG_PEEK):
                raise NoData
        except BlockingIOError:
            await _readable(connection)
        except ConnectionError:
            raise NoData from None
        else:
            return


async def _peek(connection: socket.socket, count: int) -> bytes:
    while True:
        try:
            data = connection.recv(count, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(connection)
            continue
        if not data:
            raise BadHeader("closed")
        return data


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection.fileno())
