"""Nothing restarts for a setting: the running gateway takes up what changed, and keeps its connections (decision 4)."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.driver import Driver
from tests.clients.programs import LOGIN, RECIPIENT, send, swaks, takes_connections
from tests.serving import Serving, eventually, free_port, serving
from tests.tables import table

pytestmark = pytest.mark.slow

SOON = 5.0  # seconds: one is promised, and a busy machine is given more
QUEUED = "250 2.0.0 Ok: queued as "
MESSAGE = b"Subject: a test\r\n\r\nhello\r\n.\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    spec = {
        "listeners": [{"name": "smtp"}, {"name": "extra"}, {"name": "always", "auth": {"mode": "Always"}}],
        "tls": {"certificateRefs": [{"name": "tls"}]},
        "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
    }
    with serving(tmp_path_factory.mktemp("reload"), spec) as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_was(gateway: Serving) -> Iterator[None]:
    """Each test begins with the document that the gateway started with."""
    content, spec = gateway.file.read_bytes(), gateway.spec
    served = gateway.status()["hash"]
    yield
    gateway.spec = spec
    gateway.file.write_bytes(content)
    eventually(lambda: gateway.status()["hash"] == served and not gateway.status()["reloadError"], "as it was")


@pytest.fixture
def client(gateway: Serving) -> Iterator[Driver]:
    """A client that came before what the test changes."""
    with Driver(gateway.port) as driver:
        yield driver.start()


def metric(gateway: Serving, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", gateway.get("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_limits_and_routes(gateway: Serving, client: Driver) -> None:
    """The next command goes by them; a transaction keeps those that it began with."""
    client.envelope(RECIPIENT)
    gateway.change(
        {
            "limits": {"maxErrors": 7},
            "messageSize": {"advertised": 1000},
            "routes": [{"name": "net", "recipients": ["*@example.net"], "deliver": {"discard": {}}}],
        }
    )

    assert client.say(f"RCPT TO:<{RECIPIENT}>") == "250 2.1.5 recipient ok"
    assert client.say("DATA").startswith("354 ")
    assert client.say(b"x" * 2000 + b"\r\n.\r\n").startswith(QUEUED)
    assert client.say("MAIL FROM:<bob@example.com> SIZE=2000") == "552 5.3.4 message is larger than the limit"
    assert client.envelope().say(f"RCPT TO:<{RECIPIENT}>") == "550 5.7.1 relaying denied"
    assert client.say("RCPT TO:<anna@example.net>") == "250 2.1.5 recipient ok"
    assert "250-SIZE 1000\n" in swaks(gateway.port, "--quit-after", "EHLO").output
    assert metric(gateway, f'mailport_config_info{{hash="{gateway.status()["hash"]}"}}') == 1


def test_a_newly_banned_address(gateway: Serving, client: Driver) -> None:
    """It is cut at its next command and not let in again; its neighbour is not disturbed."""
    with Driver(gateway.port, source="127.0.9.1") as banned:
        banned.start().envelope(RECIPIENT)
        gateway.change({"access": {"policy": "DenyListed", "addresses": ["127.0.9.1"]}})

        assert banned.say("RSET") == "421 4.7.1 access denied"
        assert banned.reply() == ""
    with Driver(gateway.port, source="127.0.9.1") as banned:
        assert banned.reply() == "554 5.7.1 access denied"
    assert client.say("NOOP") == "250 2.0.0 Ok"
    gateway.change({"access": None})
    with Driver(gateway.port, source="127.0.9.1") as pardoned:
        pardoned.start()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    table(
        {
            "half a document": (lambda file: file.write_text('{"apiVersion": "mailport'), "inboundsmtp.json"),
            "no document": (lambda file: file.write_text(""), "inboundsmtp.json"),
            "a file that is gone": (lambda file: file.unlink(), "inboundsmtp.json: No such file"),
            "an unknown field": (lambda file: edit(file, '"hostname"', '"hostnames"'), "spec.hostnames"),
            "against a rule": (
                lambda file: edit(file, '"mode": "Always"', '"mode": "Never", "required": true'),
                "auth",
            ),
        }
    ),
)
def test_a_document_that_does_not_load(
    gateway: Serving, client: Driver, spoil: Callable[[Path], object], complaint: str
) -> None:
    """The last good one serves on; the log, the metric and /status say so, until a good one comes."""
    name = 'mailport_config_reloads_total{result="failed"}'
    successful = "mailport_config_last_reload_successful"
    before, failed = gateway.status(), metric(gateway, name)
    assert metric(gateway, successful) == 1
    spoil(gateway.file)
    error = eventually(lambda: gateway.status()["reloadError"], "an error in /status", SOON)

    assert complaint in error
    assert gateway.status()["hash"] == before["hash"]
    assert metric(gateway, name) == failed + 1
    assert metric(gateway, successful) == 0
    assert gateway.logged(event="configuration does not load, the last good one serves on", detail=error)
    assert gateway.get("/readyz")[0] == 200
    assert client.envelope(RECIPIENT).say("DATA").startswith("354 ")
    assert client.say(MESSAGE).startswith(QUEUED)
    send(gateway.port)

    gateway.write()
    eventually(lambda: gateway.status()["reloadError"] is None, "no error", SOON)
    assert (metric(gateway, name), metric(gateway, successful)) == (failed + 1, 1)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_other_ports(gateway: Serving, client: Driver) -> None:
    """Sockets stay as they are, under their last options; the rest is taken up, and a restart asked for."""
    before = gateway.spec["listeners"]
    elsewhere = free_port()
    gateway.change(
        {
            "listeners": [{"name": "smtp", "port": elsewhere, "tls": {"mode": "StartTLSRequired"}}, *before[1:2]],
            "limits": {"maxRecipients": 200},
        }
    )

    assert gateway.status()["restartRequired"] is True
    assert gateway.logged(
        level="warning", event="ports, addresses or families changed: restart to open and close sockets"
    )
    assert not takes_connections(elsewhere)
    assert {one["port"] for one in gateway.status()["listeners"]} == set(gateway.ports.values())
    assert client.envelope(RECIPIENT).say("RSET") == "250 2.0.0 Ok"  # StartTLSRequired is the other port's
    assert "LIMITS RCPTMAX=200" in swaks(gateway.port, "--quit-after", "EHLO").output
    assert swaks(gateway.ports["always"], "--auth", "PLAIN", *LOGIN).ok  # a listener that is no more

    gateway.change({"listeners": before, "limits": None})
    assert gateway.status()["restartRequired"] is False
    assert "LIMITS RCPTMAX=100" in swaks(gateway.ports["always"], "--quit-after", "EHLO").output


def test_a_document_without_tls_and_users(gateway: Serving, client: Driver) -> None:
    """Sockets that stay open until a restart go on with the certificate and the users that they had."""
    gateway.change({"listeners": [{"name": "plain", "port": free_port()}], "tls": None, "auth": None})

    assert gateway.status()["restartRequired"] is True
    assert swaks(gateway.port, "-tls", "--quit-after", "EHLO").ok
    assert swaks(gateway.ports["always"], "--auth", "PLAIN", *LOGIN).ok


@pytest.mark.parametrize(
    "change",
    table(
        {
            "addresses": {"network": {"bindAddresses": ["127.0.0.1", "127.0.0.2"]}},
            "families": {"network": {"ipFamilies": ["IPv4"]}},
            "the pod's admin port": {"pod": {"adminPort": 8081}},
        }
    ),
)
def test_what_else_needs_a_restart(gateway: Serving, client: Driver, change: dict[str, object]) -> None:
    """It is said, and mail goes on where it went."""
    gateway.change(change)

    assert gateway.status()["restartRequired"] is True
    assert not takes_connections(gateway.port, "127.0.0.2")
    client.envelope(RECIPIENT)


def test_options_of_a_listener(gateway: Serving, client: Driver) -> None:
    """How a port encrypts and authenticates is no reason to restart."""
    before = gateway.spec["listeners"]
    required = {**before[0], "tls": {"mode": "StartTLSRequired"}, "auth": {"required": True}}
    gateway.change({"listeners": [required, *before[1:]]})

    assert gateway.status()["restartRequired"] is False
    assert client.say("MAIL FROM:<bob@example.com>") == "530 5.7.0 must issue a STARTTLS command first"
    assert client.start_tls().say("MAIL FROM:<bob@example.com>") == "530 5.7.0 authentication required"
    gateway.change({"listeners": before})
    client.envelope(RECIPIENT)  # the session has TLS, and need not log in any more


def test_one_connection_sees_it_all(gateway: Serving, client: Driver) -> None:
    """Reload after reload under a message that is being sent, and not an octet of it is lost."""
    client.envelope("all@example.org")
    assert client.say("DATA").startswith("354 ")
    client.send(b"Subject: a test\r\n\r\n")
    took = []
    for number in range(5):
        client.send(b"%d" % number)
        began = time.monotonic()
        gateway.change({"limits": {"maxErrors": 100 + number}})
        took.append(time.monotonic() - began)
    assert client.say(b"\r\n.\r\n").startswith(QUEUED)
    (message,) = gateway.messages("all@example.org")
    assert message.endswith(b"\n\n01234\n")
    assert min(took) < 1  # as is promised; the others may have met with something else that this machine does


def test_routes_that_come_and_go(gateway: Serving) -> None:
    """A destination that is not used any more takes its threads with it."""

    def threads() -> int:
        return len(list(Path(f"/proc/{gateway.process.pid}/task").iterdir()))

    mail = gateway.spec["routes"][0]
    send(gateway.port)
    before = threads()
    for mode in ("0600", "0640", "0644", "0660"):
        gateway.change({"routes": [{**mail, "deliver": {"maildir": {"fileMode": mode}}}]})
        send(gateway.port)
    assert (
        stat.S_IMODE(max((gateway.mail / "example.org/anna/new").iterdir(), key=os.path.getmtime).stat().st_mode)
        == 0o660
    )

    eventually(
        lambda: threads() <= before + 2, "no more threads than before"
    )  # the executor's own come as they are needed
