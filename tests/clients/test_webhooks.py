"""`mailport serve` with a route to a program: Python's own http.server."""

from __future__ import annotations

import smtplib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.clients.test_next_hops import LOCAL, logs, replies, write
from tests.ports import free_port
from tests.serving import Serving, eventually, serving

pytestmark = pytest.mark.slow


@dataclass
class Program:
    port: int
    status: int = 200
    text: bytes = b"taken"
    requests: list[tuple[Message, bytes]] = field(default_factory=list)


@contextmanager
def program() -> Iterator[Program]:
    known = Program(free_port())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known.requests.append((self.headers, body))
            self.send_response(known.status)
            self.send_header("Content-Length", str(len(known.text)))
            self.end_headers()
            self.wfile.write(known.text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", known.port), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def to_webhook(port: int, **settings: object) -> dict[str, object]:
    webhook = {"url": f"http://127.0.0.1:{port}/inbound", **settings}
    return {"routes": [{"name": "tickets", "recipients": ["*@example.org"], "deliver": {"webhook": webhook}}]}


def send(server: Serving, *recipients: str, text: str = "Subject: x\r\n\r\nbody\r\n") -> None:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=30) as client:
        client.sendmail("sender@example.net", recipients, text)


def test_mail_arrives_once_for_all_recipients(tmp_path: Path):
    """And the answer is in the log, at the message."""
    with program() as receiver, serving(tmp_path, to_webhook(receiver.port), LOCAL) as server:
        send(server, "anna@example.org", "carl@example.org")
        [(headers, body)] = receiver.requests

        assert headers["Mailport-Rcpt-To"] == "anna@example.org, carl@example.org"
        assert body.startswith(b"Return-Path: <sender@example.net>\r\nReceived: from ")
        assert body.endswith(b"\r\n\r\nbody\r\n")
        line = server.logged(event="message", result="accepted")
        assert line["destination"] == ["HTTP 200: taken", "HTTP 200: taken"]
        assert headers["Mailport-Id"] == line["id"]
        assert headers["Mailport-Client"] == f"127.0.0.1:{line['client_port']}"


def test_what_the_receiver_answers_is_what_the_client_hears(tmp_path: Path):
    with program() as receiver, serving(tmp_path, to_webhook(receiver.port), LOCAL) as server:
        for status, reply in ((200, 250), (406, 554), (413, 552), (422, 451), (500, 451), (204, 250)):
            receiver.status = status
            receiver.text = b"" if status == 204 else b"an inner secret"
            code, text = replies(server)
            assert code == reply
            assert b"inner secret" not in text
        logs(server, "HTTP 422: an inner secret")


def test_secrets_come_and_change_while_mail_flows(tmp_path: Path):
    """Nothing is posted before they are there; of credentials one kind is enough."""
    settings = {"signingSecretRef": {"name": "hook", "key": "key"}, "credentialsSecretRef": {"name": "login"}}
    first, second = (b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    with program() as receiver, serving(tmp_path, to_webhook(receiver.port, **settings), LOCAL) as server:
        assert replies(server)[0] == 451
        assert not receiver.requests
        missing = {(one["name"], one["key"], one["field"].rpartition(".")[2]) for one in server.status()["missing"]}
        assert missing == {("hook", "key", "signingSecretRef"), ("login", "token", "credentialsSecretRef")}

        write(server.secret("hook"), key="not base64!")
        write(server.secret("login"), username="mailport", password="s3cr3t")
        eventually(lambda: "not base64" in (server.status()["reloadError"] or ""), "a fault")
        assert replies(server)[0] == 451
        assert not server.status()["missing"]

        write(server.secret("hook"), key=f"whsec_{first}\n")
        eventually(lambda: replies(server)[0] == 250, "250")
        assert receiver.requests[-1][0]["Authorization"].startswith("Basic ")
        assert len(receiver.requests[-1][0]["webhook-signature"].split()) == 1

        write(server.secret("hook"), key=f"whsec_{second}\n{first}\n")
        eventually(
            lambda: replies(server)[0] == 250 and len(receiver.requests[-1][0]["webhook-signature"].split()) == 2,
            "two signatures",
        )
        log = (server.folder / "log").read_text()
        assert not [secret for secret in ("s3cr3t", first, second, "not base64!") if secret in log]
