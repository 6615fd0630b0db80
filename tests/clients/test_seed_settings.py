"""The thirteen [seed] settings of the contract, each through a real socket: who is refused, and who is let in.

The numbers are those of the contract's head comment and of the README's table.
"""

from __future__ import annotations

import itertools
import smtplib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailport.contract.model import IpFamily
from mailport.listener.bindings import families_of_host
from tests.clients.programs import (
    LOGIN,
    RECIPIENT,
    SENDER,
    connect,
    curl,
    reply,
    s_client,
    send,
    smtp_source,
    swaks,
    takes_connections,
)
from tests.serving import HOSTNAME, PASSWORD, USER, Serving, eventually, free_port, serving
from tests.tables import table

pytestmark = pytest.mark.slow

TLS_AND_USERS = {
    "tls": {"certificateRefs": [{"name": "tls"}]},
    "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
}
WRONG_LOGIN = (*LOGIN[:3], "wrong horse")

_mailboxes = (f"mailbox-{number}@example.org" for number in itertools.count(1))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway with a listener for each way of encrypting and authenticating."""
    listeners = [
        {"name": "smtp", "auth": {"mode": "Never"}},
        {"name": "extra-1", "auth": {"mode": "Never"}},
        {"name": "extra-2", "auth": {"mode": "Never"}},
        {"name": "submission", "auth": {"mode": "SecureOnly", "required": True}},
        {"name": "submissions", "tls": {"mode": "Implicit"}, "auth": {"mode": "SecureOnly", "required": True}},
        {"name": "always", "auth": {"mode": "Always", "required": True}},
        {"name": "without-tls", "tls": {"mode": "Disabled"}},
        {"name": "tls-required", "tls": {"mode": "StartTLSRequired"}},
    ]
    with serving(tmp_path_factory.mktemp("gateway"), {"listeners": listeners, **TLS_AND_USERS}) as running:
        yield running


@pytest.fixture
def mailbox() -> str:
    """An address that no other test writes to."""
    return next(_mailboxes)


@pytest.fixture
def trust(gateway: Serving) -> tuple[str, ...]:
    """What tells OpenSSL's client to take the gateway's certificate, and no other."""
    return ("-CAfile", str(gateway.secret("tls") / "tls.crt"), "-verify_return_error")


def came_with(gateway: Serving, mailbox: str) -> list[str]:
    """Return how a mailbox's messages came, in the words of their Received fields (RFC 3848)."""
    return [message.partition(b" with ")[2].split()[0].decode() for message in gateway.messages(mailbox)]


def test_01_smtp_port(gateway, mailbox):
    """listeners[].port is where mail is taken, and nowhere else."""
    assert curl(f"smtp://127.0.0.1:{gateway.port}", to=mailbox).ok
    assert swaks(gateway.port, to=mailbox).ok
    assert smtp_source(gateway.port, "-m", "4", "-s", "2", to=mailbox).ok
    assert sorted(came_with(gateway, mailbox)) == ["ESMTP"] * 2 + ["SMTP"] * 4  # smtp-source says HELO

    elsewhere = curl(f"smtp://127.0.0.1:{free_port()}")

    assert not elsewhere.ok
    assert "Connection refused" in elsewhere.output


def test_02_requires_ssl(gateway, mailbox, trust):
    """tls.mode Implicit speaks TLS from the first byte, with a certificate for the hostname."""
    port = gateway.ports["submissions"]

    shown = s_client(port, *trust, "-verify_hostname", HOSTNAME)
    assert shown.ok
    assert f"220 {HOSTNAME}" in shown.output
    assert "250-AUTH PLAIN LOGIN" in shown.output
    assert "STARTTLS" not in shown.output
    assert not s_client(port, *trust, "-verify_hostname", "mx.example.net").ok

    assert curl(f"smtps://127.0.0.1:{port}", "--cacert", trust[1], "--user", f"{USER}:{PASSWORD}", to=mailbox).ok
    assert came_with(gateway, mailbox) == ["ESMTPSA"]


def test_02_requires_ssl_and_refuses_without(gateway):
    """A client that speaks in clear to such a port hears not a word of SMTP, and is cut off."""
    with socket.create_connection(("127.0.0.1", gateway.ports["submissions"]), timeout=20) as client:
        client.sendall(b"EHLO client.example.com\r\n")
        heard = b"".join(iter(lambda: client.recv(4096), b""))

    assert not heard.startswith(b"220")
    assert gateway.logged(event="refused", reason="tls_handshake")["listener"] == "submissions"


