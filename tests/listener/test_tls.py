"""Certificates as openssl's own client sees them, on both event loops."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import subprocess
import sys
from base64 import encodebytes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailport.contract.model import TlsVersion
from mailport.listener import tls
from mailport.listener.secrets import Secrets, Sources
from mailport.listener.tls import Certificates, LoadedTls, self_signed
from tests.certificates import NOW, Issued
from tests.tables import table

pytestmark = pytest.mark.both_loops


def load(
    secrets: dict[str, dict[str, bytes]],
    *names: str,
    certificates: Certificates | None = None,
    min_version: TlsVersion = TlsVersion.V1_2,
) -> LoadedTls:
    given = Secrets(secrets=Sources(secrets))
    return (certificates or Certificates()).load(names or tuple(secrets), given, min_version, NOW)


# --- what the Secrets hold


def test_people_are_told_what_they_need() -> None:
    """Secret, serial number as openssl prints it, end, and the names: those of the subjectAltName, lower case."""
    issued = Issued(["MX.Example.org", "*.example.net", "xn--bcher-kva.example"], common_name="not-a-name.example")
    loaded = load({"mx-tls": issued.secret})
    (info,) = loaded.certificates
    printed = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=issued.pem, capture_output=True, check=True
    ).stdout.decode()

    assert (info.secret_name, info.names) == ("mx-tls", ("mx.example.org", "*.example.net", "xn--bcher-kva.example"))
    assert printed == f"serial={info.serial_number}\n"
    assert info.not_after == issued.certificate.not_valid_after_utc
    assert (loaded.faults, loaded.missing, loaded.warnings, loaded.complete) == ((), (), (), True)


def test_the_key_of_another_certificate_is_a_fault() -> None:
    """It names the Secret."""
    secret = {"tls.crt": Issued(["a.example"]).pem, "tls.key": Issued(["b.example"]).key_pem()}
    loaded = load({"mx-tls": secret})

    assert loaded.context is None
    assert loaded.faults == ("Secret mx-tls: tls.key does not belong to the certificate in tls.crt",)
    assert not loaded.complete


LEAF = Issued(["mx.example.org"], issuer=Issued([], common_name="root"))
WEAK = Issued(["mx.example.org"], key=rsa.generate_private_key(65537, 1024))


@pytest.mark.parametrize(
    "secret, why",
    table(
        {
            "a chain in the wrong order": (
                {"tls.crt": LEAF.issuer.pem + LEAF.pem, "tls.key": LEAF.key_pem()},
                "tls.crt is in the wrong order: the server's own certificate must be the first",
            ),
            "an encrypted key": (
                {"tls.crt": LEAF.pem, "tls.key": LEAF.key_pem(b"secret")},
                "tls.key is encrypted with a passphrase, which a server has nobody to ask for",
            ),
            "chain and key exchanged": (
                {"tls.crt": LEAF.key_pem(), "tls.key": LEAF.pem},
                "tls.crt has no PEM certificate in it",
            ),
            "no key in tls.key": (
                {"tls.crt": LEAF.pem, "tls.key": LEAF.pem},
                "tls.key is no PEM private key that can be read",
            ),
            "DER": (
                {
                    "tls.crt": LEAF.certificate.public_bytes(serialization.Encoding.DER),
                    "tls.key": LEAF.key_pem(),
                },
                "tls.crt has no PEM certificate in it",
            ),
            "empty": ({"tls.crt": b"", "tls.key": b""}, "tls.crt has no PEM certificate in it"),
            "a certificate cut in the middle": (
                {"tls.crt": LEAF.pem[:200] + LEAF.pem[-50:], "tls.key": LEAF.key_pem()},
                "tls.crt has a certificate in it that cannot be read",
            ),
            "a key that is too weak": (WEAK.secret, "OpenSSL does not take it: EE_KEY_TOO_SMALL"),
        }
    ),
)
def test_what_does_not_load_is_named(secret: dict[str, bytes], why: str) -> None:
    """In words for the person who made the Secret, and without a letter of the key."""
    assert load({"mx-tls": secret}).faults == (f"Secret mx-tls: {why}",)


def armoured(der: bytes, label: str) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), encodebytes(der), label.encode())


def test_no_octet_in_a_secret_ends_the_process() -> None:
    """One octet of a certificate or a key is another: what cryptography raises is a fault of the Secret."""
    chain, key = (
        LEAF.certificate.public_bytes(serialization.Encoding.DER),
        LEAF.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    loaded = []
    for whole, label, other in ((chain, "CERTIFICATE", "tls.crt"), (key, "PRIVATE KEY", "tls.key")):
        for place in range(len(whole)):
            spoilt = whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :]
            loaded.append(load({"mx-tls": LEAF.secret | {other: armoured(spoilt, label)}}))

    faults = {one.faults for one in loaded}
    assert any("(UnsupportedAlgorithm)" in fault for (fault, *_) in filter(None, faults))
    assert all(one.context is None or not one.faults for one in loaded)


@pytest.mark.parametrize("key", ["tls.crt", "tls.key"])
@pytest.mark.parametrize(
    "content",
    table(
        {
            "a password": b"correct horse",
            "a label": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END correct horse-----\n",
            "a header": b"-----BEGIN CERTIFICATE-----\na: b\ncorrect horse\n\nAAAA\n-----END CERTIFICATE-----\n",
            "a header of a key": b"-----BEGIN PRIVATE KEY-----\na: b\ncorrect horse\n\nAA\n-----END PRIVATE KEY-----\n",
            "a name": Issued(["correct horse"], common_name="correct horse").pem,
        }
    ),
)
def test_a_fault_quotes_nothing_of_a_secret(content: bytes, key: str) -> None:
    """Not even what a library says of what it could not read."""
    (fault,) = load({"mx-tls": LEAF.secret | {key: content}}).faults

    assert "correct" not in fault
    assert "horse" not in fault


@pytest.mark.parametrize(
    "issued, warning",
    table(
        {
            "expired": (
                Issued(
                    ["mx.example.org"],
                    not_after=datetime(2026, 2, 1, tzinfo=UTC),
                    not_before=datetime(2026, 1, 1, tzinfo=UTC),
                ),
                "Secret mx-tls: the certificate expired on 2026-02-01T00:00:00Z",
            ),
            "not valid yet": (
                Issued(
                    ["mx.example.org"],
                    not_before=datetime(9998, 1, 1, tzinfo=UTC),
                    not_after=datetime(9999, 1, 1, tzinfo=UTC),
                ),
                "Secret mx-tls: the certificate is not valid before 9998-01-01T00:00:00Z",
            ),
        }
    ),
)
def test_an_expired_certificate_is_served_and_warned_of(issued: Issued, warning: str) -> None:
    """Most mail servers do not look, and clear text would be worse."""
    loaded = load({"mx-tls": issued.secret})

    assert loaded.context is not None
    assert loaded.warnings == (warning,)
    assert loaded.complete


def test_a_certificate_that_does_not_load_any_more_stays() -> None:
    """The last good one is in use, whether the new one is bad or gone; and a good one replaces it."""
    certificates = Certificates()
    first, second = Issued(["mx.example.org"]), Issued(["mx.example.org"])
    load({"mx-tls": first.secret}, certificates=certificates)

    bad = load({"mx-tls": first.secret | {"tls.crt": second.pem}}, certificates=certificates)
    assert len(bad.faults) == 1
    gone = load({}, "mx-tls", certificates=certificates)
    assert gone.missing == (("mx-tls", "tls.crt"), ("mx-tls", "tls.key"))
    for loaded in (bad, gone):
        assert [int(info.serial_number, 16) for info in loaded.certificates] == [first.certificate.serial_number]
        assert loaded.complete
        assert loaded.context is not None

    good = load({"mx-tls": second.secret}, certificates=certificates)
    assert [int(info.serial_number, 16) for info in good.certificates] == [second.certificate.serial_number]
    assert good.faults == ()


def test_a_certificate_that_is_not_named_any_more_is_forgotten() -> None:
    """When its reference comes back without its Secret, there is nothing to serve."""
    certificates = Certificates()
    load({"mx-tls": LEAF.secret}, certificates=certificates)
    load({"other": LEAF.secret}, certificates=certificates)

    assert load({}, "mx-tls", certificates=certificates).context is None


def test_half_of_a_secret_is_half_missing() -> None:
    """What is missing is told by its key."""
    loaded = load({"mx-tls": {"tls.crt": LEAF.pem}})

    assert loaded.missing == (("mx-tls", "tls.key"),)
    assert not loaded.complete


def test_the_others_serve_where_the_default_is_missing() -> None:
    """Encrypted under another name is better than in clear, and readiness still says that one is missing."""
    loaded = load({"second": LEAF.secret}, "first", "second")

    assert loaded.context is not None
    assert not loaded.complete


def test_a_secret_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """Not an exception: the others load."""
    (tmp_path / "mx-tls/tls.crt").mkdir(parents=True)
    secrets = Secrets(secrets=Sources({"other": LEAF.secret}, (tmp_path,)))
    loaded = Certificates().load(("mx-tls", "other"), secrets, TlsVersion.V1_2, NOW)

    assert loaded.faults == (f"Secret mx-tls: {tmp_path}/mx-tls/tls.crt: Is a directory",)
    assert [info.secret_name for info in loaded.certificates] == ["other"]


def test_keys_are_not_shown() -> None:
    """Nothing that a log could print holds one."""
    certificates = Certificates()
    loaded = load({"mx-tls": LEAF.secret}, certificates=certificates)

    assert "PRIVATE" not in repr(certificates._good) + repr(loaded)


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "where memory files are unknown"])
def test_no_key_is_left_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool) -> None:
    """Linux has files in memory; elsewhere the file has no name, and nothing is there afterwards."""
    if in_memory:
        monkeypatch.setattr("mailport.listener.tls.TemporaryFile", None)
    else:
        monkeypatch.delattr(os, "memfd_create")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(Path("/proc/self/fd").iterdir())
    loaded = load({"mx-tls": LEAF.secret})

    assert loaded.context is not None
    assert list(tmp_path.iterdir()) == []
    assert sorted(Path("/proc/self/fd").iterdir()) == before


# --- what clients see


class Server:
    """Serves a greeting and an echo in TLS, by whatever context is current when a client comes."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)
        self.port = self.listening.getsockname()[1]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        sessions = set()
        while True:
            connection, _ = await loop.sock_accept(self.listening)
            session = asyncio.create_task(self._serve(connection))
            sessions.add(session)
            session.add_done_callback(sessions.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, connection, ssl=self.context
            )
        except OSError:  # no handshake
            return
        transport.write(b"220 hello\r\n")
        try:
            while line := await reader.readline():
                transport.write(line)
        except OSError:  # the client asked for what we do not do, and left
            pass
        finally:
            transport.close()


@asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[Server]:
    assert context is not None
    server = Server(context)
    task = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.listening.close()


async def s_client(port: int, *options: str | bytes, say: bytes = b"hello\n") -> str:
    """Return all that openssl's client prints of a session in which it says a line and hears it again."""
    client = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert client.stdin is not None
    assert client.stdout is not None
    printed = b""

    async def read_until(expected: bytes) -> bool:
        nonlocal printed
        while expected not in printed and (more := await client.stdout.read(65536)):
            printed += more
        return expected in printed

    async with asyncio.timeout(20):
        if await read_until(b"220 hello"):  # else there was no handshake, and the client has ended
            client.stdin.write(say)
            await read_until(b"\nhello\n")
        client.stdin.close()
        printed += await client.stdout.read()
        await client.wait()
    return printed.decode("utf-8", "replace")


def names_seen(printed: str) -> str:
    """Return the common name of the certificate that was served."""
    found = re.search(r"subject=CN = (\S+)", printed)
    return found[1] if found else printed


@pytest.mark.parametrize(
    "min_version, option, version",
    table(
        {
            "1.3 is spoken": (TlsVersion.V1_2, ["-tls1_3"], "TLSv1.3"),
            "1.2 is spoken": (TlsVersion.V1_2, ["-tls1_2"], "TLSv1.2"),
            "1.1 is not": (TlsVersion.V1_2, ["-tls1_1", "-cipher", "ALL@SECLEVEL=0"], None),
            "1.0 is not": (TlsVersion.V1_2, ["-tls1", "-cipher", "ALL@SECLEVEL=0"], None),
            "minVersion TLSv1.3: 1.3 is spoken": (TlsVersion.V1_3, ["-tls1_3"], "TLSv1.3"),
            "minVersion TLSv1.3: 1.2 is not": (TlsVersion.V1_3, ["-tls1_2"], None),
        }
    ),
)
async def test_versions(min_version: TlsVersion, option: list[str], version: str | None) -> None:
    """(asyncio and uvloop close without the alert that OpenSSL has ready.)"""
    async with serving(load({"mx-tls": LEAF.secret}, min_version=min_version).context) as server:
        printed = await s_client(server.port, *option)

    if version:
        assert f"New, {version}, Cipher is" in printed
    else:
        assert "Cipher is (NONE)" in printed


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_no_session_ticket_is_sent(version: str) -> None:
    """Neither 1.2's extension nor the two messages of 1.3 (which made Outlook hang up), seen on the wire."""
    async with serving(load({"mx-tls": LEAF.secret}).context) as server:
        printed = await s_client(server.port, version, "-msg", "-trace")

    assert "Finished" in printed
    assert "NewSessionTicket" not in printed
    assert "New Session Ticket arrived" not in printed
    assert "TLS session ticket:" not in printed


