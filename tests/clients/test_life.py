"""How `mailport serve` begins and ends, as a person, a kubelet or systemd sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.driver import Driver
from tests.clients.programs import RECIPIENT, Ran, run, send, takes_connections
from tests.serving import Serving, document, eventually, free_port, serving
from tests.tables import table

pytestmark = pytest.mark.slow

QUEUED = "250 2.0.0 Ok: queued as "
STOPPING = "421 4.3.2 service is shutting down, try again later"
MAILPORT = (sys.executable, "-m", "mailport")


def ended(gateway: Serving) -> int:
    """Wait for its end, and return the exit status."""
    return gateway.process.wait(30)


def events(gateway: Serving) -> list[str]:
    return [line["event"] for line in gateway.log()]


# Stopping.


def test_an_idle_gateway_ends_at_once(tmp_path):
    """SIGTERM without anything to wait for: exit 0, and the last lines of the log say so."""
    with serving(tmp_path, {}) as gateway:
        assert gateway.stop() == 0
        # A route's first check may come to its end in the same moment
        said = [line for line in gateway.log() if line["event"] != "destination is reachable"]
        assert [line["event"] for line in said[-2:]] == ["draining", "drained"]
        assert said[-1]["aborted"] == 0


def test_open_transactions_are_finished(tmp_path):
    """A message under way gets its 250, those who wait hear 421 at once, and nobody new is let in."""
    with serving(tmp_path, {"listeners": [{"name": "smtp"}, {"name": "extra"}]}) as gateway:
        busy, idle, fresh = Driver(gateway.port).start(), Driver(gateway.port).start(), Driver(gateway.ports["extra"])
        with busy, idle, fresh:
            busy.envelope(RECIPIENT).send("DATA")
            assert busy.reply().startswith("354 ")
            assert fresh.reply().startswith("220 ")
            gateway.process.send_signal(signal.SIGTERM)

            assert (idle.reply(), idle.reply()) == (STOPPING, "")
            assert (fresh.reply(), fresh.reply()) == (STOPPING, "")
            assert not takes_connections(gateway.port)
            assert not takes_connections(gateway.ports["extra"])
            assert gateway.status()["draining"] is True
            assert gateway.get("/readyz") == (503, "draining\n")
            assert gateway.get("/livez")[0] == 200
            assert busy.say(b"hello\r\n.\r\n").startswith(QUEUED)
            assert (busy.reply(), busy.reply()) == (STOPPING, "")  # it has become idle
        assert ended(gateway) == 0
        assert len(gateway.messages(RECIPIENT)) == 1
        assert gateway.log()[-1]["aborted"] == 0


def test_commands_behind_a_message(tmp_path):
    """What a client has sent already is answered: the message with 250, the next transaction with 421."""
    with serving(tmp_path, {}) as gateway, Driver(gateway.port) as client:
        client.start().envelope(RECIPIENT).send("DATA")
        assert client.reply().startswith("354 ")
        gateway.process.send_signal(signal.SIGTERM)
        gateway.logged(event="draining")
        client.send(b"hello\r\n.\r\nMAIL FROM:<bob@example.com>\r\nQUIT\r\n")

        assert client.reply().startswith(QUEUED)
        assert (client.reply(), client.reply()) == (STOPPING, "")
        assert ended(gateway) == 0


def test_what_takes_longer_than_drain_seconds(tmp_path):
    """It is aborted: its sender hears 421 and keeps the message, of which nothing is left here."""
    with serving(tmp_path, {"limits": {"drainSeconds": 1}}) as gateway, Driver(gateway.port) as client:
        client.start().envelope(RECIPIENT)
        assert client.say(b"BDAT 300000\r\n" + b"x" * 300_000) == "250 2.0.0 chunk received"
        gateway.process.send_signal(signal.SIGTERM)

        assert client.reply() == STOPPING
        assert ended(gateway) == 0
        assert gateway.log()[-1]["aborted"] == 1
        assert not list(gateway.mail.glob("*/*/*/*"))


def test_shutdown_delay(tmp_path):
    """Not ready, and serving on while load balancers notice; then it drains."""
    with serving(tmp_path, {}, "--shutdown-delay", "3") as gateway, Driver(gateway.port) as client:
        client.start()
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: gateway.get("/readyz") == (503, "draining\n"), "not ready")

        send(gateway.port)  # a new connection
        assert client.say("NOOP") == "250 2.0.0 Ok"
        assert client.reply() == STOPPING
        assert ended(gateway) == 0
        assert len(gateway.messages(RECIPIENT)) == 1


def test_ctrl_c_does_not_wait(tmp_path):
    """SIGINT is a person at a terminal: the shutdown delay is not for them, the drain is."""
    with serving(tmp_path, {}, "--shutdown-delay", "60") as gateway, Driver(gateway.port) as client:
        client.start()
        gateway.process.send_signal(signal.SIGINT)

        assert client.reply() == STOPPING
        client.socket.close()
        assert ended(gateway) == 0


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it(tmp_path, first, second):
    """At once, with exit 1; what was under way is not half delivered."""
    with serving(tmp_path, {}) as gateway, Driver(gateway.port) as client:
        client.start().envelope(RECIPIENT)
        assert client.say(b"BDAT 300000\r\n" + b"x" * 300_000) == "250 2.0.0 chunk received"
        gateway.process.send_signal(first)
        gateway.logged(event="draining")
        gateway.process.send_signal(second)

        assert ended(gateway) == 1
        assert client.reply() == STOPPING
        assert not list(gateway.mail.glob("*/*/*/*"))


def test_a_second_signal_within_the_delay(tmp_path):
    """It ends the delay too."""
    with serving(tmp_path, {}, "--shutdown-delay", "60") as gateway:
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: gateway.get("/readyz")[0] == 503, "not ready")
        assert gateway.stop() == 1


@pytest.mark.parametrize("early", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_early(tmp_path, early):
    """While the document is still to come, from a pipe or from a mount that hangs: nothing is open yet, and it ends."""
    document_file = tmp_path / "inboundsmtp.json"
    os.mkfifo(document_file)
    process = subprocess.Popen(
        [*MAILPORT, "serve", "-f", document_file, "--data", tmp_path / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process, document_file.open("w"):  # opens once it is read
        process.send_signal(early)
        output, _ = process.communicate(timeout=30)

    assert (process.returncode, output) == (0, b"")


# Not starting.


def start(folder: Path, content: str, *options: str) -> Ran:
    """Serve a document that is not expected to last."""
    (folder / "inboundsmtp.yaml").write_text(content)
    return run(*MAILPORT, "serve", "-f", str(folder / "inboundsmtp.yaml"), "--data", str(folder / "data"), *options)


def with_spec(**change: Any) -> str:
    return json.dumps(document(change))


@pytest.mark.parametrize(
    ("content", "complaints"),
    table(
        {
            "every fault is named by its path": (
                with_spec(hostname="mx", limits={"maxErrors": "20"}),
                ["spec.hostname", "spec.limits.maxErrors"],
            ),
            "a rule": (
                with_spec(listeners=[{"name": "smtp", "tls": {"mode": "StartTLS"}}]),
                ["spec.listeners[0].tls.mode"],
            ),
            "no YAML": ("spec: [", ["inboundsmtp.yaml"]),
            "nothing": ("", ["inboundsmtp.yaml"]),
            "two of them": (f"{with_spec()}\n---\n{with_spec()}", ["inboundsmtp.yaml"]),
        }
    ),
)
def test_a_document_that_does_not_load(tmp_path, content, complaints):
    """Exit 2, each fault on a line with its file and path, and nothing was opened."""
    ran = start(tmp_path, content)
    messages = [json.loads(line)["message"] for line in ran.output.splitlines()]

    assert ran.status == 2
    assert [any(complaint in message for message in messages) for complaint in complaints] == [True] * len(complaints)
    assert all(str(tmp_path / "inboundsmtp.yaml") in message for message in messages)
    assert len(messages) == len(complaints)
    assert not (tmp_path / "data").exists()


def test_no_socket_is_opened_for_a_bad_document(tmp_path):
    """Not even for a moment, and the admin port neither."""
    (tmp_path / "bad.json").write_text(with_spec(hostname="mx"))
    (tmp_path / "good.json").write_text(with_spec())

    def traced(name: str) -> str:
        serve = (*MAILPORT, "serve", "-f", str(tmp_path / name), "--data", str(tmp_path), "--admin", "203.0.113.1:80")
        return run("strace", "-f", "-e", "trace=listen", *serve).output

    assert "listen(" not in traced("bad.json")
    assert "listen(" in traced("good.json")  # it ends all the same: the admin address is not ours


def test_a_document_that_is_not_there(tmp_path):
    """Exit 2 and one line."""
    ran = run(*MAILPORT, "serve", "-f", str(tmp_path / "none.yaml"))

    assert ran.status == 2
    assert ran.output.count("\n") == 1
    assert f"{tmp_path / 'none.yaml'}: No such file or directory" in ran.output


@pytest.mark.parametrize(
    "options",
    [["--shutdown-delay", "301"], ["--admin", "nowhere"], ["--no-such-option"]],
    ids=lambda options: options[0],
)
def test_a_bad_option(tmp_path, options):
    """Exit 2, as for a bad document."""
    ran = start(tmp_path, with_spec(), *options)

    assert ran.status == 2
    assert "mailport serve: error: " in ran.output or "mailport: error: " in ran.output


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield


def test_a_port_that_is_taken(tmp_path):
    """Exit 1 and one line of JSON; the sockets that were open by then are closed."""
    ports = [free_port() for _ in range(3)]
    spec = {
        "listeners": [{"name": f"smtp-{port}", "port": port} for port in ports],
        "network": {"bindAddresses": ["127.0.0.2", "127.0.0.1"]},
    }
    with taken(ports[1]):
        ran = start(tmp_path, with_spec(**spec))

    assert ran.status == 1
    assert [json.loads(line) for line in ran.output.splitlines()] == [
        {"reason": "CannotBind", "message": f"cannot listen on 127.0.0.1:{ports[1]}: Address already in use"}
    ]
    assert not any(map(takes_connections, ports))


@pytest.mark.parametrize(
    ("network", "complaint"),
    table(
        {
            "an address of another host": ({"bindAddresses": ["203.0.113.1"]}, "cannot listen on 203.0.113.1:"),
            "a CIDR that this host is not in": (
                {"bindAddresses": ["203.0.113.0/24"]},
                "spec.network.bindAddresses: no address of this host is in 203.0.113.0/24",
            ),
        }
    ),
)
def test_an_address_that_is_not_ours(tmp_path, network, complaint):
    """Exit 1 and one line."""
    ran = start(tmp_path, with_spec(network=network))
    (line,) = ran.output.splitlines()

    assert ran.status == 1
    assert json.loads(line)["message"].startswith(complaint)


def test_a_scratch_folder_that_is_not_there(tmp_path):
    """Large messages would be 451 for days, and small ones would hide it."""
    ran = start(tmp_path, with_spec(), "--scratch", str(tmp_path / "gone"))

    assert ran.status == 1
    assert json.loads(ran.output) == {
        "reason": "ScratchUnusable",
        "message": f"--scratch {tmp_path / 'gone'}: No such file or directory",
    }


def test_the_password_that_dev_makes_is_shown_though_nothing_can_be_served(tmp_path):
    """It is shown once: the next start finds it made."""
    port = free_port()
    spec = {"listeners": [{"name": "smtp", "port": port}], "auth": {"htpasswd": {"secretRef": {"name": "users"}}}}
    with taken(port):
        ran = start(tmp_path, with_spec(network={"bindAddresses": ["127.0.0.1"]}, **spec), "--dev")

    assert ran.status == 1
    assert "password" in ran.output
    assert "Address already in use" in ran.output


def test_an_admin_port_that_is_taken(tmp_path):
    """Likewise; mail is not taken by what nobody can look at."""
    admin = free_port()
    with taken(admin):
        ran = start(tmp_path, with_spec(), "--admin", f"127.0.0.1:{admin}")
    (line,) = ran.output.splitlines()

    assert ran.status == 1
    assert json.loads(line)["message"] == f"--admin 127.0.0.1:{admin}: Address already in use"