@pytest.mark.parametrize(
    ("listener", "tls"), [("submission", ["-tls"]), ("submissions", ["-tlsc"]), ("always", [])], ids=lambda value: value
)
def test_03_requires_authentication(gateway, mailbox, listener, tls):
    """auth.required: who has not logged in may not send."""
    anonymous = swaks(gateway.ports[listener], *tls, to=mailbox)
    assert anonymous.status == 23  # at MAIL
    assert "530 5.7.0 authentication required" in anonymous.output
    assert gateway.messages(mailbox) == []

    assert swaks(gateway.ports[listener], *tls, "--auth", "PLAIN", *LOGIN, to=mailbox).ok
    assert len(gateway.messages(mailbox)) == 1


def test_03_does_not_require_authentication(gateway):
    """Without it a listener takes mail from anyone, as a mail server's port must."""
    required = smtp_source(gateway.ports["always"])

    assert not required.ok
    assert "530 5.7.0" in required.output
    assert smtp_source(gateway.port).ok


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_04_authentication_always(gateway, mailbox, mechanism):
    """auth.mode Always: a password is taken in clear too, if it is the right one."""
    port = gateway.ports["always"]
    wrong = swaks(port, "--auth", mechanism, *WRONG_LOGIN, to=mailbox)

    assert wrong.status == 28
    assert "535 5.7.8" in wrong.output
    assert swaks(port, "--auth", mechanism, *LOGIN, to=mailbox).ok
    assert came_with(gateway, mailbox) == ["ESMTPA"]


