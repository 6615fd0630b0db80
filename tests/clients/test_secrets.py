"""Certificates and users are looked after while they serve: renewed, mended, spoilt, not there yet (decision 4)."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from mailport.listener.hashes import hash_password
from mailport.listener.tls import self_signed
from tests.clients.driver import Driver
from tests.clients.programs import LOGIN, RECIPIENT, run, s_client, send, swaks
from tests.serving import HOSTNAME, PASSWORD, USER, Serving, document, eventually, free_port, serving, write_secrets
from tests.tables import table

pytestmark = pytest.mark.slow

SOON = 5.0  # seconds: one is promised, and a busy machine is given more
QUEUED = "250 2.0.0 Ok: queued as "
MESSAGE = b"Subject: a test\r\n\r\nhello\r\n.\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("secrets")
    mount(folder / "secrets" / "mounted", "1")
    spec = {
        "listeners": [
            {"name": "smtp"},
            {"name": "submissions", "tls": {"mode": "Implicit"}},
            {"name": "always", "auth": {"mode": "Always"}},
        ],
        "tls": {"certificateRefs": [{"name": "tls"}, {"name": "mounted"}]},
        "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
    }
    with serving(folder, spec) as running:
        yield running


def mount(secret: Path, generation: str) -> None:
    """Lay a certificate out as the kubelet mounts a Secret: files lead through `..data`, which it swaps."""
    folder = secret / f"..generation_{generation}"
    folder.mkdir(parents=True)
    for key, value in zip(("tls.crt", "tls.key"), self_signed("mounted.example.org", datetime.now(UTC)), strict=True):
        (folder / key).write_bytes(value)
        if not (secret / key).is_symlink():
            (secret / key).symlink_to(f"..data/{key}")
    before = (secret / "..data").resolve()
    (secret / "..data_tmp").symlink_to(folder.name)
    (secret / "..data_tmp").rename(secret / "..data")
    if before.name.startswith("..generation"):
        shutil.rmtree(before)


def replace_in_place(secret: Path) -> None:
    """Write chain and key over the old ones, one after the other."""
    for key, value in zip(("tls.crt", "tls.key"), self_signed(HOSTNAME, datetime.now(UTC)), strict=True):
        (secret / key).write_bytes(value)


def rename_over(secret: Path) -> None:
    """Move new files over the old ones, as editors and certbot do."""
    for key, value in zip(("tls.crt", "tls.key"), self_signed(HOSTNAME, datetime.now(UTC)), strict=True):
        (secret / "new").write_bytes(value)
        (secret / "new").rename(secret / key)


def serial_of(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


def served_serial(port: int, server_name: str = HOSTNAME) -> int:
    """Return the serial number of the certificate that a new client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 20) as connection,
        context.wrap_socket(connection, server_hostname=server_name) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"").serial_number


@pytest.mark.parametrize(
    ("secret", "renew"),
    table(
        {
            "written in place": ("tls", replace_in_place),
            "moved over the old": ("tls", rename_over),
            "swapped by the kubelet": ("mounted", lambda secret: mount(secret, "2")),
        }
    ),
)
def test_a_renewed_certificate(gateway: Serving, secret: str, renew: Callable[[Path], None]) -> None:
    """New handshakes get the new one, of either kind; open sessions live on with the old."""
    name = HOSTNAME if secret == "tls" else "mounted.example.org"
    port = gateway.ports["submissions"]
    with Driver(gateway.port) as before:
        before.start().start_tls().envelope(RECIPIENT)
        renew(gateway.secret(secret))
        new = serial_of((gateway.secret(secret) / "tls.crt").read_bytes())
        eventually(lambda: served_serial(port, name) == new, "the new certificate", SOON)

        assert before.say("DATA").startswith("354 ")
        assert before.say(MESSAGE).startswith(QUEUED)
    shown = s_client(gateway.port, "-starttls", "smtp", "-servername", name, "-showcerts").output
    certificates = {one["secretName"]: one["serialNumber"] for one in gateway.status()["certificates"]}
    assert int(certificates[secret], 16) == new
    assert "250-AUTH PLAIN LOGIN" in shown


