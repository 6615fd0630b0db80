"""The clients of others, as their users run them: each returns its exit status and what it said."""

from __future__ import annotations

import os
import smtplib
import socket
import subprocess
from dataclasses import dataclass

from tests.serving import PASSWORD, USER

SENDER, RECIPIENT = "bob@example.com", "anna@example.org"
LOGIN = ("--auth-user", USER, "--auth-password", PASSWORD)
_MESSAGE = f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: a test\r\n\r\nhello\r\n"


@dataclass(frozen=True)
class Ran:
    """How a program ended, and all it printed."""

    status: int
    output: str

    @property
    def ok(self) -> bool:
        return self.status == 0


def run(*command: str, stdin: str = "", seconds: float = 30) -> Ran:
    """Run a program without its user's settings (~/.swaksrc, ~/.curlrc)."""
    done = subprocess.run(
        command,
        input=stdin.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        env={**os.environ, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "error"},
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"))


def swaks(port: int, *options: str, host: str = "127.0.0.1", to: str = RECIPIENT) -> Ran:
    """Send a message with swaks."""
    return run(
        *("swaks", "--server", host, "--port", str(port), "--helo", "client.example.com"),
        *("--from", SENDER, "--to", to, "--timeout", "20s", *options),
    )


def curl(url: str, *options: str, to: str = RECIPIENT) -> Ran:
    """Send a message with curl, which shows the conversation."""
    return run(
        *("curl", "--silent", "--show-error", "--verbose", "--max-time", "20", "--url", url),
        *("--mail-from", SENDER, "--mail-rcpt", to, "--upload-file", "-", *options),
        stdin=_MESSAGE,
    )


def s_client(port: int, *options: str, say: tuple[str, ...] = ("EHLO client.example.com", "QUIT")) -> Ran:
    """Hold a conversation through OpenSSL's own client."""
    return run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-crlf", "-quiet", *options),
        stdin="".join(f"{line}\n" for line in say),
    )


def smtp_source(port: int, *options: str, to: str = RECIPIENT) -> Ran:
    """Send messages with the load generator of Postfix."""
    return run("smtp-source", "-f", SENDER, "-t", to, *options, f"127.0.0.1:{port}")


def connect(port: int, host: str = "127.0.0.1", source: str = "") -> smtplib.SMTP:
    """Connect with smtplib; raises SMTPConnectError where the greeting is a refusal, and OSError."""
    return smtplib.SMTP(host, port, "client.example.com", 20, (source, 0) if source else None)


def send(port: int, host: str = "127.0.0.1", source: str = "", to: str = RECIPIENT) -> None:
    """Send a message with smtplib; raises what `connect` does, and SMTPException."""
    with connect(port, host, source) as client:
        client.sendmail(SENDER, [to], _MESSAGE)


def reply(error: smtplib.SMTPResponseException) -> str:
    """Return the reply that an exception of smtplib's holds."""
    text = error.smtp_error
    return f"{error.smtp_code} {text.decode() if isinstance(text, bytes) else text}"


def takes_connections(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return probe.connect_ex((host, port)) == 0
