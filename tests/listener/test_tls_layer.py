"""TLS over memory: what of a handshake threads do, how it ends, and what the event loop does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailport.listener import tls_layer
from mailport.listener.tls import self_signed
from mailport.listener.tls_layer import MOST_WAITING, Handshakes, TlsLayer
from mailport.listener.wire import CLOSE_SECONDS, Closed, Wire
from tests.listener.key_updates import KeyUpdates
from tests.serving import Serving, eventually, serving
from tests.tables import table

SECONDS = 5.0  # within which whatever is expected happens


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    certificate, key = self_signed("mx.example.org", datetime.now(UTC))
    (tmp_path / "tls.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.load_cert_chain(tmp_path / "tls.pem")
    return context


@pytest.fixture
def handshakes() -> Iterator[Handshakes]:
    threads = Handshakes()
    yield threads
    threads.close()


class Client:
    """OpenSSL's other side, in memory."""

    def __init__(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.connection = context.wrap_bio(self._incoming, self._outgoing)
        self.shaken = False

    def says(self, records: bytes = b"") -> bytes:
        """Take records and go on with the handshake; return what the client sends."""
        self._incoming.write(records)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.connection.do_handshake()
            self.shaken = True
        return self._outgoing.read()

    def sends(self, data: bytes) -> bytes:
        self.connection.write(data)
        return self._outgoing.read()

    def ends(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.connection.unwrap()
        return self._outgoing.read()

    def reads(self, records: bytes) -> bytes:
        self._incoming.write(records)
        return self.connection.read(65536)


VERSIONS = pytest.mark.parametrize(
    "version", table({"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3})
)


def shaken(layer: TlsLayer, client: Client) -> None:
    """Do a handshake."""
    records = client.says()
    for _ in range(4):
        layer.add(records)
        done = layer.handshake()
        records = client.says(layer.records())
        if done:
            return
    raise AssertionError("no handshake in four steps")


@VERSIONS
def test_octets_go_both_ways(context: ssl.SSLContext, version: ssl.TLSVersion):
    """What is written is read, whatever its size, and however the records are cut."""
    layer, client = TlsLayer(context), Client(version)
    shaken(layer, client)
    data = bytes(range(256)) * 200  # more than one record holds
    records = client.sends(data)
    got = b""
    for start in range(0, len(records), 1000):
        layer.add(records[start : start + 1000])
        got += layer.read()
    layer.write(b"250 Ok\r\n")

    assert got == data
    assert not layer.closed
    assert client.reads(layer.records()) == b"250 Ok\r\n"


@VERSIONS
def test_the_end_is_said(context: ssl.SSLContext, version: ssl.TLSVersion):
    """close_notify of either side is seen by the other (RFC 8446 §6.1), behind what was sent before it."""
    layer, client = TlsLayer(context), Client(version)
    shaken(layer, client)
    layer.add(client.sends(b"QUIT\r\n") + client.ends())

    assert layer.read() == b"QUIT\r\n"
    assert layer.closed
    layer.close()
    layer.close()
    with pytest.raises((ssl.SSLZeroReturnError, ssl.SSLError)):
        client.reads(layer.records())


@VERSIONS
def test_a_connection_that_has_failed_carries_nothing(context: ssl.SSLContext, version: ssl.TLSVersion):
    """A record that somebody has changed ends it with an alert; a reply that comes late is no second fault."""
    layer, client = TlsLayer(context), Client(version)
    shaken(layer, client)
    records = bytearray(client.sends(b"MAIL FROM:<a@example.net>\r\n"))
    records[-1] ^= 1
    layer.add(bytes(records))
    with pytest.raises(ssl.SSLError):
        layer.read()
    alert = layer.records()
    layer.write(b"421 4.3.2 bye\r\n")
    layer.close()

    assert alert
    assert b"421" not in layer.records()


@VERSIONS
def test_only_the_signature_is_dear(context: ssl.SSLContext, version: ssl.TLSVersion):
    """The step that sends our certificate is the one for a thread; the next is the last."""
    layer, client = TlsLayer(context), Client(version)
    layer.add(client.says())

    assert not layer.signed
    assert not layer.handshake()
    assert layer.signed
    layer.add(client.says(layer.records()))
    assert layer.handshake()


def test_a_retry_has_no_signature(context: ssl.SSLContext):
    """A client whose key we cannot use is asked for another: the dear step is still to come (RFC 8446 §4.1.4)."""
    context.set_ecdh_curve("secp521r1")
    layer, client = TlsLayer(context), Client()
    layer.add(client.says())

    assert not layer.handshake()
    assert not layer.signed
    layer.add(client.says(layer.records()))
    assert not layer.handshake()
    assert layer.signed


async def test_what_is_no_tls_is_an_error_with_an_alert(context: ssl.SSLContext, handshakes: Handshakes):
    """The client learns of it, if it knows what an alert is."""
    layer = TlsLayer(context)
    layer.add(b"EHLO client.example\r\n")
    with pytest.raises(ssl.SSLError):
        await handshakes.step(layer)

    assert not handshakes.full
    layer = TlsLayer(context)
    layer.add(Client(ssl.TLSVersion.TLSv1_2).says().replace(b"\x03\x03", b"\x03\x01"))
    with pytest.raises(ssl.SSLError):
        await handshakes.step(layer)
    assert layer.records().startswith(b"\x15\x03")  # alert (RFC 8446 §6)


@pytest.mark.both_loops
async def test_the_event_loop_turns_while_threads_work(
    context: ssl.SSLContext, handshakes: Handshakes, monkeypatch: pytest.MonkeyPatch
):
    """A handshake that takes its time holds up nobody else."""
    begun, go_on = threading.Event(), threading.Event()
    handshake = TlsLayer.handshake

    def slow(layer: TlsLayer) -> bool:
        begun.set()
        assert go_on.wait(30)
        return handshake(layer)

    monkeypatch.setattr(TlsLayer, "handshake", slow)
    layer = TlsLayer(context)
    layer.add(Client().says())
    step = asyncio.create_task(handshakes.step(layer))
    assert await asyncio.to_thread(begun.wait, 10)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not step.done()
    go_on.set()

    assert await step is False
    assert layer.signed


async def test_no_more_wait_than_may(context: ssl.SSLContext, handshakes: Handshakes, monkeypatch: pytest.MonkeyPatch):
    """Those that are under way count until they are done; others are told to come again."""
    monkeypatch.setattr(tls_layer, "MOST_WAITING", 2)
    layers = [TlsLayer(context) for _ in range(2)]
    for layer in layers:
        layer.add(Client().says())
    steps = [asyncio.create_task(handshakes.step(layer)) for layer in layers]
    await asyncio.sleep(0)

    assert handshakes.full
    await asyncio.gather(*steps)
    assert not handshakes.full
    assert MOST_WAITING > 2


@pytest.mark.both_loops
@pytest.mark.parametrize("leaves", table({"in good order": True, "without a word": False}))
async def test_a_client_that_ends_tls(context: ssl.SSLContext, handshakes: Handshakes, leaves: bool):
    """A session reads what came before, and then that the peer has closed."""
    loop = asyncio.get_running_loop()
    wire = Wire(loop)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname(), SECONDS)
        ours, _ = listening.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    wire.expect_tls(context)
    await loop.connect_accepted_socket(lambda: wire, ours)
    client = Client()
    with theirs:
        shaking = asyncio.create_task(wire.handshake(handshakes, SECONDS))
        await loop.sock_sendall(theirs, client.says())
        await loop.sock_sendall(theirs, client.says(await loop.sock_recv(theirs, 65536)))
        await shaking
        await loop.sock_sendall(theirs, client.sends(b"QUIT\r\n") + (client.ends() if leaves else b""))
        async with asyncio.timeout(SECONDS):
            assert await wire.readline(100) == b"QUIT\r\n"
            if not leaves:
                theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(Closed):
                await wire.readline(100)
            wire.close()
            await wire.wait_closed(SECONDS)
    assert wire.closed


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["StartTLS", "Implicit"])
def test_real_handshakes_at_once(tmp_path: Path, mode: str):
    """A hundred clients begin TLS at the same time; each is served, and each is told of the end by close_notify."""
    change = {
        "listeners": [{"name": "smtp", "tls": {"mode": mode}}],
        "tls": {"certificateRefs": [{"name": "tls"}]},
    }
    with serving(tmp_path, change) as server:
        answers: list[bytes] = []

        def client() -> None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with socket.create_connection(("127.0.0.1", server.port), 30) as plain:
                if mode == "StartTLS":
                    plain.recv(1000)
                    plain.sendall(b"EHLO a\r\n")
                    plain.recv(1000)
                    plain.sendall(b"STARTTLS\r\n")
                    plain.recv(1000)
                with context.wrap_socket(plain, suppress_ragged_eofs=False) as secure:
                    if mode == "StartTLS":
                        secure.sendall(b"EHLO a\r\nQUIT\r\n")
                    else:
                        secure.sendall(b"QUIT\r\n")
                    got = b""
                    while piece := secure.recv(1000):
                        got += piece
                    answers.append(got)

        clients = [threading.Thread(target=client) for _ in range(100)]
        for one in clients:
            one.start()
        for one in clients:
            one.join(30)

    assert len(answers) == 100
    assert all(answer.endswith(b"221 2.0.0 Bye\r\n") for answer in answers)


def implicit(tmp_path: Path):
    listeners = [{"name": "smtps", "tls": {"mode": "Implicit"}}, {"name": "smtp"}]
    return serving(tmp_path, {"listeners": listeners, "tls": {"certificateRefs": [{"name": "tls"}]}})


def test_keys_may_be_updated(tmp_path: Path):
    """A client that updates its keys between commands is served: the answers come with new keys of ours."""
    with implicit(tmp_path) as server:
        client = KeyUpdates(server.ports["smtps"])
        assert client.hears().startswith(b"220 ")
        for _ in range(200):
            client.socket.sendall(client.key_updates(3) + client.says(b"NOOP\r\n"))
            assert client.hears().startswith(b"250 ")
        client.socket.close()


def test_records_may_be_padded(tmp_path: Path):
    """To any length (RFC 8446 §5.4): each has data in it, and the client is served."""
    with implicit(tmp_path) as server:
        client = KeyUpdates(server.ports["smtps"])
        client.pad(16384)
        assert client.hears().startswith(b"220 ")
        for _ in range(100):
            client.socket.sendall(client.says(b"NOOP\r\n"))
            assert client.hears().startswith(b"250 ")
        client.socket.close()


@pytest.mark.parametrize("cut", [1, 3, 7, 100, 1 << 20])
@pytest.mark.parametrize("cipher", ["ECDHE+AES256+SHA384", "ECDHE+AESGCM"])
def test_a_record_may_have_one_octet(context: ssl.SSLContext, cipher: str, cut: int):
    """As a device sends that does not buffer; with CBC each takes up to 100 octets. However the records arrive."""
    context.set_ciphers(cipher)
    layer, client = TlsLayer(context), Client(ssl.TLSVersion.TLSv1_2)
    shaken(layer, client)
    message = b"Subject: x\r\n\r\n" + b"y" * 3000
    records = b"".join(client.sends(bytes((octet,))) for octet in message)

    assert b"".join(layer.decrypt(records[at : at + cut]) for at in range(0, len(records), cut)) == message


MESSAGE = b"EHLO a\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 6 LAST\r\na: b\r\nQUIT\r\n"


def test_half_a_connection(tmp_path: Path):
    """A client that has said all may close its side (RFC 8446 §6.1): it gets its replies all the same."""
    with implicit(tmp_path) as server, socket.create_connection(("127.0.0.1", server.ports["smtps"])) as peer:
        peer.settimeout(SECONDS)
        client = Client()
        peer.sendall(client.says())
        while not client.shaken:
            peer.sendall(client.says(peer.recv(65536)))
        peer.sendall(client.sends(MESSAGE) + client.ends())
        peer.shutdown(socket.SHUT_WR)
        heard = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while records := peer.recv(65536):
                with contextlib.suppress(ssl.SSLWantReadError):
                    heard += client.reads(records)

    assert re.search(rb"\r\n250 2\.0\.0 Ok: queued as .*\r\n221 2\.0\.0 Bye\r\n\Z", heard)


def sockets(server: Serving) -> set[str]:
    """Return the sockets that the process has open."""
    found = set()
    for descriptor in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(descriptor.readlink()))
    return {name for name in found if name.startswith("socket:")}


def test_a_client_that_leaves_without_close_notify(tmp_path: Path):
    """After our last reply nothing but its end is waited for, in whichever way it comes."""
    with implicit(tmp_path) as server:
        before = sockets(server)
        with socket.create_connection(("127.0.0.1", server.ports["smtps"])) as peer:
            peer.settimeout(SECONDS)
            client = Client()
            peer.sendall(client.says())
            while not client.shaken:
                peer.sendall(client.says(peer.recv(65536)))
            peer.sendall(client.sends(b"QUIT\r\n"))
            while peer.recv(65536):
                pass
            ours = sockets(server) - before
            peer.shutdown(socket.SHUT_WR)

            assert ours
            eventually(lambda: not ours & sockets(server), "closed at once", CLOSE_SECONDS / 2)


def test_key_updates_without_end(tmp_path: Path):
    """They carry nothing, cost as much as commands, and come 50 to a KiB: who sends nothing else is cut off."""
    with implicit(tmp_path) as server:
        client = KeyUpdates(server.ports["smtps"])
        assert client.hears().startswith(b"220 ")
        records = client.key_updates(100_000)  # 2.7 MB, which would take the event loop two seconds

        def send() -> None:
            with contextlib.suppress(OSError):  # cut off
                client.socket.sendall(records)

        sending = threading.Thread(target=send)
        began = time.monotonic()
        sending.start()
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as other:
            assert other.noop()[0] == 250
        seconds = time.monotonic() - began
        sending.join(30)
        client.socket.settimeout(5)
        with contextlib.suppress(ConnectionError):
            assert client.hears() == b""
        client.socket.close()

    assert seconds < 1
