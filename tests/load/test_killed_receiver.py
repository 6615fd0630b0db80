"""A webhook's receiver that is killed every two seconds, under load: what got its 250 is there, and whole."""

from __future__ import annotations

import smtplib
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from tests.clients.test_next_hops import LOCAL
from tests.clients.test_webhooks import to_webhook
from tests.ports import free_port
from tests.serving import Serving, serving

pytestmark = pytest.mark.slow

KILLS = 8
ENOUGH = 100  # messages with their 250
EVERY = 2.0  # seconds
SENDERS = 12
SIZES = (200, 20_000, 300_000)

# Takes a message when it is on disk: a line with its webhook-id, its Message-ID and what it is of. Nothing else counts.
RECEIVER = """
import hashlib, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

file, lock = open(sys.argv[2], "ab"), Lock()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        own = body.partition(b"\\r\\nMessage-ID: ")[2]
        line = f"{self.headers['webhook-id']} {own[:own.index(13)].decode()} {hashlib.sha256(own).hexdigest()}\\n"
        with lock:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 100

Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Sender(threading.Thread):
    """A mail server: it sends a message until it has its 250, and then the next one."""

    def __init__(self, number: int, server: Serving, enough: threading.Event) -> None:
        super().__init__()
        self.number, self.server, self.enough = number, server, enough
        self.sent: dict[str, str] = {}  # what each message is of that got its 250, by Message-ID
        self.put_off = 0

    def run(self) -> None:
        count = 0
        while not self.enough.is_set():
            count += 1
            name = f"<{self.number}.{count}@example.net>"
            text = f"{name}\r\n\r\n{'x' * 70}\r\n" + "0123456789abcde\r\n" * (SIZES[count % len(SIZES)] // 17)
            while not self.enough.is_set():
                if self.try_once(f"Subject: x\r\nMessage-ID: {text}"):
                    self.sent[name] = sha256(text.encode()).hexdigest()
                    break
                self.put_off += 1
                time.sleep(0.05)

    def try_once(self, message: str) -> bool:
        with suppress(smtplib.SMTPException), smtplib.SMTP("127.0.0.1", self.server.port, timeout=60) as client:
            client.sendmail("sender@example.net", ["anna@example.org"], message)
            return True
        return False


def start(port: int, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RECEIVER, str(port), str(file)])


def test_what_got_its_250_is_there(tmp_path: Path):
    """And a message that comes again has the id that it had."""
    port, file, enough = free_port(), tmp_path / "received", threading.Event()
    file.touch()
    with serving(tmp_path, to_webhook(port, timeoutSeconds=10), LOCAL) as server:
        senders = [Sender(number, server, enough) for number in range(SENDERS)]
        receiver = start(port, file)
        for sender in senders:
            sender.start()
        try:
            for _ in range(KILLS):
                time.sleep(EVERY)
                receiver.kill()
                receiver.wait()
                receiver = start(port, file)
            time.sleep(EVERY * 4)  # the longest pause of the breaker that so many failures lead to, and mail after it
            deadline = time.monotonic() + 120
            while sum(len(sender.sent) for sender in senders) <= ENOUGH and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            enough.set()
            for sender in senders:
                sender.join(90)
            receiver.kill()
            receiver.wait()

    received = [line.split() for line in file.read_text().splitlines() if len(line.split()) == 3]
    contents = {(name, digest) for _, name, digest in received}
    sent = {name: digest for sender in senders for name, digest in sender.sent.items()}
    ids = defaultdict(set)
    for webhook_id, name, _ in received:
        ids[name].add(webhook_id)

    assert len(sent) > ENOUGH
    assert sum(sender.put_off for sender in senders) > 10, "it was away"
    assert not [name for name, digest in sent.items() if (name, digest) not in contents]
    assert all(len(of_one) == 1 for of_one in ids.values())
    assert len({webhook_id for webhook_id, *_ in received}) == len(ids)