async def test_there_is_no_renegotiation_and_no_compression() -> None:
    """A client of 1.2 that asks for it is refused."""
    async with serving(load({"mx-tls": LEAF.secret}).context) as server:
        printed = await s_client(server.port, "-tls1_2", say=b"R\n")

    assert "RENEGOTIATING" in printed
    assert "no renegotiation" in printed
    assert "Compression: NONE" in printed


FIRST = Issued(["mx.example.org", "same.example"], common_name="first")
SECOND = Issued(["mx.example.net", "*.example.com", "same.example", "xn--bcher-kva.example"], common_name="second")
THIRD = Issued(["exact.example.com"], common_name="third")


@pytest.mark.parametrize(
    "server_name, served",
    table(
        {
            "no name: the default": (None, "first"),
            "a name of the default": ("mx.example.org", "first"),
            "a name of the second": ("mx.example.net", "second"),
            "in another case": ("MX.Example.NET", "second"),
            "with the root's dot": ("mx.example.net.", "second"),
            "a name in both: the first": ("same.example", "first"),
            "one label for the wildcard": ("a.example.com", "second"),
            "two labels are not": ("a.b.example.com", "first"),
            "nor is none": ("example.com", "first"),
            "the full name comes before the wildcard": ("exact.example.com", "third"),
            "an A-label": ("xn--bcher-kva.example", "second"),
            "an unknown name: the default": ("other.example", "first"),
        }
    ),
)
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_the_certificate_is_chosen_by_server_name(server_name: str | None, served: str, version: str) -> None:
    """By the names in the certificates; the first is the default."""
    loaded = load({"first": FIRST.secret, "second": SECOND.secret, "third": THIRD.secret})
    options = ["-servername", server_name] if server_name else ["-noservername"]
    async with serving(loaded.context) as server:
        printed = await s_client(server.port, version, *options)

    assert names_seen(printed) == served


