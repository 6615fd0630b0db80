"""`mailport validate --connect`: what it finds of each route's destination, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailport.__main__ import main
from mailport.deliver import registry
from tests.clients.test_next_hops import login, second_mailport, write
from tests.ports import free_port
from tests.serving import PASSWORD, USER, Serving, document
from tests.tables import table

LOCAL = "--allow-local-destinations"


def written(folder: Path, *routes: tuple[str, dict[str, Any]]) -> str:
    """Write a document with these routes; return its path."""
    spec = {
        "routes": [
            {"name": name, "recipients": [f"*@{name}.example.org"], "deliver": deliver} for name, deliver in routes
        ]
    }
    (folder / "mx.json").write_text(json.dumps(document(spec)))
    return str(folder / "mx.json")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """Run the command; return its exit status, and what it says of routes."""
    code = main(["validate", *arguments])
    lines = capsys.readouterr().out.splitlines()
    return code, [line.partition(": ")[2] for line in lines if ": route " in line]


def test_each_route_is_told_of_in_its_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Those that go nowhere too, so that nobody looks for them."""
    port = free_port()
    lmtp = {"lmtp": {"host": "127.0.0.1", "port": port}}
    smtp = {
        "smtp": {
            "host": "127.0.0.1",
            "port": port,
            "tls": {"mode": "Implicit"},
            "credentialsSecretRef": {"name": "smarthost"},
        }
    }
    file = written(tmp_path, ("here", {"maildir": {}}), ("staff", lmtp), ("out", smtp), ("none", {"discard": {}}))
    code, said = run(capsys, "--connect", LOCAL, "-f", file)

    assert code == 1
    lacking = "Secret smarthost has no username, Secret smarthost has no password"
    assert said == [
        "route here: maildir: nowhere to connect to",
        f"route staff: lmtp 127.0.0.1 port {port}: Unreachable: 127.0.0.1 port {port}: Connection refused",
        f"route out: smtp 127.0.0.1 port {port}: Misconfigured: {lacking}",
        "route none: discard: nowhere to connect to",
    ]


def test_without_the_option_nobody_is_connected_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = written(tmp_path, ("staff", {"lmtp": {"host": "127.0.0.1", "port": free_port()}}))

    assert run(capsys, "-f", file) == (0, [])


def test_what_goes_nowhere_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = written(tmp_path, ("here", {"maildir": {}}))

    assert run(capsys, "--connect", "-f", file) == (0, ["route here: maildir: nowhere to connect to"])
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    "options, why",
    table(
        {
            "by default": ((), "127.0.0.1 is a loopback address, which is not allowed (--allow-local-destinations)"),
            "what is denied": (
                (LOCAL, "--deny-destinations=127.0.0.0/8"),
                "127.0.0.1 is among the destinations that are denied (--deny-destinations)",
            ),
        }
    ),
)
def test_where_serve_would_not_connect_it_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], why: str
):
    file = written(tmp_path, ("staff", {"lmtp": {"host": "127.0.0.1", "port": (port := free_port())}}))
    code, [said] = run(capsys, "--connect", *options, "-f", file)

    assert code == 1
    assert said == f"route staff: lmtp 127.0.0.1 port {port}: Misconfigured: 127.0.0.1: {why}"


def test_a_document_with_a_fault_is_not_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """2, as without the option: nothing was opened."""
    file = written(tmp_path, ("staff", {"lmtp": {"host": "127.0.0.1"}}))

    assert run(capsys, "--connect", LOCAL, "-f", file) == (2, [])


def test_what_this_installation_cannot_serve_is_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The document may name an image that can: it is valid, and nothing is found of its routes."""
    monkeypatch.setattr(registry, "find_spec", lambda _: None)  # the extra s3 is not installed
    file = written(tmp_path, ("staff", {"s3": {"bucket": "mail"}}))
    changed = json.loads(Path(file).read_text())
    changed["spec"]["pod"] = {"image": "registry.example.org/mailport:9"}
    Path(file).write_text(json.dumps(changed))
    assert main(["validate", "-f", file]) == 0
    code = main(["validate", "--connect", LOCAL, "-f", file])

    assert code == 2
    assert 'spec.routes[0].deliver.s3: needs the extra "s3"' in capsys.readouterr().err


# --- a real next hop that wants TLS and a login


@pytest.fixture(scope="module")
def hop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with second_mailport(tmp_path_factory.mktemp("hop") / "next") as hop:
        yield hop


@pytest.mark.slow
@pytest.mark.parametrize(
    "password, code, says",
    table(
        {
            "the right password": (PASSWORD, 0, "Reachable"),
            "a wrong one": ("battery staple", 1, "Misconfigured: AUTH: 535 5.7.8 "),
        }
    ),
)
def test_a_login_is_tried(tmp_path: Path, hop: Serving, password: str, code: int, says: str):
    """With Secrets from DIR or from the files, and never with a password in what is said."""
    port = hop.ports["submissions"]
    (tmp_path / "mx.json").write_text(json.dumps(document(login(port, "Implicit"))))
    write(tmp_path / "secrets" / "ca", tls_crt=(hop.secret("tls") / "tls.crt").read_bytes())
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login"},
        "stringData": {"username": USER, "password": password},
    }
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    command = [sys.executable, "-m", "mailport", "validate", "--connect", LOCAL, "--secrets", tmp_path / "secrets"]
    files = ["-f", tmp_path / "mx.json", "-f", tmp_path / "secret.json"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == code, done.stdout + done.stderr
    assert f"route onward: smtp 127.0.0.1 port {port}: {says}" in done.stdout
    assert password not in done.stdout + done.stderr
    assert hop.messages(USER) == []