def test_a_chain_that_was_mended(gateway: Serving) -> None:
    """The certificate is the same and the chain behind it another: it is served too."""
    secret = gateway.secret("tls")
    other, _ = self_signed("authority.example.org", datetime.now(UTC))
    (secret / "tls.crt").write_bytes((secret / "tls.crt").read_bytes() + other)

    def chain_length() -> int:
        shown = run(
            *("openssl", "s_client", "-showcerts", "-servername", HOSTNAME),
            *("-connect", f"127.0.0.1:{gateway.ports['submissions']}"),
        )
        return shown.output.count("BEGIN CERTIFICATE")

    eventually(lambda: chain_length() == 2, "a chain of two", SOON)


def test_a_certificate_that_does_not_load(gateway: Serving) -> None:
    """The last good one serves on, the fault is named, and a good one ends it."""
    secret = gateway.secret("tls")
    good = (secret / "tls.key").read_bytes()
    before = served_serial(gateway.ports["submissions"])
    (secret / "tls.key").write_bytes(self_signed(HOSTNAME, datetime.now(UTC))[1])

    eventually(lambda: gateway.status()["reloadError"], "an error in /status", SOON)
    assert gateway.status()["reloadError"] == ("Secret tls: tls.key does not belong to the certificate in tls.crt")
    assert served_serial(gateway.ports["submissions"]) == before
    assert gateway.get("/readyz")[0] == 200
    assert not any("configuration does not load" in line["event"] for line in gateway.log())  # the document does

    (secret / "tls.key").write_bytes(good)
    eventually(lambda: gateway.status()["reloadError"] is None, "no error", SOON)


def log_in(gateway: Serving, password: str) -> str:
    """Return what a new client hears who tries this password."""
    with Driver(gateway.ports["always"]) as driver:
        return driver.start().say(f"AUTH PLAIN {b64encode(f'{chr(0)}{USER}{chr(0)}{password}'.encode()).decode()}")


def test_users(gateway: Serving) -> None:
    """A new password works and the old one does not; who is in stays in."""
    file = gateway.secret("users") / "htpasswd"
    before = file.read_text()
    with Driver(gateway.ports["always"]) as inside:
        inside.start().say(f"AUTH PLAIN {b64encode(f'{chr(0)}{USER}{chr(0)}{PASSWORD}'.encode()).decode()}")
        file.write_text(f"{USER}:{hash_password('battery staple')}\n")
        eventually(lambda: log_in(gateway, "battery staple").startswith("235 "), "the new password", SOON)

        assert log_in(gateway, PASSWORD) == "535 5.7.8 authentication credentials invalid"
        assert inside.envelope(RECIPIENT).say("DATA").startswith("354 ")
        assert inside.say(MESSAGE).startswith(QUEUED)
        assert gateway.logged(event="message", user=USER)

    file.write_text("anna@example.org:correct horse\n")  # a password where a hash belongs
    eventually(lambda: gateway.status()["reloadError"], "an error in /status", SOON)
    assert gateway.status()["reloadError"] == "Secret users: line 1: no hash of argon2id or bcrypt"
    assert "correct horse" not in (gateway.folder / "log").read_text()
    assert log_in(gateway, "battery staple").startswith("235 ")

    file.write_text(before)
    eventually(lambda: log_in(gateway, PASSWORD).startswith("235 "), "the first password again", SOON)
    assert gateway.status()["reloadError"] is None


def test_the_content_of_another_secret(gateway: Serving) -> None:
    """A reference that names the wrong Secret, or a volume that has another's values: none of it is quoted anywhere."""
    content = {
        "htpasswd": b"left-of:the-colon\n-----BEGIN PRIVATE KEY-----\nof: another\n",
        "tls.crt": b"-----BEGIN CERTIFICATE-----\nleft-of: the-colon\nthe-token\n\nAA\n-----END the-label-----\n",
        "tls.key": b"the-token",
    }
    files = [gateway.secret("users") / "htpasswd", *(gateway.secret("tls") / key for key in ("tls.crt", "tls.key"))]
    before = {file: file.read_bytes() for file in files}
    for file in files:
        file.write_bytes(content[file.name])

    def shown() -> str:
        return str(gateway.status()["reloadError"])

    eventually(lambda: "Secret users" in shown() and "Secret tls" in shown(), "both in /status", SOON)
    assert shown() == (
        "Secret tls: tls.crt has a certificate in it that cannot be read; "
        "Secret users: line 1: no hash of argon2id or bcrypt; line 2: not of the form user:hash; "
        "line 3: no hash of argon2id or bcrypt"
    )
    log = (gateway.folder / "log").read_text()
    assert not [word for word in ("left-of", "the-colon", "the-token", "the-label") if word in log]
    for file, content_before in before.items():
        file.write_bytes(content_before)
    eventually(lambda: gateway.status()["reloadError"] is None, "no error", SOON)


