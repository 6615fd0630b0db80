"""Mail into a cluster: the chart installed, an InboundSmtp applied, and real clients."""

import json
import shutil
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_der_x509_certificate

from mailport.listener.hashes import hash_password
from tests.e2e import mail
from tests.e2e.machine import HOST
from tests.e2e.mail import HOSTNAME, PASSWORD, USER
from tests.e2e.release import (
    NAME,
    OPERATOR,
    SYSTEM,
    Gateway,
    Release,
    answers,
    anybody,
    connect,
    gateway,
    seconds_until,
    send,
)
from tests.kube.cluster import ROOT
from tests.ports import free_port

TLS = {"certificateRefs": [{"name": "mx-tls"}]}
AUTH = {"htpasswd": {"secretRef": {"name": "mx-users"}}}
SECRET_SECONDS = 150  # until a changed Secret is in use; the kubelet takes a minute or more


@pytest.fixture
def mx(release: Release, tmp_path: Path) -> Iterator[Gateway]:
    """A namespace of the restricted standard, for a gateway."""
    with gateway(release.node, tmp_path / "mail") as made:
        yield made


@pytest.fixture(scope="module")
def steady(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose settings are changed while it runs, by test after test."""
    with gateway(release.node, tmp_path_factory.mktemp("mail") / "mail") as made:
        made.apply(tls=TLS, auth=AUTH)
        made.wait()
        yield made


def reply(place: tuple[str, int], *commands: str, tls: bool = False) -> str:
    """Return the last reply to some commands after EHLO, or the greeting that refuses; empty where there is none."""
    try:
        with connect(place, tls=tls) as server:
            said = ""
            for command in commands:
                code, text = server.docmd(command)
                said = f"{code} {text.decode()}"
            return said or f"250 {' '.join(server.esmtp_features)} SIZE {server.esmtp_features.get('size')}"
    except smtplib.SMTPConnectError as error:
        return f"{error.smtp_code} {error.smtp_error!r}"
    except smtplib.SMTPHeloError as error:
        return f"{error.smtp_code} {error.smtp_error!r}"
    except (OSError, smtplib.SMTPException):
        return ""


# --- it takes mail


def test_mail_comes_in_by_the_service_and_the_node_port_and_lies_on_the_volume(mx):
    """After `kubectl wait --for=condition=Ready`, and not before there is need to."""
    begin = mx.apply()
    mx.wait()
    mx.node.say(f"from kubectl apply to Ready: {time.monotonic() - begin:.1f} s")
    send(mx.service(), "service@example.org")
    send(mx.node_port(), "port@example.org")

    assert len(mx.messages("service@example.org")) == 1
    assert len(mx.messages("port@example.org")) == 1
    assert {entry["value"] for entry in mx.get()["status"]["addresses"]} >= {mx.service()[0]}


def test_a_bad_document_is_refused_by_the_api_server_with_the_fields_path(mx):
    with pytest.raises(AssertionError) as refused:
        mx.apply(listeners=[{"name": "smtp", "port": 25}, {"name": "again", "port": 25}])

    assert "spec.listeners: Invalid value" in str(refused.value)
    assert "a port is bound once: each listener needs its own" in str(refused.value)


def test_what_is_missing_is_named_and_heals_when_it_appears(mx):
    """The rest serves meanwhile; no pod begins anew for it."""
    mx.apply(
        tls=TLS | {"certificateRefs": [{"name": "mx-tls"}]},
        auth={"htpasswd": {"secretRef": {"name": "late"}}},
        listeners=[
            {"name": "smtp", "port": 25, "auth": {"mode": "Never"}},
            {"name": "submission", "port": 587, "auth": {"mode": "SecureOnly", "required": True}},
        ],
    )
    mx.until("ResolvedRefs", "SecretNotFound")
    mx.node.wait_for("the pod runs", lambda: bool(mx.starts()))
    before = mx.starts()
    pod = mx.pods()[0]["status"]["podIP"]
    send((pod, 25), "meanwhile@example.org")
    users = {"htpasswd": f"{USER}:{hash_password(PASSWORD)}\n"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": users}
    mx.node.apply(secret, namespace=mx.namespace)
    begin = time.monotonic()
    mx.wait()
    mx.node.say(f"from the Secret's creation to Ready: {time.monotonic() - begin:.1f} s")
    with connect(mx.service(587), tls=True) as server:
        server.login(USER, PASSWORD)

    assert len(mx.messages("meanwhile@example.org")) == 1
    assert mx.starts() == before


def test_the_example_of_the_quick_start_takes_mail(mx):
    """docs/quick-start.md, from the claim to the mailbox."""
    mx.node.apply((ROOT / "examples/cluster.yaml").read_text(), namespace=mx.namespace)
    mx.wait()
    send(mx.node_port(), "anna@example.org")
    with connect(mx.node_port("submission"), tls=True) as server:
        server.login(USER, PASSWORD)
        server.sendmail(USER, ["bob@example.org"], "Subject: submitted\r\n\r\nhello\r\n")

    assert len(mx.messages("anna@example.org")) == 1
    assert len(mx.messages("bob@example.org")) == 1


def test_helm_test_passes(release):
    """The chart's own: an InboundSmtp, a message, and nothing left of it."""
    said = release.helm("test", "mailport", f"--namespace={SYSTEM}", "--timeout=180s")

    assert "Succeeded" in said
    assert "mailport-test" not in release.node.kubectl("get", "inboundsmtps", "--all-namespaces", "--output=name")


# --- settings take effect in running pods


def banned(mx: Gateway) -> bool:
    return reply(mx.node_port()).startswith("554")


SETTINGS: dict[str, tuple[dict[str, Any], Callable[[Gateway], bool]]] = {
    "2 and 13: STARTTLS is required": (
        {"listeners": [{"name": "smtp", "port": 25, "tls": {"mode": "StartTLSRequired"}}]},
        lambda mx: reply(mx.service(), "MAIL FROM:<a@example.net>").startswith("530"),
    ),
    "2: TLS from the first byte": (
        {"listeners": [{"name": "smtp", "port": 25, "tls": {"mode": "Implicit"}}]},
        lambda mx: implicit(mx.service()),
    ),
    "13: STARTTLS is not offered": (
        {"listeners": [{"name": "smtp", "port": 25, "tls": {"mode": "Disabled"}}]},
        lambda mx: "starttls" not in reply(mx.service()),
    ),
    "3: authentication is required before sending": (
        {"listeners": [{"name": "smtp", "port": 25, "auth": {"mode": "SecureOnly", "required": True}}]},
        lambda mx: reply(mx.service(), "MAIL FROM:<a@example.net>", tls=True).startswith("530"),
    ),
    "4: authentication on any connection": (
        {"listeners": [{"name": "smtp", "port": 25, "auth": {"mode": "Always"}}]},
        lambda mx: " auth" in reply(mx.service()),
    ),
    "4: authentication only over TLS": (
        {"listeners": [{"name": "smtp", "port": 25, "auth": {"mode": "SecureOnly"}}]},
        lambda mx: " auth" not in reply(mx.service()) and " auth" in reply(mx.service(), tls=True),
    ),
    "4: authentication never": (
        {"listeners": [{"name": "smtp", "port": 25, "auth": {"mode": "Never"}}]},
        lambda mx: " auth" not in reply(mx.service(), tls=True),
    ),
    "7: concurrent connections": (
        {"limits": {"maxConnections": 1, "shutdownDelaySeconds": 5, "drainSeconds": 30}},
        lambda mx: second_of_two(mx.service()) == "421",
    ),
    "8: the advertised size": (
        {"messageSize": {"advertised": "1Mi"}},
        lambda mx: reply(mx.service()).endswith("SIZE 1048576"),
    ),
    "9: it is not enforced": (
        {"messageSize": {"advertised": 1000, "enforce": False}},
        lambda mx: reply(mx.service(), "MAIL FROM:<a@example.net> SIZE=2000").startswith("250"),
    ),
    "9: it is enforced": (
        {"messageSize": {"advertised": 1000, "enforce": True}},
        lambda mx: reply(mx.service(), "MAIL FROM:<a@example.net> SIZE=2000").startswith("552"),
    ),
    "10: addresses are banned, with a wildcard": (
        {"access": {"policy": "DenyListed", "addresses": [f"{HOST.rpartition('.')[0]}.*"]}},
        banned,
    ),
    "10: others are the only ones let in": (
        {"access": {"policy": "AllowListed", "addresses": ["203.0.113.7"]}},
        banned,
    ),
    "10: this one is let in": (
        {"access": {"policy": "AllowListed", "addresses": [HOST]}},
        lambda mx: not banned(mx),
    ),
}


def implicit(place: tuple[str, int]) -> bool:
    try:
        with (
            socket.create_connection(place, 5) as connection,
            anybody().wrap_socket(connection, server_hostname=HOSTNAME) as wrapped,
        ):
            return wrapped.recv(3) == b"220"
    except OSError:
        return False


def second_of_two(place: tuple[str, int]) -> str:
    with socket.create_connection(place, 5) as first, closing(first.makefile("rb")) as said:
        said.readline()
        with socket.create_connection(place, 5) as second:
            return second.recv(3).decode()


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_takes_effect_in_the_running_pod(steady, setting):
    """By `kubectl apply`, in under 5 s, and nothing begins anew; each beside the defaults."""
    fields, holds = SETTINGS[setting]
    steady.apply(tls=TLS, auth=AUTH)
    steady.wait("ConfigLive")
    before = steady.starts()
    begin = steady.apply(**({"tls": TLS, "auth": AUTH} | fields))
    seconds = seconds_until(setting, lambda: holds(steady), begin)
    steady.node.say(f"{setting}: {seconds:.1f} s")

    assert steady.starts() == before


def test_ports_and_families_change_by_a_rollout_that_drops_nothing(mx):
    """1, 5, 6 and 12: other sockets need other pods; an old port that stays takes mail all the while."""
    mx.apply()
    mx.wait()
    before = mx.starts()
    mx.apply(
        listeners=[{"name": "smtp", "port": 25}, {"name": "submission", "port": 587}, {"name": "other", "port": 2525}],
        network={"ipFamilies": ["IPv4"]},
    )
    deadline = time.monotonic() + 120
    taken = 0
    while mx.starts().keys() & before.keys() or mx.condition("Ready").get("status") != "True":
        assert time.monotonic() < deadline, mx.conditions()
        send(mx.service(), "rollout@example.org")
        taken += 1
        time.sleep(0.1)
    send(mx.service(587), "rollout@example.org")
    send(mx.service(2525), "rollout@example.org")
    mx.node.say(f"{taken} messages taken during a rollout to other ports, none refused")

    assert len(mx.messages("rollout@example.org")) == taken + 2
    assert mx.get()["status"]["ports"] == "25,587,2525"
    assert [pod for pod in mx.pods() if ":" in pod["status"]["podIP"]] == []


def test_on_the_nodes_network_it_binds_the_addresses_named(release, tmp_path):
    """11, with hostNetwork: outside of the restricted standard, and only where the operator allows it."""
    node = release.node
    with gateway(node, tmp_path / "mail", privileged=True) as mx:
        network = {"hostNetwork": True, "bindAddresses": [node.address]}
        mx.apply(network=network, service={"type": "None"})
        mx.until("Accepted", "NotPermitted")
        release.install("allow={loadBalancer,nodePort,hostNetwork}")
        try:
            mx.wait()
            send((node.address, 25), "node@example.org")
            elsewhere = subprocess.run(
                node.inside("python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 25), 3)"),
                capture_output=True,
                text=True,
                check=False,
            )
            addresses = [entry["value"] for entry in mx.get()["status"]["addresses"]]
        finally:
            mx.kubectl("delete", "inboundsmtp", NAME)
            release.install()

        assert len(mx.messages("node@example.org")) == 1
        assert "ConnectionRefused" in elsewhere.stderr
        assert node.address in addresses


def test_a_new_certificate_and_new_users_are_taken_up_and_an_open_session_goes_on(mx):
    """Nothing tells the operator of a Secret: within two minutes, by the kubelet."""
    mx.apply(tls=TLS, auth=AUTH)
    mx.wait()
    before = mx.starts()
    old = serial_number(mx)
    with connect(mx.service(), tls=True) as session:
        renewed = mail.secrets()
        renewed[1]["stringData"] = {"htpasswd": f"bob@example.org:{hash_password('another')}\n"}
        mx.node.apply(*renewed, namespace=mx.namespace)
        begin = time.monotonic()
        seconds = seconds_until("the certificate", lambda: serial_number(mx) != old, begin, SECRET_SECONDS)
        seconds_until("the users", lambda: logs_in(mx, "bob@example.org", "another"), begin, SECRET_SECONDS)
        mx.node.say(f"a replaced certificate is in use after {seconds:.0f} s")
        session.sendmail("sender@example.net", ["open@example.org"], "Subject: open\r\n\r\nstill\r\n")
    mx.node.wait_for(
        "the status has it",
        lambda: mx.get()["status"]["certificates"][0]["serialNumber"] != f"{old:X}",
        120,
    )

    assert len(mx.messages("open@example.org")) == 1
    assert not logs_in(mx, USER, PASSWORD)
    assert mx.starts() == before


def serial_number(mx: Gateway) -> int:
    with connect(mx.service(), tls=True) as server:
        assert isinstance(server.sock, ssl.SSLSocket)
        return load_der_x509_certificate(server.sock.getpeercert(binary_form=True) or b"").serial_number


def logs_in(mx: Gateway, user: str, password: str) -> bool:
    with connect(mx.service(), tls=True) as server:
        try:
            server.login(user, password)
        except smtplib.SMTPAuthenticationError:
            return False
        return True


# --- whose address it is


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_behind_a_proxy_the_clients_address_reaches_the_log_and_the_list(mx, tmp_path, version):
    """haproxy, speaking PROXY: v1 and v2."""
    haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
    mx.apply(
        listeners=[{"name": "smtp", "port": 25, "proxyProtocol": {"trustedCIDRs": [f"{HOST}/32"]}}],
        access={"policy": "DenyListed", "addresses": ["127.0.0.9"]},
    )
    mx.wait()
    port = free_port()
    host, target = mx.node_port()
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
        f"listen smtp\n  bind 127.0.0.1:{port}\n  server mx {host}:{target} {version}\n"
    )
    proxy = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", haproxy, "-db", "-f", str(configuration)])
    try:
        mx.node.wait_for("haproxy listens", lambda: answers(("127.0.0.1", port)))
        with smtplib.SMTP("127.0.0.1", port, timeout=20, source_address=("127.0.0.8", 0)) as server:
            server.sendmail("sender@example.net", ["proxy@example.org"], "Subject: x\r\n\r\nx\r\n")
        with socket.create_connection(("127.0.0.1", port), 20, source_address=("127.0.0.9", 0)) as refused:
            greeting = refused.recv(3)
    finally:
        proxy.terminate()
        proxy.wait()
    logged = mx.node.logs(mx.namespace, mx.pods()[0]["metadata"]["name"])
    lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]

    assert greeting == b"554"
    assert b"[127.0.0.8]" in mx.messages("proxy@example.org")[0]
    assert "127.0.0.8" in {line.get("client") for line in lines if line["event"] == "message"}


