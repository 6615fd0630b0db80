"""`mailport serve` with routes to other mail servers: a real Postfix, and a Mailport that wants TLS and a login."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deliver.next_hop import servers
from tests.disks import needs_root
from tests.serving import HOSTNAME, PASSWORD, USER, Serving, eventually, free_port, serving
from tests.tables import table

pytestmark = pytest.mark.slow

LOCAL = "--allow-local-destinations"
MESSAGE = "Subject: onward\r\n\r\nbody\r\n"


def to_smtp(port: int, **settings: object) -> dict[str, object]:
    smtp = {"host": "127.0.0.1", "port": port, "tls": {"mode": "Disabled"}, **settings}
    return {"routes": [{"name": "onward", "recipients": ["*@example.org"], "deliver": {"smtp": smtp}}]}


def replies(server: Serving, recipient: str = "anna@example.org") -> tuple[int, bytes]:
    """Send a message; return what RCPT was answered, or where it was 250 what the content was."""
    with smtplib.SMTP("127.0.0.1", server.port, timeout=30) as client:
        client.ehlo("client.example.net")
        client.mail("sender@example.net")
        answer = client.rcpt(recipient)
        return answer if answer[0] != 250 else client.data(MESSAGE)


def logs(server: Serving, text: str) -> None:
    """Wait for a line of the log with this in it."""
    eventually(lambda: text in (server.folder / "log").read_text(), f"{text!r} in the log")


@contextmanager
def second_mailport(folder: Path) -> Iterator[Serving]:
    """A next hop with its own certificate, that takes mail from its user alone."""
    folder.mkdir()
    listeners = [
        {"name": "submission", "tls": {"mode": "StartTLSRequired"}, "auth": {"required": True}},
        {"name": "submissions", "tls": {"mode": "Implicit"}, "auth": {"required": True}},
        {"name": "clear"},
    ]
    spec = {
        "listeners": listeners,
        "tls": {"certificateRefs": [{"name": "tls"}]},
        "auth": {"htpasswd": {"secretRef": {"name": "users", "key": "htpasswd"}}},
    }
    with serving(folder, spec) as running:
        yield running


def login(port: int, mode: str, **tls: object) -> dict[str, object]:
    tls = {"mode": mode, "serverName": HOSTNAME, "caRef": {"kind": "Secret", "name": "ca", "key": "tls.crt"}, **tls}
    return to_smtp(port, tls=tls, credentialsSecretRef={"name": "login"})


def write(folder: Path, **values: str | bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in values.items():
        new = folder / f"new-{key}"
        new.write_bytes(value if isinstance(value, bytes) else value.encode())
        new.rename(folder / key.replace("_", "."))


@pytest.mark.parametrize(
    "listener, mode", table({"STARTTLS": ("submission", "StartTLSRequired"), "implicit": ("submissions", "Implicit")})
)
def test_a_next_hop_that_wants_tls_and_a_login(tmp_path: Path, listener: str, mode: str):
    """Nothing goes through before the Secrets are there, and a Secret that comes or changes is taken up."""
    with second_mailport(tmp_path / "next") as hop:
        (tmp_path / "first").mkdir()
        with serving(tmp_path / "first", login(hop.ports[listener], mode), LOCAL) as server:
            assert replies(server)[0] == 451
            missing = {(one["kind"], one["name"], one["key"]) for one in server.status()["missing"]}
            assert missing == {
                ("Secret", "login", "username"),
                ("Secret", "login", "password"),
                ("Secret", "ca", "tls.crt"),
            }

            write(server.secret("ca"), tls_crt=(hop.secret("tls") / "tls.crt").read_bytes())
            write(server.secret("login"), username=USER, password="wrong")
            eventually(lambda: not server.status()["missing"], "nothing missing")
            assert replies(server)[0] == 451
            server.logged(reason="destination_misconfigured", reply="451 4.3.0")
            logs(server, "AUTH: 535 5.7.8")
            assert PASSWORD not in (server.folder / "log").read_text()

            write(server.secret("login"), username=USER, password=f"{PASSWORD}\n")
            eventually(lambda: replies(server)[0] == 250, "250")
            assert len(eventually(lambda: hop.messages("anna@example.org"), "the message")) == 1


@pytest.mark.parametrize(
    "listener, mode, tls, why",
    table(
        {
            "another name": (
                "submission",
                "StartTLSRequired",
                {"serverName": "other.example.org"},
                "Hostname mismatch",
            ),
            "a CA that is not public": ("submissions", "Implicit", {"caRef": None}, "self-signed"),
            "no TLS where it begins": ("submission", "Implicit", {}, "TLS"),
        }
    ),
)
def test_who_does_not_prove_its_name_gets_nothing(
    tmp_path: Path, listener: str, mode: str, tls: dict[str, object], why: str
):
    """No mail, and no password."""
    with second_mailport(tmp_path / "next") as hop:
        (tmp_path / "first").mkdir()
        secrets = tmp_path / "first" / "secrets"
        write(secrets / "ca", tls_crt=(hop.secret("tls") / "tls.crt").read_bytes())
        write(secrets / "login", username=USER, password=PASSWORD)
        settings = {key: value for key, value in tls.items() if value is not None}
        spec = login(hop.ports[listener], mode, **settings)
        if "caRef" in tls:
            del spec["routes"][0]["deliver"]["smtp"]["tls"]["caRef"]
        with serving(tmp_path / "first", spec, LOCAL) as server:
            assert replies(server)[0] == 451
            logs(server, why)
        assert hop.messages("anna@example.org") == []


@pytest.mark.parametrize(
    "options, why",
    table(
        {
            "local addresses are not allowed by themselves": ([], "--allow-local-destinations"),
            "what is denied stays denied": ([LOCAL, "--deny-destinations", "127.0.0.0/8"], "--deny-destinations"),
        }
    ),
)
def test_where_no_connection_may_go_none_goes(tmp_path: Path, options: list[str], why: str):
    """The next hop sees none, the client 451, the log the reason."""
    (tmp_path / "next").mkdir()
    (tmp_path / "first").mkdir()
    with serving(tmp_path / "next", {}) as hop, serving(tmp_path / "first", to_smtp(hop.port), *options) as server:
        assert replies(server)[0] == 451
        logs(server, why)
        assert 'mailport_connections_total{listener="smtp"} 1.0' not in hop.get("/metrics")[1]


def test_what_is_forbidden_by_a_name_too(tmp_path: Path):
    (tmp_path / "next").mkdir()
    (tmp_path / "first").mkdir()
    with serving(tmp_path / "next", {}) as hop:
        with serving(tmp_path / "first", to_smtp(hop.port, host="localhost")) as server:
            assert replies(server)[0] == 451
        assert 'mailport_connections_total{listener="smtp"} 1.0' not in hop.get("/metrics")[1]


@needs_root
def test_postfix_behind_us(tmp_path: Path):
    """Mail arrives; an unknown recipient is refused at RCPT by Postfix' own reply; while it is away mail is 451."""
    with servers.postfix() as postfix, serving(tmp_path, to_smtp(postfix.port), LOCAL) as server:
        assert replies(server)[0] == 250
        [message] = eventually(lambda: postfix.messages("anna"), "the message")
        assert b"\tby mx.example.org with ESMTP\r\n" in message
        code, text = replies(server, "nobody@example.org")
        assert (code, text[:6]) == (550, b"5.1.1 ")
        assert replies(server, '"anna%other.example"@example.org')[0] == 553
        postfix.stop()
        assert replies(server)[0] == 451
        postfix.start()
        eventually(lambda: replies(server)[0] == 250, "250 again", seconds=60)


def test_a_port_without_a_server(tmp_path: Path):
    """A client that waits is not kept waiting: after a few failures 451 comes at once."""
    with serving(tmp_path, to_smtp(free_port()), LOCAL) as server:
        assert {replies(server)[0] for _ in range(8)} == {451}
