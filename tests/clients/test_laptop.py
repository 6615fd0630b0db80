"""`mailport serve --dev` and `mailport send`: a first mail in a minute, with no certificate or user to begin with."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.programs import RECIPIENT, Ran, curl, run, swaks
from tests.serving import document, eventually

pytestmark = pytest.mark.slow

MAILPORT = (sys.executable, "-m", "mailport")
DEV = {
    "listeners": [
        {"name": "smtp", "auth": {"mode": "Never"}},
        {"name": "submission", "auth": {"required": True}},
        {"name": "submissions", "tls": {"mode": "Implicit"}, "auth": {"required": True}},
    ],
    "tls": {"certificateRefs": [{"name": "local-tls"}]},
    "auth": {"htpasswd": {"secretRef": {"name": "local-users"}}},
}


@contextmanager
def on_a_laptop(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int], Path]]:
    """Serve with --dev; what it says is read from a file."""
    whole = document(DEV)
    ports = {one["name"]: one["port"] for one in whole["spec"]["listeners"]}
    (folder / "inboundsmtp.json").write_text(json.dumps(whole))
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [*MAILPORT, "serve", "-f", folder / "inboundsmtp.json", "--data", folder / "data", "--dev"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: "Ctrl-C ends it" in said.read_text(), "the welcome")
        yield process, ports, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_dev(tmp_path):
    """--dev makes a certificate and a user; what it says can be tried as it stands, and Ctrl-C ends with 0."""
    with on_a_laptop(tmp_path) as (process, ports, said):
        text = said.read_text()
        user, password = re.search(r"^user (\S+), password (\S+) \(", text, re.MULTILINE).groups()
        for port in ports.values():
            assert f"127.0.0.1:{port}" in text
        as_server, as_user = re.findall(r"^ +python3 -m mailport (send .*)$", text, re.MULTILINE)
        sent = run(*MAILPORT, *as_server.split())
        assert sent.ok, sent.output
        assert "250 2.0.0 Ok: queued as" in sent.output
        sent = run(*MAILPORT, *as_user.split(), "--password-stdin", stdin=f"{password}\n")
        assert sent.ok, sent.output
        assert f"MAIL FROM:<{user}>" in sent.output
        (example,) = re.findall(r"^ +(swaks .*)$", text, re.MULTILINE)
        assert run(*example.split()).ok
        assert len(list((tmp_path / "data/mail/default/example.org/anna/new").iterdir())) == 3

        login = ("--auth", "--auth-user", user, "--auth-password", password)
        assert swaks(ports["submission"], "-tls", *login).ok
        assert swaks(ports["submissions"], "-tlsc", *login).ok
        assert not swaks(ports["submission"], "-tls").ok
        certificate = tmp_path / "data/dev/local-tls/tls.crt"
        assert curl(
            f"smtps://127.0.0.1:{ports['submissions']}", "--cacert", str(certificate), "--user", f"{user}:{password}"
        ).ok
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert password not in "".join(
            path.read_text(errors="replace") for path in (tmp_path / "data" / "dev").rglob("*") if path.is_file()
        )

    with on_a_laptop(tmp_path) as (process, ports, said):
        assert "password" in said.read_text()
        assert password not in said.read_text()
        assert swaks(ports["submission"], "-tls", *login).ok
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_dev_tells_of_what_it_makes_later(tmp_path):
    """A user that the document comes to need while it is served: the password is told then."""
    with on_a_laptop(tmp_path) as (_, _, said):
        file = tmp_path / "inboundsmtp.json"
        file.write_text(file.read_text().replace("local-users", "other-users"))

        def logins() -> list[tuple[str, str]]:
            return re.findall(r"^user (\S+), password (\S+) \(", said.read_text(), re.MULTILINE)

        (_, first), (user, second) = eventually(lambda: len(logins()) == 2 and logins(), "a second user")
        assert first != second
        assert (tmp_path / "data/dev/other-users/htpasswd").read_text().startswith(f"{user}:")


def test_send_in_every_way(tmp_path):
    """`mailport send` over STARTTLS, over implicit TLS, with a login, and refused."""
    with on_a_laptop(tmp_path) as (_, ports, said):
        user, password = re.search(r"^user (\S+), password (\S+) \(", said.read_text(), re.MULTILINE).groups()

        def mailport_send(listener: str, *options: str, to: str = RECIPIENT) -> Ran:
            return run(
                *(*MAILPORT, "send", "--to", to, "--server", f"127.0.0.1:{ports[listener]}", *options),
                stdin=f"{password}\n",
            )

        as_user = ("--user", user, "--password-stdin")
        assert mailport_send("smtp").ok
        assert mailport_send("submission", *as_user).ok
        assert mailport_send("submissions", "--tls", "implicit", *as_user).ok
        assert len(list((tmp_path / "data/mail/default/example.org/anna/new").iterdir())) == 3

        nobody = mailport_send("submission")
        assert nobody.status == 1
        assert "530 5.7.0 authentication required" in nobody.output
        stranger = mailport_send("smtp", to="anna@example.net")
        assert stranger.status == 1
        assert "550 5.7.1 relaying denied" in stranger.output
        assert password not in mailport_send("submission", *as_user).output