async def test_the_chosen_certificate_is_served_under_the_same_rules() -> None:
    """No tickets, and no TLS that is too old, from the second certificate either."""
    loaded = load({"first": FIRST.secret, "second": SECOND.secret}, min_version=TlsVersion.V1_3)
    async with serving(loaded.context) as server:
        printed = await s_client(server.port, "-trace", "-servername", "mx.example.net")
        old = await s_client(server.port, "-tls1_2", "-servername", "mx.example.net")

    assert names_seen(printed) == "second"
    assert "NewSessionTicket" not in printed
    assert "Cipher is (NONE)" in old


async def test_the_chain_is_sent() -> None:
    """With the intermediate certificate that tls.crt has, a client that knows the root can verify."""
    secret = LEAF.secret | {"tls.crt": LEAF.pem + LEAF.issuer.pem}
    async with serving(load({"mx-tls": secret}).context) as server:
        printed = await s_client(server.port, "-showcerts")

    assert printed.count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    "secrets",
    table({"one certificate": {"first": FIRST.secret}, "two": {"first": FIRST.secret, "second": SECOND.secret}}),
)
async def test_a_server_name_that_is_none_ends_only_its_own_handshake(
    secrets: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is printed, and the next client is served."""
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    tls.keep_bad_server_names_quiet()
    async with serving(load(secrets).context) as server:
        await s_client(server.port, "-servername", b"\xff\xfe")
        after = await s_client(server.port)

    assert names_seen(after) == "first"
    assert printed == []


def test_other_exceptions_that_nobody_can_catch_are_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the server name's is kept quiet."""
    printed: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    tls.keep_bad_server_names_quiet()

    class Careless:
        def __del__(self) -> None:
            raise RuntimeError("told")

    Careless()

    assert [str(told.exc_value) for told in printed] == ["told"]


async def test_a_reload_is_for_new_handshakes() -> None:
    """A session that is open when the certificate changes lives on with the old one."""
    certificates = Certificates()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with serving(load({"mx-tls": FIRST.secret}, certificates=certificates).context) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
        await reader.readline()

        context = load({"mx-tls": THIRD.secret}, certificates=certificates).context
        assert context is not None
        server.context = context

        assert names_seen(await s_client(server.port)) == "third"
        writer.write(b"still here\r\n")
        assert await reader.readline() == b"still here\r\n"
        old = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert old == FIRST.certificate.public_bytes(serialization.Encoding.DER)
        writer.close()
        await writer.wait_closed()


# --- --dev's own


@pytest.mark.parametrize("name", ["mx.example.org", "localhost", "127.0.0.1", "::1"])
async def test_a_self_signed_certificate_is_good_for_who_trusts_it(name: str, tmp_path: Path) -> None:
    """By host name and over loopback, checked to the letter of RFC 5280 by openssl and by Python."""
    chain, key = self_signed("mx.example.org", NOW)
    (tmp_path / "ca.crt").write_bytes(chain)
    check = "-verify_ip" if name[-1] == "1" else "-verify_hostname"
    async with serving(load({"dev": {"tls.crt": chain, "tls.key": key}}).context) as server:
        printed = await s_client(
            server.port, "-CAfile", str(tmp_path / "ca.crt"), check, name, "-x509_strict", "-verify_return_error"
        )
        python = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        python.verify_flags |= ssl.VERIFY_X509_STRICT
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=python, server_hostname=name)
        greeting = await reader.readline()
        writer.close()
        await writer.wait_closed()

    assert "Verification: OK" in printed
    assert greeting == b"220 hello\r\n"


def test_a_self_signed_certificate_does_not_last_for_ever() -> None:
    """825 days is what clients take at most; and a clock that is a day late takes it."""
    (info,) = load(
        {"dev": dict(zip(("tls.crt", "tls.key"), self_signed("mx.example.org", NOW), strict=True))}
    ).certificates

    assert info.not_after - info.not_before <= timedelta(days=825)
    assert info.not_before <= NOW - timedelta(hours=23)
    assert info.names == ("mx.example.org", "localhost")


def test_a_self_signed_certificate_has_room_for_the_longest_name() -> None:
    """A host name of 253 letters would not fit into a common name, which has 64."""
    longest = ".".join(["a" * 60] * 4)
    chain, key = self_signed(longest, NOW)

    assert load({"dev": {"tls.crt": chain, "tls.key": key}}).certificates[0].names[0] == longest