def test_secrets_that_come_late(tmp_path: Path) -> None:
    """The gateway starts without them, says what is missing, refuses for now, and heals when they come."""
    spec = {
        "listeners": [
            {"name": "smtp"},
            {"name": "submissions", "tls": {"mode": "Implicit"}},
            {"name": "always", "auth": {"mode": "Always"}},
        ],
        "tls": {"certificateRefs": [{"name": "late-tls"}]},
        "auth": {"htpasswd": {"secretRef": {"name": "late-users"}}},
    }
    with serving(tmp_path, spec, ready=False) as gateway:
        eventually(lambda: answers(gateway), "the admin port")
        missing = [(one["kind"], one["name"], one["key"], one["field"]) for one in gateway.status()["missing"]]
        assert missing == [
            ("Secret", "late-tls", "tls.crt", "spec.tls.certificateRefs[0]"),
            ("Secret", "late-tls", "tls.key", "spec.tls.certificateRefs[0]"),
            ("Secret", "late-users", "htpasswd", "spec.auth.htpasswd.secretRef"),
        ]
        assert gateway.get("/readyz") == (503, "a certificate has not been loaded\n")
        assert gateway.get("/livez")[0] == 200
        in_clear = swaks(gateway.port, "-tls")
        assert " -> STARTTLS\n<** 454 4.7.0 TLS is not available due to a temporary reason" in in_clear.output
        assert log_in(gateway, PASSWORD) == "454 4.7.0 temporary authentication failure"
        with Driver(gateway.ports["submissions"]) as implicit:
            assert implicit.reply() == ""  # closed, and nothing said
        send(gateway.port)  # what needs neither goes on

        with Driver(gateway.port) as waiting:
            waiting.start()
            write_secrets(tmp_path / "made")
            (tmp_path / "made" / "tls").rename(gateway.secret("late-tls"))
            eventually(lambda: gateway.get("/readyz") == (503, "the users have not been loaded\n"), "TLS", SOON)
            (tmp_path / "made" / "users").rename(gateway.secret("late-users"))
            eventually(lambda: gateway.get("/readyz") == (200, "ok\n"), "ready", SOON)
            waiting.start_tls().envelope(RECIPIENT)
        assert gateway.status()["missing"] == []
        assert swaks(gateway.port, "-tls", "--auth", "PLAIN", *LOGIN).ok
        assert swaks(gateway.ports["submissions"], "-tlsc", "--auth", "LOGIN", *LOGIN).ok


