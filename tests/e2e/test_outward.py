"""Where a pod may connect to: what an author names, the administrator allows or denies, and the pod then holds to."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.machine import HOST
from tests.e2e.release import Gateway, connect, gateway
from tests.ports import free_port

IN_THE_POD = 2626


@pytest.fixture
def mx(release, tmp_path: Path) -> Iterator[Gateway]:
    """A namespace of the restricted standard, for a gateway."""
    with gateway(release.node, tmp_path / "mail") as made:
        yield made


def to(name: str, recipient: str, host: str, port: int) -> dict[str, object]:
    deliver = {"smtp": {"host": host, "port": port, "tls": {"mode": "Disabled"}}}
    return {"name": name, "recipients": [recipient], "deliver": deliver}


@contextmanager
def next_hop(address: str, port: int, folder: Path, inside: list[str] | None = None) -> Iterator[None]:
    """Run an SMTP server that keeps what it gets, here or in a pod's network."""
    serve = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"{address}:{port}", "-c", "aiosmtpd.handlers.Mailbox"]
    process = subprocess.Popen([*(inside or []), *serve, str(folder)], stderr=subprocess.DEVNULL)
    ask = [*(inside or []), sys.executable, "-c", f"import socket; socket.create_connection(({address!r}, {port}), 2)"]
    try:
        while subprocess.run(ask, stderr=subprocess.DEVNULL, check=False, timeout=30).returncode:
            assert process.poll() is None
        yield
    finally:
        process.terminate()
        process.wait(30)


def reply(place: tuple[str, int], recipient: str) -> int:
    """Send a message; return the code of the reply that decided."""
    with connect(place) as server:
        server.mail("sender@example.net")
        code, _ = server.rcpt(recipient)
        return code if code != 250 else server.data(b"Subject: hello\r\n\r\nhello\r\n")[0]


def messages(folder: Path) -> int:
    return len(list((folder / "new").glob("*")))


def test_a_local_address_in_a_document_is_not_permitted(mx):
    """With the field, and what would allow it."""
    mx.apply(routes=[to("metadata", "anna@example.org", "169.254.169.254", 80)])
    mx.until("Accepted", "NotPermitted")

    assert mx.condition("Accepted")["message"] == (
        "spec.routes[0].deliver.smtp.host: this operator does not allow it: --allow localDestinations"
    )
    assert mx.condition("Stalled")["status"] == "True"
    assert mx.pods() == []


def test_a_pod_connects_where_the_administrator_lets_it(release, mx, tmp_path):
    """First as by default, then with local destinations allowed, and with a network denied that was open.

    The names are what an author chose; what counts is where they lead. Mail that is not taken stays with its sender.
    """
    port = free_port()
    there, in_the_pod = tmp_path / "there", tmp_path / "in-the-pod"
    routes = [
        to("local", "anna@example.org", "localhost", IN_THE_POD),
        to("network", "bert@example.org", HOST, port),
    ]

    def told(*options: str) -> bool:
        arguments = [set(pod["spec"]["containers"][0]["args"]) for pod in mx.pods()]
        return len(arguments) == 1 and {each for each in arguments[0] if each.startswith(("--al", "--de"))} == {
            *options
        }

    def in_pod() -> list[str]:
        return mx.node.inside_pod(mx.namespace, mx.pods()[0]["metadata"]["name"])

    def log() -> str:
        return mx.node.logs(mx.namespace, mx.pods()[0]["metadata"]["name"])

    with next_hop(HOST, port, there):
        mx.apply(routes=routes)
        mx.wait()
        with next_hop("127.0.0.1", IN_THE_POD, in_the_pod, in_pod()):
            replies = [reply(mx.service(), each) for each in ("anna@example.org", "bert@example.org")]

        mx.until("DestinationsReachable", "Misconfigured")
        said = mx.condition("DestinationsReachable")["message"]

        assert told()
        assert said.startswith("route local: localhost: ")
        assert "127.0.0.1 is a loopback address, which is not allowed (--allow-local-destinations)" in said
        assert mx.condition("Ready")["status"] == "True"
        assert replies == [451, 250]
        assert "127.0.0.1 is a loopback address, which is not allowed (--allow-local-destinations)" in log()
        assert (messages(in_the_pod), messages(there)) == (0, 1)

        options = ("--allow-local-destinations", f"--deny-destinations={HOST}/32")
        release.install("allow={nodePort,localDestinations}", f"denyDestinations={{{HOST}/32}}")
        try:
            mx.node.wait_for("its pods are told", lambda: told(*options), 90)
            mx.until("ConfigLive", "Live")
            mx.wait()
            with next_hop("127.0.0.1", IN_THE_POD, in_the_pod, in_pod()):
                replies = [reply(mx.service(), each) for each in ("anna@example.org", "bert@example.org")]

            mx.until("DestinationsReachable", "Misconfigured")
            said = mx.condition("DestinationsReachable")["message"]

            assert f"route network: {HOST}: {HOST} is among the destinations that are denied" in said
            assert replies == [250, 451]
            assert f"{HOST} is among the destinations that are denied (--deny-destinations)" in log()
            assert (messages(in_the_pod), messages(there)) == (1, 1)
        finally:
            release.install()