# --- its end


def test_deleted_it_takes_its_children_along(mx):
    mx.apply(replicas=1)
    mx.wait()
    mx.kubectl("delete", "inboundsmtp", NAME)

    def left() -> list[str]:
        kinds = "deployment,service,configmap,serviceaccount,poddisruptionbudget,pod"
        selector = f"--selector=mailport.dev/inboundsmtp={NAME}"
        return mx.kubectl("get", kinds, selector, "--output=name").split()

    mx.node.wait_for("all is gone", lambda: left() == [], 90)


def test_without_the_operator_mail_flows_and_uninstalled_it_leaves_the_gateways(release, mx):
    """The definition and the InboundSmtps stay, and so does their mail service; installed again it takes them up."""
    mx.apply()
    mx.wait()
    before = mx.starts()
    release.uninstall()
    try:
        send(mx.service(), "without@example.org")
        assert mx.get()["spec"]["hostname"] == HOSTNAME
    finally:
        release.install("crds.install=false")
    mx.apply(messageSize={"advertised": "2Mi"})
    seconds_until("the operator is back", lambda: reply(mx.service()).endswith("SIZE 2097152"), time.monotonic(), 30)

    assert len(mx.messages("without@example.org")) == 1
    assert mx.starts() == before
    assert OPERATOR in release.node.kubectl("get", "deployments", f"--namespace={SYSTEM}")
