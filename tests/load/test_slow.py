"""Slow clients hold a route's places only while their messages are delivered: others do not wait for them."""

from __future__ import annotations

import itertools
import multiprocessing
import selectors
import smtplib
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.serving import Serving, serving

SLOW = 200
RATE = 600  # octets a second of each: above minDataRate, whose default is 500
PIECES = 10  # … in so many pieces
TURNS = 20  # not all of them at once: one in so many at a time
MESSAGES = 400
MAIL = b"EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n"

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def p99(server: Serving) -> float:
    """Send small messages, one after the other; return the seconds that 99 % of them take from DATA's end to 250."""
    seconds = []
    with smtplib.SMTP("127.0.0.1", server.port, timeout=30) as smtp:
        smtp.ehlo("quick.example")
        for _ in range(MESSAGES):
            for command in ("MAIL FROM:<a@quick.example>", "RCPT TO:<bert@example.org>"):
                assert smtp.docmd(command)[0] == 250
            assert smtp.docmd("DATA")[0] == 354
            began = time.perf_counter()
            smtp.send(b"Subject: quick\r\n\r\nhello\r\n.\r\n")
            assert smtp.getreply()[0] == 250
            seconds.append(time.perf_counter() - began)
    return sorted(seconds)[MESSAGES * 99 // 100]


def slow_clients(port: int, control: Connection) -> None:
    """Each sends a message that never ends at RATE, a tenth of a second's octets at a time, at moments of its own.

    Says "begun", sends until it is told to stop, and says what they were answered meanwhile.
    """
    clients = []
    answers: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(SLOW):
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            client.sendall(MAIL)
            heard = b""
            while b"\r\n354 " not in heard and (data := client.recv(4096)):
                heard += data
            assert b"\r\n354 " in heard, heard
            selector.register(client, selectors.EVENT_READ)
            clients.append(client)
        control.send("begun")
        piece = b"x" * (RATE // PIECES - 2) + b"\r\n"
        began = time.monotonic()
        for turn in itertools.count():
            if control.poll(max(0.0, began + turn / PIECES / TURNS - time.monotonic())):
                break
            for client in clients[turn % TURNS :: TURNS]:
                client.sendall(piece)
            answers.extend(key.fileobj.recv(4096) for key, _ in selector.select(0))  # type: ignore[union-attr]
        control.send(answers)
        for client in clients:
            client.close()


@contextmanager
def beside_slow_clients(server: Serving) -> Iterator[None]:
    """They are a process of their own: in this one, they would hold up the client that is measured."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=slow_clients, args=(server.port, theirs))
    process.start()
    try:
        assert ours.poll(60)
        assert ours.recv() == "begun"
        yield
        ours.send("stop")
        assert ours.poll(60)
        assert ours.recv() == [], "nobody was refused, and nobody was cut off"
    finally:
        process.terminate()
        process.join()


def test_slow_clients_do_not_delay_others(tmp_path: Path) -> None:
    """200 at 600 octets a second on a route of 5 places: another's p99 stays within twice what it is alone."""
    routes = [{"name": "mail", "recipients": ["*@example.org"], "maxConcurrent": 5, "deliver": {"maildir": {}}}]
    limits = {"maxConnectionsPerClient": 0, "maxErrors": 0}
    with serving(tmp_path, {"routes": routes, "limits": limits}) as server:
        p99(server)  # what the first ones load
        alone, beside = [p99(server)], []
        for _ in range(2):  # in turns, and the better of two: the machine has other work, which comes and goes
            with beside_slow_clients(server):
                beside.append(p99(server))
            alone.append(p99(server))
            sys.stdout.write(f"p99 alone {alone[-2] * 1e3:.1f} ms, beside them {beside[-1] * 1e3:.1f} ms\n")

        assert any(both <= 2 * max(alone[turn : turn + 2]) for turn, both in enumerate(beside))