def test_a_document_from_stdin(tmp_path: Path) -> None:
    """`kubectl get … | mailport serve -f -`: it is read once, and the Secrets are looked after all the same."""
    admin = free_port()
    whole = document({"tls": {"certificateRefs": [{"name": "late-tls"}]}})
    port = whole["spec"]["listeners"][0]["port"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mailport", "serve", "-f", "-", "--secrets", tmp_path),
            *("--data", tmp_path / "data", "--admin", f"127.0.0.1:{admin}"),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    gateway = Serving(process, tmp_path, {"smtp": port}, admin, whole["spec"])
    try:
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(json.dumps(whole).encode())
        eventually(lambda: answers(gateway), "the admin port")
        assert gateway.get("/readyz")[0] == 503
        write_secrets(tmp_path / "made")
        (tmp_path / "made" / "tls").rename(tmp_path / "late-tls")
        eventually(lambda: gateway.get("/readyz")[0] == 200, "ready", SOON)
        assert gateway.status()["reloadError"] is None
        assert gateway.stop() == 0
    finally:
        process.kill()
        process.wait()


def test_secrets_that_vanish(gateway: Serving) -> None:
    """What was loaded once stays in use; it is missing all the same."""
    aside = gateway.folder / "aside"
    gateway.secret("users").rename(aside)
    missing = eventually(lambda: gateway.status()["missing"], "something missing", SOON)

    assert [one["name"] for one in missing] == ["users"]
    assert gateway.get("/readyz")[0] == 200
    assert log_in(gateway, PASSWORD).startswith("235 ")
    aside.rename(gateway.secret("users"))
    eventually(lambda: gateway.status()["missing"] == [], "nothing missing", SOON)


BROKEN = '{"apiVersion": "mailport'


def test_secrets_are_renewed_under_a_document_that_does_not_load(gateway: Serving) -> None:
    """One part's fault freezes no other: a certificate must not expire because somebody mistyped a limit."""
    good, file = gateway.file.read_bytes(), gateway.secret("users") / "htpasswd"
    users, served = file.read_bytes(), gateway.status()["hash"]
    gateway.file.write_text(BROKEN)
    fault = eventually(lambda: gateway.status()["reloadError"], "an error in /status", SOON)

    rename_over(gateway.secret("tls"))
    renewed = serial_of((gateway.secret("tls") / "tls.crt").read_bytes())
    eventually(lambda: served_serial(gateway.ports["submissions"]) == renewed, "the new certificate", SOON)
    file.write_text(f"{USER}:{hash_password('battery staple')}\n")
    eventually(lambda: log_in(gateway, "battery staple").startswith("235 "), "the new password", SOON)
    assert log_in(gateway, PASSWORD).startswith("535 ")
    assert (gateway.status()["reloadError"], gateway.status()["hash"]) == (fault, served)
    failures = [line for line in gateway.log() if line["event"].startswith("configuration does not load")]
    assert (
        len([line for line in failures if line["detail"] == fault]) == 1
    )  # once, however often something else changes

    file.write_text("no users")
    eventually(lambda: gateway.status()["reloadError"] != fault, "both faults", SOON)
    assert gateway.status()["reloadError"] == f"{fault}; Secret users: line 1: not of the form user:hash"
    file.write_bytes(users)
    gateway.file.write_bytes(good)
    eventually(lambda: gateway.status()["reloadError"] is None, "no error", SOON)


def test_a_secret_in_a_file_of_its_own(tmp_path: Path) -> None:
    """`-f gateway -f secrets`: each is taken up while the other is broken; a broken Secret keeps its last values."""
    file = tmp_path / "users.yaml"

    def write(password: str) -> None:
        value = b64encode(f"{USER}:{hash_password(password)}\n".encode()).decode()
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own"}, "data": {"htpasswd": value}}
        file.write_text(json.dumps(secret))

    write("first")
    spec = {
        "listeners": [{"name": "always", "auth": {"mode": "Always"}}],
        "auth": {"htpasswd": {"secretRef": {"name": "own"}}},
    }
    with serving(tmp_path, spec, "-f", str(file)) as gateway:
        good = gateway.file.read_bytes()
        gateway.file.write_text(BROKEN)
        write("second")
        eventually(lambda: log_in(gateway, "second").startswith("235 "), "the new password", SOON)
        assert gateway.status()["reloadError"].startswith(f"{gateway.file}: ")

        file.write_text("kind: Secret\napiVersion: v1\nmetadata: {name: own}\ndata: {htpasswd: '!'}\n")
        gateway.file.write_bytes(good)
        fault = f"{file}: Secret own: data[htpasswd]: must be base64"
        eventually(lambda: str(gateway.status()["reloadError"]).startswith(fault), "the Secret's fault alone", SOON)
        gateway.change({"limits": {"maxRecipients": 200}})
        assert "LIMITS RCPTMAX=200" in swaks(gateway.port, "--quit-after", "EHLO").output
        assert log_in(gateway, "second").startswith("235 ")

        file.unlink()
        eventually(lambda: "No such file" in str(gateway.status()["reloadError"]), "a file that is gone", SOON)
        assert log_in(gateway, "second").startswith("235 ")
        write("third")
        eventually(lambda: log_in(gateway, "third").startswith("235 "), "the last password", SOON)
        assert gateway.status()["reloadError"] is None


def answers(gateway: Serving) -> bool:
    try:
        return gateway.get("/livez")[0] == 200
    except OSError:
        return False
