"""The PROXY header: who the client is, and not an octet of what follows."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailport.address.ip_ranges import AddressSet
from mailport.listener import proxy
from mailport.listener.proxy import BadHeader, Client, NoData, parse_v1, parse_v2, read_header
from mailport.listener.tls import self_signed
from mailport.listener.wire import Wire
from tests.tables import table

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0, 25])  # 192.0.2.1:56324 -> 198.51.100.1:25
IPV6 = bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 22 + "25" + "dc040019")
CLIENT = ("192.0.2.1", 56324)

PEER = Client.of("127.0.0.1", 40000)
TRUSTED = AddressSet(["127.0.0.0/8"])


def v1(words: str) -> bytes:
    return f"PROXY {words}\r\n".encode()


def v2(payload: bytes = IPV4, *, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(payload).to_bytes(2) + payload


@pytest.mark.parametrize(
    "header, client",
    table(
        {
            "IPv4": (v1("TCP4 192.0.2.1 198.51.100.1 56324 25"), CLIENT),
            "IPv6": (v1("TCP6 2001:db8::1 2001:db8::25 56324 25"), ("2001:db8::1", 56324)),
            "IPv6 in its longest form": (
                v1("TCP6 ffff:f:f:f:ffff:ffff:ffff:ffff ffff:f:f:f:ffff:ffff:ffff:ffff 65535 65535"),
                ("ffff:f:f:f:ffff:ffff:ffff:ffff", 65535),
            ),
            "IPv4 in IPv6's clothes is IPv4": (v1("TCP6 ::ffff:192.0.2.1 ::1 56324 25"), CLIENT),
            "through NAT64 it is IPv6": (v1("TCP6 64:ff9b::192.0.2.1 ::1 56324 25"), ("64:ff9b::c000:201", 56324)),
            "port 0": (v1("TCP4 192.0.2.1 198.51.100.1 0 0"), ("192.0.2.1", 0)),
            "UNKNOWN": (v1("UNKNOWN"), None),
            "UNKNOWN, and whatever follows it (§2.1)": (v1("UNKNOWN ffff::1 ffff::2 1 2"), None),
        }
    ),
)
def test_v1(header: bytes, client: tuple[str, int] | None):
    """The human-readable form."""
    parsed = parse_v1(header)

    assert (parsed and (parsed.text, parsed.port)) == client


@pytest.mark.parametrize(
    "header",
    table(
        {
            "nothing": v1(""),
            "no addresses": v1("TCP4"),
            "a word less": v1("TCP4 192.0.2.1 198.51.100.1 56324"),
            "a word more": v1("TCP4 192.0.2.1 198.51.100.1 56324 25 x"),
            "two spaces": v1("TCP4  192.0.2.1 198.51.100.1 56324 25"),
            "a space at the end": v1("TCP4 192.0.2.1 198.51.100.1 56324 25 "),
            "another family": v1("UDP4 192.0.2.1 198.51.100.1 56324 25"),
            "small letters": v1("tcp4 192.0.2.1 198.51.100.1 56324 25"),
            "IPv6 for IPv4": v1("TCP4 2001:db8::1 2001:db8::25 56324 25"),
            "IPv4 for IPv6": v1("TCP6 192.0.2.1 198.51.100.1 56324 25"),
            "one of each": v1("TCP4 192.0.2.1 2001:db8::25 56324 25"),
            "a number over 255": v1("TCP4 192.0.2.256 198.51.100.1 56324 25"),
            "a zero in front": v1("TCP4 192.0.2.01 198.51.100.1 56324 25"),
            "a name": v1("TCP4 localhost 198.51.100.1 56324 25"),
            "a zone": v1("TCP6 fe80::1%eth0 2001:db8::25 56324 25"),
            "not ASCII": v1("TCP4 192.0.2.\u0661 198.51.100.1 56324 25"),
            "a port over 65535": v1("TCP4 192.0.2.1 198.51.100.1 65536 25"),
            "a port with a zero in front": v1("TCP4 192.0.2.1 198.51.100.1 056324 25"),
            "a port with a sign": v1("TCP4 192.0.2.1 198.51.100.1 +1 25"),
            "a bad destination port": v1("TCP4 192.0.2.1 198.51.100.1 56324 x"),
        }
    ),
)
def test_bad_v1(header: bytes):
    """Nothing is guessed: this decides who somebody is."""
    with pytest.raises(BadHeader):
        parse_v1(header)


@pytest.mark.parametrize(
    "header, client",
    table(
        {
            "IPv4": (v2(), CLIENT),
            "IPv6": (v2(IPV6, family=0x21), ("2001:db8::1", 56324)),
            "with TLVs": (v2(IPV4 + b"\x04\0\x02\0\0"), CLIENT),
            "LOCAL": (v2(b"", command=0x20, family=0), None),
            "LOCAL, whatever it says beside (§2.2)": (v2(command=0x20), None),
            "PROXY of no family (§2.2)": (v2(b"", family=0), None),
            "a stream of no family": (v2(b"", family=0x01), None),
            "no transport over IPv4": (v2(family=0x10), None),
            "UDP over IPv4": (v2(family=0x12), None),
            "UDP over IPv6": (v2(IPV6, family=0x22), None),
            "a Unix socket": (v2(b"\0" * 216, family=0x31), None),
        }
    ),
)
def test_v2(header: bytes, client: tuple[str, int] | None):
    """The binary form."""
    parsed = parse_v2(header)

    assert (parsed and (parsed.text, parsed.port)) == client


@pytest.mark.parametrize(
    "header",
    table(
        {
            "version 1 in version 2's form": v2(command=0x11),
            "version 3": v2(command=0x31),
            "another command": v2(command=0x22),
            "a family that no version of the protocol has": v2(family=0x41),
            "a transport that no version of the protocol has": v2(family=0x13),
            "too short for UDP over IPv4": v2(IPV4[:-1], family=0x12),
            "too short for a Unix socket": v2(b"\0" * 215, family=0x31),
            "too short for IPv4": v2(IPV4[:-1]),
            "IPv4 for IPv6": v2(IPV4, family=0x21),
            "nothing": v2(b""),
        }
    ),
)
def test_bad_v2(header: bytes):
    """What the protocol's §2.2 has a receiver refuse."""
    with pytest.raises(BadHeader):
        parse_v2(header)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The proxy's end of a connection, and ours, which does not block."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        ours.setblocking(False)
        yield theirs, ours


