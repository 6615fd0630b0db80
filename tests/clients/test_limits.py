"""What a client may not have, however it asks for it."""

from __future__ import annotations

import contextlib
import os
import signal
import smtplib
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.serving import PASSWORD, USER, eventually, serving

pytestmark = pytest.mark.slow

MESSAGE = "Subject: hi\r\n\r\nhello\r\n"


def test_connections_of_one_client_that_come_in_one_burst_are_counted(tmp_path: Path):
    """Sixty in one turn of the event loop are no way around maxConnectionsPerClient."""
    with serving(tmp_path, {"limits": {"maxConnectionsPerClient": 3}}) as server:
        os.kill(server.process.pid, signal.SIGSTOP)
        burst = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(60)]
        os.kill(server.process.pid, signal.SIGCONT)
        greetings = [connection.recv(100)[:3] for connection in burst]
        for connection in burst:
            connection.close()

    assert (greetings.count(b"220"), greetings.count(b"421")) == (3, 57)


def test_chunks_that_trickle_are_too_slow(tmp_path: Path):
    """One message has one clock, in however many chunks it comes: else a few clients hold a route's places for ever."""
    with (
        serving(tmp_path, {"limits": {"minDataRate": 500}}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
    ):
        replies = client.makefile("rb")
        client.sendall(b"EHLO c\r\nMAIL FROM:<b@example.net>\r\nRCPT TO:<anna@example.org>\r\nBDAT 0\r\n")
        while not replies.readline().startswith(b"250 2.0.0"):
            pass
        answer, began = b"250", time.monotonic()
        while answer.startswith(b"250") and time.monotonic() - began < 60:
            time.sleep(5)  # it is the pace that is tested
            client.sendall(b"BDAT 1\r\nx")
            answer = replies.readline()

    assert answer.startswith(b"421 4.4.2 message data comes too slowly")


def test_routes_mixed_in_any_order_are_one_label(tmp_path: Path):
    """A client cannot make metrics without end."""
    routes = [
        {"name": name, "recipients": [f"{name}@example.org"], "deliver": {"discard": {}}}
        for name in ("one", "two", "three")
    ]
    spec = {
        "routes": routes,
        "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
        "listeners": [{"name": "smtp", "auth": {"mode": "Always"}}],
    }
    with serving(tmp_path, spec) as server, smtplib.SMTP("127.0.0.1", server.port) as client:
        client.login(USER, PASSWORD)
        for order in (["one", "two"], ["two", "one"], ["three", "one", "two"]):
            client.sendmail("b@example.net", [f"{name}@example.org" for name in order], MESSAGE)
        messages = [
            line for line in server.get("/metrics")[1].splitlines() if line.startswith("mailport_messages_total{")
        ]

    assert messages == ['mailport_messages_total{listener="smtp",result="accepted",route="several"} 3.0']


def test_an_answer_does_not_wait_for_what_is_pipelined_behind_it(tmp_path: Path):
    """A RCPT to a busy route takes its five seconds; the 250 of the message before it does not."""
    routes = [
        {"name": "mail", "recipients": ["anna@example.org"], "deliver": {"discard": {}}},
        {"name": "busy", "recipients": ["busy@example.org"], "maxConcurrent": 1, "deliver": {"discard": {}}},
    ]
    opening = b"EHLO c\r\nMAIL FROM:<b@example.net>\r\nRCPT TO:<%s@example.org>\r\n"
    with (
        serving(tmp_path, {"routes": routes}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as holder,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
        holder.makefile("rb") as said,
        client.makefile("rb") as replies,
    ):
        holder.sendall(opening % b"busy" + b"DATA\r\n")
        while not said.readline().startswith(b"354"):
            pass
        client.sendall(
            opening % b"anna"
            + b"BDAT 6 LAST\r\nhello\n"
            + b"MAIL FROM:<b@example.net>\r\nRCPT TO:<busy@example.org>\r\n"
        )
        began = time.monotonic()
        while b"queued as" not in replies.readline():
            pass
        seconds = time.monotonic() - began

    assert seconds < 4


def test_destinations_that_a_reload_replaces_end_their_threads(tmp_path: Path):
    """Also with transactions open on the old ones, which end well. Each is a volume of its own, with threads."""

    def to(claim: str) -> dict[str, Any]:
        deliver = {"maildir": {"claimName": claim}}
        return {"routes": [{"name": "mail", "recipients": ["*@example.org"], "deliver": deliver}]}

    def count() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))

    def begun() -> smtplib.SMTP:
        client = stack.enter_context(smtplib.SMTP("127.0.0.1", server.port))
        client.ehlo()
        client.mail("b@example.net")
        client.rcpt("anna@example.org")
        return client

    with serving(tmp_path, to("first")) as server, contextlib.ExitStack() as stack:
        assert begun().data(MESSAGE)[0] == 250
        before = count()
        clients = []
        for claim in ("second", "third", "fourth"):
            clients += [begun(), begun()]
            server.change(to(claim))
        codes = [client.data(MESSAGE)[0] for client in clients]
        grown = count()
        eventually(lambda: count() <= before, "the old threads end")

    assert grown > before
    assert codes == [250] * 6
