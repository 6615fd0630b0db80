"""`mailport send` against a server that is not ours."""

from __future__ import annotations

import argparse
import io
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from mailport.commands import send
from mailport.contract.model import TlsVersion
from mailport.listener.secrets import Secrets, Sources
from mailport.listener.tls import Certificates, self_signed
from tests.tables import table

PASSWORD = "pässword"


class Mailbox:
    """Keeps what comes, and refuses whom it is told to."""

    def __init__(self) -> None:
        self.messages: list[Envelope] = []
        self.users: list[object] = []
        self.refused: dict[str, str] = {}
        self.after_data = "250 2.0.0 Ok: queued as 1"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.messages.append(envelope)
        self.users.append(session.auth_data)
        return self.after_data


def authenticator(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    right = (data.login, data.password) == (b"anna", PASSWORD.encode())
    return AuthResult(success=right, handled=False, auth_data=data.login)


class Server(Controller):
    """aiosmtpd's own, on a port that the kernel chooses."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost; the key beside it."""
    chain, key = self_signed("mx.example.org", datetime.now(UTC))
    (tmp_path / "tls.crt").write_bytes(chain)
    (tmp_path / "tls.key").write_bytes(key)
    return tmp_path / "tls.crt"


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    pair = {"tls.crt": certificate.read_bytes(), "tls.key": certificate.with_name("tls.key").read_bytes()}
    loaded = Certificates().load(["mx"], Secrets(secrets=Sources({"mx": pair})), TlsVersion.V1_2, datetime.now(UTC))
    assert loaded.context is not None
    return loaded.context


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


Serve = Callable[..., str]


@pytest.fixture
def serve(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server; return where it is."""
    servers = []
    monkeypatch.setattr("socket.getfqdn", lambda: "mx.example.org")  # aiosmtpd asks the DNS

    def start(**options: Any) -> str:
        server = Server(mailbox, hostname="127.0.0.1", port=0, **options)
        server.start()
        servers.append(server)
        return f"127.0.0.1:{server.port}"

    yield start
    for server in servers:
        server.stop()


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    send.add_arguments(parser)
    return send.run(parser.parse_args(arguments))


def test_a_message_is_taken(serve: Serve, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The conversation is shown, and what the server says of the message."""
    server = serve()
    assert run("--server", server, "--to", "anna@example.org", "--from", "bob@example.org", "--subject", "Grüße") == 0

    out, err = capsys.readouterr()
    (message,) = mailbox.messages
    assert (message.mail_from, message.rcpt_tos) == ("bob@example.org", ["anna@example.org"])
    assert message.content is not None
    assert b"\r\nIt works.\r\n" in bytes(message.content)
    assert err == ""
    lines = [line for line in out.splitlines() if not line.startswith("S: 250-")]
    assert lines[0].startswith("S: 220 mx.example.org")
    assert lines[1].startswith("C: ehlo ")
    assert [line for line in lines[3:] if "octets" not in line] == [
        f"C: MAIL FROM:<bob@example.org> SIZE={len(bytes(message.content))}",
        "S: 250 OK",
        "C: RCPT TO:<anna@example.org>",
        "S: 250 2.1.5 Ok",
        "C: data",
        "S: 354 End data with <CR><LF>.<CR><LF>",
        "S: 250 2.0.0 Ok: queued as 1",
        "C: quit",
        "S: 221 Bye",
        "* accepted: 2.0.0 Ok: queued as 1",
    ]


def test_a_message_in_a_file_is_sent_as_it_is(serve: Serve, mailbox: Mailbox, tmp_path: Path) -> None:
    """But for its line ends; lines that begin with a dot keep it."""
    (tmp_path / "message.eml").write_bytes("Subject: Grüße\n\n.\n..two\nlast".encode())

    assert run("--server", serve(), "--to", "anna@example.org", "-f", str(tmp_path / "message.eml")) == 0
    assert mailbox.messages[0].content == "Subject: Grüße\r\n\r\n.\r\n..two\r\nlast\r\n".encode()
    assert mailbox.messages[0].mail_options[1:] == ["BODY=8BITMIME"]


def test_a_message_may_come_from_stdin(serve: Serve, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mailport send -f - < message.eml`."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"Subject: piped\r\n\r\n")))

    assert run("--server", serve(), "--to", "anna@example.org", "-f", "-") == 0
    assert mailbox.messages[0].content == b"Subject: piped\r\n\r\n"


def test_the_null_sender_and_several_recipients(serve: Serve, mailbox: Mailbox) -> None:
    """A bounce can be tried, too."""
    assert run("--server", serve(), "--to", "a@example.org", "--to", "b@example.org", "--from", "<>") == 0
    assert (mailbox.messages[0].mail_from, mailbox.messages[0].rcpt_tos) == ("<>", ["a@example.org", "b@example.org"])


def test_addresses_beyond_ascii(serve: Serve, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    """SMTPUTF8 is asked for where it is offered, and else it is said that it is not."""
    arguments = ("--to", "jörg@example.org", "--from", "anna@example.org")
    assert run("--server", serve(enable_SMTPUTF8=True), *arguments) == 0
    assert mailbox.messages[0].rcpt_tos == ["jörg@example.org"]
    assert "SMTPUTF8" in mailbox.messages[0].mail_options

    assert run("--server", serve(enable_SMTPUTF8=False), *arguments) == 1
    assert "the server offers no SMTPUTF8" in capsys.readouterr().err


@pytest.mark.parametrize(
    "tls, arguments",
    table(
        {
            "STARTTLS, because it is offered": ("starttls", ()),
            "STARTTLS, asked for": ("starttls", ("--tls", "starttls")),
            "implicit": ("implicit", ("--tls", "implicit")),
        }
    ),
)
@pytest.mark.parametrize(
    "trust, said",
    table(
        {
            "loopback": ((), "certificate not verified: the server is on this machine"),
            "insecure": (("--insecure",), "certificate not verified: --insecure"),
            "--ca": (("--ca", "CERTIFICATE"), "certificate verified"),
        }
    ),
)
def test_encryption(
    serve: Serve,
    context: ssl.SSLContext,
    certificate: Path,
    capsys: pytest.CaptureFixture[str],
    tls: str,
    arguments: tuple[str, ...],
    trust: tuple[str, ...],
    said: str,
) -> None:
    """Version, cipher, and whether the certificate was verified are shown."""
    server = serve(**({"tls_context": context} if tls == "starttls" else {"ssl_context": context}))
    trust = tuple(word.replace("CERTIFICATE", str(certificate)) for word in trust)

    assert run("--server", server, "--to", "anna@example.org", *arguments, *trust) == 0
    assert f"* TLSv1.3, TLS_AES_256_GCM_SHA384, {said}\n" in capsys.readouterr().out


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_that_is_not_trusted(
    serve: Serve, context: ssl.SSLContext, capsys: pytest.CaptureFixture[str], tmp_path: Path, tls: str
) -> None:
    """One line says why and what helps; nothing has been sent."""
    (tmp_path / "other.crt").write_bytes(self_signed("other.example", datetime.now(UTC))[0])
    server = serve(**({"tls_context": context} if tls == "starttls" else {"ssl_context": context}))

    assert run("--server", server, "--to", "a@example.org", "--tls", tls, "--ca", str(tmp_path / "other.crt")) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"mailport send: the certificate of {server} is not trusted: self-signed certificate")
    assert error.count("\n") == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_passwords_are_not_shown(
    serve: Serve,
    context: ssl.SSLContext,
    mailbox: Mailbox,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mechanism: str,
) -> None:
    """Nor in base64; and a password may be of any letters."""
    monkeypatch.setenv("MAILPORT_PASSWORD", PASSWORD)
    other = {"PLAIN": "LOGIN", "LOGIN": "PLAIN"}[mechanism]
    server = serve(tls_context=context, authenticator=authenticator, auth_exclude_mechanism=[other])

    assert run("--server", server, "--to", "anna@example.org", "--user", "anna") == 0
    out = capsys.readouterr().out
    assert mailbox.users == [b"anna"]
    assert f"C: AUTH {mechanism} ****\n" in out
    assert PASSWORD not in out
    assert b64encode(PASSWORD.encode()).decode() not in out
    assert b64encode(f"\0anna\0{PASSWORD}".encode()).decode() not in out
    assert "C: MAIL FROM:" in out


def test_a_wrong_password(
    serve: Serve, context: ssl.SSLContext, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's reply is the line that ends it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    server = serve(tls_context=context, authenticator=authenticator)

    assert run("--server", server, "--to", "anna@example.org", "--user", "anna", "--password-stdin") == 1
    out, err = capsys.readouterr()
    assert err == "mailport send: refused: 535 5.7.8 Authentication credentials invalid\n"
    assert "C: quit" in out


def test_no_password_in_clear_to_another_machine(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over loopback it may go, elsewhere --insecure must be given."""
    monkeypatch.setenv("MAILPORT_PASSWORD", PASSWORD)
    server = serve(authenticator=authenticator, auth_require_tls=False)
    arguments = ("--server", server, "--to", "anna@example.org", "--user", "anna")

    assert run(*arguments) == 0
    monkeypatch.setattr(send, "_on_this_machine", lambda host: False)
    assert run(*arguments) == 1
    out, err = capsys.readouterr()
    assert "no password is sent in clear without --insecure" in err
    assert out.count("AUTH PLAIN ****") == 1
    assert run(*arguments, "--insecure") == 0


@pytest.mark.parametrize(
    "refused, status, error",
    table(
        {
            "the only recipient": (
                {"a@example.org": "550 5.1.1 No such user", "b@example.org": "452 4.5.3 Later"},
                1,
                "refused: a@example.org: 550 5.1.1 No such user; b@example.org: 452 4.5.3 Later",
            ),
            "one of two": (
                {"b@example.org": "452 4.5.3 Later"},
                1,
                "accepted (2.0.0 Ok: queued as 1), but refused for b@example.org: 452 4.5.3 Later",
            ),
        }
    ),
)
def test_recipients_may_be_refused(
    serve: Serve,
    mailbox: Mailbox,
    capsys: pytest.CaptureFixture[str],
    refused: dict[str, str],
    status: int,
    error: str,
) -> None:
    """Each is told of, and the message goes to those that are not."""
    mailbox.refused = refused

    assert run("--server", serve(), "--to", "a@example.org", "--to", "b@example.org") == status
    assert capsys.readouterr().err == f"mailport send: {error}\n"
    assert len(mailbox.messages) == (len(refused) == 1)


def test_a_message_may_be_refused(serve: Serve, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    """After its last byte."""
    mailbox.after_data = "554 5.4.6 Mail loop"

    assert run("--server", serve(), "--to", "anna@example.org") == 1
    assert capsys.readouterr().err == "mailport send: refused: 554 5.4.6 Mail loop\n"


def test_what_a_server_says_does_not_steer_the_terminal(
    serve: Serve, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters are shown as such."""
    mailbox.after_data = "550 \x1b[2Jgone\x07"

    assert run("--server", serve(), "--to", "anna@example.org") == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x07" not in out + err


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit 1."""
    assert run("--server", "127.0.0.1:1", "--to", "anna@example.org") == 1
    assert capsys.readouterr().err == "mailport send: 127.0.0.1:1: Connection refused\n"


def test_a_server_that_does_not_speak_tls(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for STARTTLS, or for TLS from the start."""
    assert run("--server", serve(), "--to", "anna@example.org", "--tls", "starttls") == 1
    assert capsys.readouterr().err == "mailport send: the server offers no STARTTLS\n"
    assert run("--server", serve(), "--to", "anna@example.org", "--tls", "implicit") == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, why",
    table(
        {
            "a file that is not there": (("-f", "/nowhere/message.eml"), "-f /nowhere/message.eml: No such file"),
            "a CA that is not there": (("--ca", "/nowhere/ca.crt"), "--ca /nowhere/ca.crt: No such file"),
            "a CA that is none": (("--ca", __file__), "--ca"),
            "both ways to trust": (("--ca", __file__, "--insecure"), "give only one of them"),
            "a user, and nowhere a password": (("--user", "anna"), "--user needs a password"),
            "stdin for two things": (("--user", "anna", "--password-stdin", "-f", "-"), "stdin cannot hold both"),
            "an address of two lines": (("--from", "a@example.org>\r\nRSET"), "an address must be one line"),
            "a subject of two lines": (("--subject", "a\r\nBcc: b"), "cannot compose the message"),
        }
    ),
)
def test_bad_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], why: str
) -> None:
    """Exit 2, one line, and nothing was opened."""
    monkeypatch.delenv("MAILPORT_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert run("--server", "127.0.0.1:1", "--to", "anna@example.org", *arguments) == 2
    out, err = capsys.readouterr()
    assert why in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    "server", ["localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:²", ":25", "[]:25", "[::1]:smtp"]
)
def test_a_server_is_host_and_port(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    """argparse says so, with exit 2."""
    with pytest.raises(SystemExit) as ended:
        run("--server", server, "--to", "anna@example.org")
    assert ended.value.code == 2
    assert "is not HOST:PORT" in capsys.readouterr().err


def test_options_may_come_from_the_environment(serve: Serve, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of the other commands."""
    monkeypatch.setenv("MAILPORT_SERVER", serve())
    monkeypatch.setenv("MAILPORT_TO", "a@example.org, b@example.org")
    monkeypatch.setenv("MAILPORT_FROM", "c@example.org")

    assert run() == 0
    assert (mailbox.messages[0].mail_from, mailbox.messages[0].rcpt_tos) == (
        "c@example.org",
        ["a@example.org", "b@example.org"],
    )