HEADERS = table(
    {
        "v1": v1("TCP4 192.0.2.1 198.51.100.1 56324 25"),
        "v1 UNKNOWN": v1("UNKNOWN"),
        "v1 of 107 octets": v1("UNKNOWN " + "x" * 91),
        "v2": v2(),
        "v2 LOCAL": v2(b"", command=0x20),
        "v2 of 4 KiB": v2(IPV4 + b"\0" * (4096 - 28)),
    }
)


@pytest.mark.both_loops
@pytest.mark.parametrize("header", HEADERS)
async def test_not_one_octet_too_many(header: bytes, ends: tuple[socket.socket, socket.socket]):
    """What follows in the same segment is still in the socket: it may be a ClientHello."""
    theirs, ours = ends
    theirs.sendall(header + b"EHLO client.example.net\r\n")

    await read_header(ours, PEER, TRUSTED)

    assert ours.recv(100) == b"EHLO client.example.net\r\n"


@pytest.mark.both_loops
@pytest.mark.parametrize("header", HEADERS[:5])
async def test_octet_by_octet(header: bytes, ends: tuple[socket.socket, socket.socket]):
    """However it is cut."""
    theirs, ours = ends
    reading = asyncio.create_task(read_header(ours, PEER, TRUSTED))
    for index in range(len(header)):
        theirs.sendall(header[index : index + 1])
        await asyncio.sleep(0)
    theirs.sendall(b"rest")

    client = await reading

    assert client.unnamed or (client.text, client.port) == CLIENT
    assert ours.recv(100) == b"rest"


@pytest.mark.both_loops
@pytest.mark.parametrize("header", table({"v1 UNKNOWN": v1("UNKNOWN"), "v2 LOCAL": v2(b"", command=0x20)}))
async def test_a_client_that_is_not_named_is_the_peer(header: bytes, ends: tuple[socket.socket, socket.socket]):
    """A proxy that speaks for itself, or for a client that it cannot name."""
    theirs, ours = ends
    theirs.sendall(header)

    assert await read_header(ours, PEER, TRUSTED) == PEER._replace(unnamed=True)