@pytest.mark.parametrize("encrypted", [False, True], ids=["in clear", "over TLS"])
def test_04_authentication_never(gateway, mailbox, encrypted):
    """auth.mode Never: it is not offered, and refused to who tries all the same; mail is taken without."""
    with connect(gateway.port) as client:
        if encrypted:
            client.starttls()
        client.ehlo()

        assert not client.has_extn("auth")
        assert client.docmd("AUTH PLAIN AGEAYg==") == (502, b"5.5.1 AUTH is not available here")
        assert client.sendmail(SENDER, [mailbox], b"Subject: a test\r\n\r\nhello\r\n") == {}
    assert came_with(gateway, mailbox) == ["ESMTPS" if encrypted else "ESMTP"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_04_authentication_only_secure(gateway, mailbox, mechanism):
    """auth.mode SecureOnly: not offered in clear, nor checked; over TLS, of either kind, it is."""
    in_clear = swaks(gateway.ports["submission"], "--auth", mechanism, *LOGIN)
    assert in_clear.status == 28
    assert "did not advertise authentication" in in_clear.output
    with connect(gateway.ports["submission"]) as client:
        client.ehlo()
        assert client.docmd("AUTH PLAIN AGEAYg==") == (538, b"5.7.11 encryption is required for authentication")

    for listener, tls in (("submission", "-tls"), ("submissions", "-tlsc")):
        assert swaks(gateway.ports[listener], tls, "--auth", mechanism, *LOGIN, to=mailbox).ok
        assert swaks(gateway.ports[listener], tls, "--auth", mechanism, *WRONG_LOGIN).status == 28
    assert came_with(gateway, mailbox) == ["ESMTPSA"] * 2


def test_05_submission_port(gateway, mailbox, trust):
    """A second listener has rules of its own: users only, while the first takes mail from anyone."""
    submission = f"smtp://127.0.0.1:{gateway.ports['submission']}"
    as_user = ("--ssl-reqd", "--cacert", trust[1], "--user", f"{USER}:{PASSWORD}")

    assert not curl(submission, to=mailbox).ok
    assert curl(submission, *as_user, to=mailbox).ok
    assert curl(f"smtp://127.0.0.1:{gateway.port}", to=mailbox).ok
    assert sorted(came_with(gateway, mailbox)) == ["ESMTP", "ESMTPSA"]


def test_06_additional_ports(gateway, mailbox):
    """Any number of listeners may share their options: each offers the same, refuses the same, takes the same."""
    said = []
    for listener in ("smtp", "extra-1", "extra-2"):
        with connect(gateway.ports[listener]) as client:
            said.append(client.ehlo())
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                client.sendmail(SENDER, ["somebody@example.net"], "Subject: a test\r\n\r\nhello\r\n")
        assert refused.value.recipients == {"somebody@example.net": (550, b"5.7.1 relaying denied")}
        send(gateway.ports[listener], to=mailbox)

    assert said[0] == said[1] == said[2]
    assert len(gateway.messages(mailbox)) == 3
    assert [one["name"] for one in gateway.status()["listeners"]] == list(gateway.ports)


def test_07_maximum_connections(tmp_path):
    """limits.maxConnections holds for all listeners together; who leaves makes room."""
    spec = {
        "listeners": [{"name": "smtp"}, {"name": "extra"}],
        "limits": {"maxConnections": 3},
        "routes": [{"name": "all", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
    }
    with serving(tmp_path, spec) as gateway, ExitStack() as stack:
        assert smtp_source(gateway.port, "-d", "-s", "3", "-m", "30").ok
        refused = smtp_source(gateway.port, "-d", "-s", "10", "-m", "100")
        assert not refused.ok
        assert "421 4.3.2" in refused.output

        eventually(lambda: connections(gateway) == 0, "all have left")
        first = stack.enter_context(connect(gateway.ports["smtp"]))
        for listener in ("extra", "extra"):
            stack.enter_context(connect(gateway.ports[listener]))
        for port in gateway.ports.values():
            with pytest.raises(smtplib.SMTPConnectError) as full:
                connect(port)
            assert reply(full.value) == "421 4.3.2 too many connections, try again later"
        first.quit()
        eventually(lambda: connections(gateway) == 2, "one has left")
        send(gateway.port)


def test_07_maximum_connections_of_one_client(tmp_path):
    """limits.maxConnectionsPerClient holds back one address, and no other."""
    with serving(tmp_path, {"limits": {"maxConnectionsPerClient": 2}}) as gateway, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connect(gateway.port, source="127.0.0.5"))

        with pytest.raises(smtplib.SMTPConnectError) as full:
            connect(gateway.port, source="127.0.0.5")
        assert reply(full.value) == "421 4.7.0 too many connections from your address, try again later"
        send(gateway.port, source="127.0.0.6")


def connections(gateway: Serving) -> int:
    return sum(one["connections"] for one in gateway.status()["listeners"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway for small messages."""
    with serving(tmp_path_factory.mktemp("small"), {"messageSize": {"advertised": "100Ki"}}) as running:
        yield running


def test_08_advertised_size(small, mailbox):
    """messageSize.advertised is SIZE in EHLO: a client that knows its size is refused before it sends a byte."""
    assert "250-SIZE 102400\n" in swaks(small.port, "--quit-after", "EHLO").output

    with connect(small.port) as client:
        client.ehlo()
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail(SENDER, [mailbox], "Subject: a test\r\n\r\n" + "x" * 102_400)
        assert reply(refused.value) == "552 5.3.4 message is larger than the limit"
        assert client.mail(SENDER, ["SIZE=102400"])[0] == 250


def test_08_advertised_size_none(tmp_path, mailbox):
    """SIZE 0 says that there is no limit, and there is none."""
    with serving(tmp_path, {"messageSize": {"advertised": 0}}) as gateway:
        assert "250-SIZE 0\n" in swaks(gateway.port, "--quit-after", "EHLO").output
        assert smtp_source(gateway.port, "-l", "30000000", to=mailbox).ok
        assert len(gateway.messages(mailbox)[0]) > 29_000_000


def test_09_enforced_size(small, mailbox):
    """messageSize.enforce: a message that grows too large is dropped and refused; its session goes on."""
    refused = smtp_source(small.port, "-l", "150000", to=mailbox)
    assert not refused.ok
    assert "552 5.3.4" in refused.output
    assert smtp_source(small.port, "-l", "90000", to=mailbox).ok

    with connect(small.port) as client:
        client.helo()  # without ESMTP smtplib does not say how large
        with pytest.raises(smtplib.SMTPDataError) as too_large:
            client.sendmail(SENDER, [mailbox], "Subject: a test\r\n\r\n" + "x" * 102_400)
        assert reply(too_large.value) == "552 5.3.4 message is larger than the limit"
        client.sendmail(SENDER, [mailbox], "Subject: a test\r\n\r\nhello\r\n")
    assert sorted(len(message) > 80_000 for message in small.messages(mailbox)) == [False, True]


def test_09_size_not_enforced(tmp_path, mailbox):
    """enforce false: the size is advertised, and larger messages are taken, declared or not."""
    with serving(tmp_path, {"messageSize": {"advertised": "100Ki", "enforce": False}}) as gateway:
        assert "250-SIZE 102400\n" in swaks(gateway.port, "--quit-after", "EHLO").output
        assert smtp_source(gateway.port, "-l", "1000000", to=mailbox).ok
        with connect(gateway.port) as client:
            client.sendmail(SENDER, [mailbox], "Subject: a test\r\n\r\n" + "x" * 500_000)
        assert sorted(len(message) > 900_000 for message in gateway.messages(mailbox)) == [False, True]


LISTED = ["127.0.6.*", "127.0.7.0/28", "127.0.8.1", "198.51.100.*"]


@pytest.fixture(scope="module")
def choosy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway that does not take everybody, by their own addresses and by those that a proxy tells of."""
    proxy = {"trustedCIDRs": ["127.0.0.1/32", "127.0.6.0/24"]}
    spec = {
        "listeners": [
            {"name": "smtp"},
            {"name": "proxied", "proxyProtocol": proxy},
            {"name": "proxied-tls", "proxyProtocol": proxy, "tls": {"mode": "Implicit"}},
        ],
        "tls": {"certificateRefs": [{"name": "tls"}]},
        "access": {"policy": "DenyListed", "addresses": LISTED},
    }
    with serving(tmp_path_factory.mktemp("choosy"), spec) as running:
        yield running


@pytest.mark.parametrize(
    ("policy", "let_in", "refused"),
    table(
        {
            "the listed are banned": (
                "DenyListed",
                ["127.0.0.1", "127.0.7.16", "127.0.8.2"],
                ["127.0.6.200", "127.0.7.15", "127.0.8.1"],
            ),
            "only the listed are let in": (
                "AllowListed",
                ["127.0.6.200", "127.0.7.15", "127.0.8.1"],
                ["127.0.0.1", "127.0.7.16", "127.0.8.2"],
            ),
        }
    ),
)
def test_10_addresses(choosy, mailbox, policy, let_in, refused):
    """access: banned addresses, or the only ones allowed; the others hear why in place of the greeting."""
    if choosy.spec["access"]["policy"] != policy:
        choosy.change({"access": {"policy": policy}})

    for address in let_in:
        send(choosy.port, source=address, to=mailbox)
    assert len(choosy.messages(mailbox)) == len(let_in)
    for address in refused:
        with pytest.raises(smtplib.SMTPConnectError) as denied:
            connect(choosy.port, source=address)
        assert reply(denied.value) == "554 5.7.1 access denied"
        assert "554 5.7.1 access denied" in swaks(choosy.port, "--local-interface", address).output
        assert "554 5.7.1 access denied" in curl(f"smtp://127.0.0.1:{choosy.port}", "--interface", address).output


@pytest.mark.parametrize(
    "form",
    table(
        {
            "version 1": ("--proxy-family TCP4 --proxy-source {} --proxy-dest 192.0.2.1",),
            "version 2": ("--proxy-version 2 --proxy-family AF_INET --proxy-source {} --proxy-dest 192.0.2.1",),
        }
    ),
)
def test_10_addresses_behind_a_proxy(choosy, mailbox, form):
    """A trusted proxy's word counts in place of its own address: for the list, the log, and Received."""
    if choosy.spec["access"]["policy"] != "DenyListed":
        choosy.change({"access": {"policy": "DenyListed"}})
    ports = ("--proxy-source-port", "4321", "--proxy-dest-port", "25")

    def behind_proxy(client: str, proxy: str = "127.0.0.1", listener: str = "proxied", tls: tuple[str, ...] = ()):
        options = (*form.format(client).split(), *ports, "--local-interface", proxy, *tls)
        return swaks(choosy.ports[listener], *options, to=mailbox)

    assert behind_proxy("203.0.113.7").ok
    assert b"([203.0.113.7])" in choosy.messages(mailbox)[0]
    assert choosy.logged(event="message", recipients=[mailbox])["client"] == "203.0.113.7"
    assert behind_proxy("203.0.113.7", proxy="127.0.6.9").ok  # a proxy may stand at a banned address
    assert behind_proxy("203.0.113.7", tls=("-tls",)).ok
    assert behind_proxy("203.0.113.7", listener="proxied-tls", tls=("-tlsc",)).ok
    assert not behind_proxy("198.51.100.7", listener="proxied-tls", tls=("-tlsc",)).ok
    banned = behind_proxy("198.51.100.7")
    assert not banned.ok
    assert "554 5.7.1 access denied" in banned.output
    untrusted = behind_proxy("203.0.113.7", proxy="127.0.0.2")
    assert not untrusted.ok
    assert "<-" not in untrusted.output  # nothing is said to it
    assert sorted(came_with(choosy, mailbox)) == ["ESMTP", "ESMTP", "ESMTPS", "ESMTPS"]


@pytest.mark.parametrize(
    ("bind", "serves", "refuses"),
    table(
        {
            "addresses": (["127.0.0.2", "127.0.3.4"], ["127.0.0.2", "127.0.3.4"], ["127.0.0.1", "127.0.0.3", "::1"]),
            "the host's in a CIDR": (["127.0.0.0/8"], ["127.0.0.1"], ["127.0.0.2", "::1"]),
        }
    ),
)
def test_11_bindings(tmp_path: Path, bind, serves, refuses):
    """network.bindAddresses: listeners are on these addresses of the host, and on no others."""
    with serving(tmp_path, {"network": {"bindAddresses": bind}}) as gateway:
        for address in serves:
            send(gateway.port, host=address)
        assert [address for address in refuses if takes_connections(gateway.port, address)] == []
        assert len(gateway.messages(RECIPIENT)) == len(serves)


@pytest.mark.parametrize(
    ("families", "serves", "refuses"),
    table(
        {
            "where nothing is said both are served": (None, ["127.0.0.1", "::1"], []),
            "both": (["IPv6", "IPv4"], ["127.0.0.1", "::1"], []),
            "IPv4 alone": (["IPv4"], ["127.0.0.1"], ["::1"]),
            "IPv6 alone": (["IPv6"], ["::1"], ["127.0.0.1"]),
        }
    ),
)
@pytest.mark.skipif(IpFamily.IPV6 not in families_of_host(), reason="this host has no IPv6")
def test_12_ipv6_clients(tmp_path, families, serves, refuses):
    """network.ipFamilies: clients of the families in it, and of no other."""
    with serving(tmp_path, {"network": {"bindAddresses": None, "ipFamilies": families}}) as gateway:
        for address in serves:
            send(gateway.port, host=address)
            assert swaks(gateway.port, host=address).ok
        assert [address for address in refuses if takes_connections(gateway.port, address)] == []
        came_from = {line["client"] for line in gateway.log() if line["event"] == "message"}
        assert came_from == set(serves)
        if "::1" in serves:
            assert any(b"([IPv6:::1])" in message for message in gateway.messages(RECIPIENT))


def test_13_starttls(gateway, mailbox, trust):
    """tls.mode StartTLS: offered, and with a certificate that clients can verify; mail in clear is taken too."""
    shown = s_client(gateway.port, "-starttls", "smtp", *trust, "-verify_hostname", HOSTNAME)
    assert shown.ok
    assert "250-STARTTLS" not in shown.output  # not again, once it is on
    assert swaks(gateway.port, "-tls", to=mailbox).ok
    assert curl(f"smtp://127.0.0.1:{gateway.port}", "--ssl-reqd", "--cacert", trust[1], to=mailbox).ok
    assert came_with(gateway, mailbox) == ["ESMTPS"] * 2
    assert swaks(gateway.port).ok


def test_13_starttls_disabled(gateway, mailbox):
    """tls.mode Disabled: not offered, and refused to who tries all the same."""
    port = gateway.ports["without-tls"]

    assert "Host did not advertise STARTTLS" in swaks(port, "-tls", to=mailbox).output
    assert "STARTTLS not supported" in curl(f"smtp://127.0.0.1:{port}", "--ssl-reqd", to=mailbox).output
    with connect(port) as client:
        client.ehlo()
        assert client.docmd("STARTTLS") == (502, b"5.5.1 STARTTLS is not available here")
    assert swaks(port, to=mailbox).ok
    assert came_with(gateway, mailbox) == ["ESMTP"]


def test_13_starttls_required(gateway, mailbox):
    """tls.mode StartTLSRequired: nothing of a message is taken before it."""
    port = gateway.ports["tls-required"]

    in_clear = swaks(port, to=mailbox)
    assert in_clear.status == 23
    assert "530 5.7.0 must issue a STARTTLS command first" in in_clear.output
    assert not smtp_source(port).ok
    assert swaks(port, "-tls", to=mailbox).ok
    assert came_with(gateway, mailbox) == ["ESMTPS"]