@pytest.mark.both_loops
@pytest.mark.parametrize(
    "sent, why",
    table(
        {
            "no header": (b"EHLO client.example.net\r\n", "no PROXY header"),
            "nearly a header of version 2": (b"\r\n\r\n\0\r\nQUIT\r\n\r\n", "no PROXY header"),
            "a line that does not end": (b"PROXY UNKNOWN " + b"x" * 200, "too long"),
            "a line of 108 octets": (v1("UNKNOWN " + "x" * 92), "too long"),
            "a line that ends in LF": (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\n\r\n", "malformed"),
            "a header over 4 KiB": (v2(b"\0" * 4081), "too long"),
            "two of version 1": (v1("UNKNOWN") * 2, "a second header"),
            "two of version 2": (v2() * 2, "a second header"),
            "one of each": (v1("UNKNOWN") + v2(), "a second header"),
            "one of each, the other way round": (v2() + v1("UNKNOWN"), "a second header"),
        }
    ),
)
async def test_what_is_no_header(sent: bytes, why: str, ends: tuple[socket.socket, socket.socket]):
    """Who must send a header, and sends something else."""
    theirs, ours = ends
    theirs.sendall(sent)

    with pytest.raises(BadHeader, match=why):
        await read_header(ours, PEER, TRUSTED)


@pytest.mark.both_loops
async def test_of_a_peer_that_is_not_trusted_nothing_is_read(ends: tuple[socket.socket, socket.socket]):
    """Else anyone could pass for anyone."""
    theirs, ours = ends
    theirs.sendall(v2())

    with pytest.raises(BadHeader, match="not a trusted proxy"):
        await read_header(ours, Client.of("192.0.2.7", 40000), TRUSTED)
    assert ours.recv(100) == v2()


@pytest.mark.both_loops
@pytest.mark.parametrize("start", table({"v1": b"PROXY TCP4 192.0.2.1", "v2": v2()[:20]}))
async def test_half_a_header(start: bytes, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch):
    """The time is bounded, and who closes in the middle is told from who never said a word."""
    monkeypatch.setattr(proxy, "TIMEOUT", 0.05)
    theirs, ours = ends
    theirs.sendall(start)

    with pytest.raises(BadHeader, match="too late"):
        await read_header(ours, PEER, TRUSTED)
    theirs.sendall(start)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(BadHeader, match="closed"):
        await read_header(ours, PEER, TRUSTED)


@pytest.mark.both_loops
@pytest.mark.parametrize("peer", table({"trusted": "127.0.0.1", "not trusted": "192.0.2.7"}))
@pytest.mark.parametrize("late", table({"closed before we look": False, "closed while we wait": True}))
async def test_a_peer_without_an_octet(peer: str, late: bool, ends: tuple[socket.socket, socket.socket]):
    """A load balancer or a kubelet that looks whether the port is open has made no mistake."""
    theirs, ours = ends
    if not late:
        theirs.close()
    reading = asyncio.create_task(read_header(ours, Client.of(peer, 40000), TRUSTED))
    await asyncio.sleep(0)
    theirs.close()

    with pytest.raises(NoData):
        await reading


@pytest.mark.both_loops
async def test_a_peer_that_is_not_trusted_and_waits(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
):
    """A mail server waits for our greeting before it sends anything: it is told from a probe by a moment's wait."""
    monkeypatch.setattr(proxy, "UNTRUSTED_TIMEOUT", 0.05)

    with pytest.raises(BadHeader, match="not a trusted proxy"):
        await read_header(ends[1], Client.of("192.0.2.7", 40000), TRUSTED)


@pytest.mark.both_loops
@pytest.mark.parametrize("header", table({"v1": v1("TCP4 192.0.2.1 198.51.100.1 56324 25"), "v2": v2()}))
async def test_header_and_client_hello_in_one_segment(header: bytes, tmp_path: Path):
    """TLS begins with the octet behind the header, also where both came at once."""
    certificate, key = self_signed("mx.example.org", datetime.now(UTC))
    (tmp_path / "tls.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        greeting = loop.run_in_executor(None, greeting_behind, header, listening.getsockname()[1])
        connection, _ = listening.accept()
    connection.setblocking(False)

    client = await read_header(connection, PEER, TRUSTED)
    wire = Wire(loop)
    await loop.connect_accepted_socket(lambda: wire, connection, ssl=context)
    wire.write(f"220 {client.text}\r\n".encode())
    wire.send()

    assert await greeting == b"220 192.0.2.1\r\n"
    wire.abort()


def greeting_behind(header: bytes, port: int) -> bytes:
    """Be a proxy that sends its header together with the client's first octets; return what comes through TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        while True:
            try:
                return tls.read(100)
            except ssl.SSLWantReadError:
                connection.sendall(header + outgoing.read())
                header = b""
                incoming.write(connection.recv(65536))
