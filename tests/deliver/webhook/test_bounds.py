"""What a large message takes of memory and of the event loop's time, as a JSON document."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Unavailable
from mailport.deliver.webhook import bodies
from mailport.message.content import Space
from tests.deliver.webhook.receivers import receiving, webhook
from tests.disks import open_descriptors
from tests.messages import hold, message

pytestmark = pytest.mark.slow
ANNA = [Address.parse("anna@example.org")]
MIB = 1024 * 1024
LINE = b"QUJD" * 19 + b"\r\n"
TWO_PARTS = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n%b--b\r\nContent-Type: a/b\r\n%b--b--\r\n'
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + ("ä" * 37 + "\r\n").encode() * 100_000
BASE64 = b"Content-Transfer-Encoding: base64\r\n\r\n"
MAIL = {
    "text and an attachment of base64": lambda: TWO_PARTS % (TEXT, BASE64 + LINE * (18 * MIB // len(LINE))),
    "text of control characters": lambda: b"\r\n" + b"\0" * (25 * MIB),
    "text with one character of four octets": lambda: b"\r\n" + "😀".encode() + b"a" * (25 * MIB),
    "an attachment of octets": lambda: b"Content-Type: a/b\r\n\r\n" + b"\xff" * (25 * MIB),
}
MOST = 200 * MIB


@pytest.mark.parametrize("which", MAIL)
def test_25_mib_take_less_than_200_mib_more(which: str):
    """Of a process that has delivered a small one before; what the kernel says that it ever had."""
    run = [sys.executable, "-c", f"from tests.deliver.webhook.test_bounds import measure; measure({which!r})"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    measured = json.loads(subprocess.run(run, check=True, capture_output=True, env=environment, timeout=200).stdout)

    assert measured["octets"] > 25 * MIB
    assert measured["more"] < MOST


def measure(which: str) -> None:
    """Deliver a small message and then a large one; print what that took."""
    asyncio.run(_measure(MAIL[which]()))


async def _measure(content: bytes) -> None:
    posted = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal posted
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            left = posted = int(head.lower().partition(b"content-length:")[2].split()[0])
            while left:
                left -= len(await reader.read(min(left, 65536)))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    space = Space()
    listening = await asyncio.start_server(take, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with webhook(port, format="JSON", timeoutSeconds=120) as hook:
        small = await hold(space, b"Subject: x\r\n\r\nx\r\n")
        await hook.deliver(await message(small), ANNA)
        large = await hold(space, content)
        before = _peak()
        await hook.deliver(await message(large), ANNA)
        more = _peak() - before
    sys.stdout.write(json.dumps({"more": more, "octets": len(content), "posted": posted}))
    sys.stdout.flush()
    os._exit(0)  # the receiver's task has no end


def _peak() -> int:
    Path("/proc/self/clear_refs").write_text("5") if not hasattr(_peak, "base") else None  # VmHWM begins anew
    _peak.base = True  # type: ignore[attr-defined]
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def test_two_messages_are_read_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch):
    """Of the whole process, however many routes there are; the event loop goes on meanwhile."""
    now, most, lock = 0, 0, threading.Lock()
    read = bodies.reading.read

    def counted(*arguments: object) -> object:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        try:
            return read(*arguments)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(bodies.reading, "read", counted)
    space = Space()
    async with (
        receiving() as receiver,
        webhook(receiver.port, format="JSON") as one,
        webhook(receiver.port, format="JSON") as other,
    ):
        held = [await hold(space, b"Subject: x\r\n\r\n%d\r\n" % n) for n in range(8)]
        await asyncio.gather(
            *[(one if n % 2 else other).deliver(await message(content), ANNA) for n, content in enumerate(held)]
        )

    for content in held:
        content.close()
    space.close()
    assert most == 2
    assert len(receiver.requests) == 8


async def test_the_event_loop_turns_while_large_messages_are_read():
    """No turn takes long, with two threads that compute beside it."""
    space = Space()
    longest = 0.0

    async def turn() -> None:
        nonlocal longest
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - begin)

    async with receiving() as receiver, webhook(receiver.port, format="JSON", timeoutSeconds=120) as hook:
        contents = [await hold(space, MAIL["text and an attachment of base64"](), client=str(n)) for n in range(2)]
        turning = asyncio.create_task(turn())
        await asyncio.gather(*[hook.deliver(await message(content), ANNA) for content in contents])
        turning.cancel()

    for content in contents:
        content.close()
    await space.threads.run(lambda: None)  # behind the files that are closed
    space.close()
    assert longest < 0.3, "seconds; and a machine that is busy with other tests"


async def test_a_receiver_that_takes_nothing_costs_no_descriptor():
    """What has not left when the time is over is dropped: the kernel takes nothing more for a program that hangs."""
    listening = socket.create_server(("127.0.0.1", 0))  # whose queue accepts, and nobody ever reads
    space = Space()
    content = await hold(space, b"Subject: x\r\n\r\n" + LINE * (20 * MIB // len(LINE)))
    async with webhook(listening.getsockname()[1], format="Raw", timeoutSeconds=1) as hook:
        before = open_descriptors()
        for _ in range(3):
            with pytest.raises(Unavailable):
                await hook.deliver(await message(content), ANNA)
        async with asyncio.timeout(10):
            while open_descriptors() > before:  # noqa: ASYNC110 - the event loop closes them in one of its next turns
                await asyncio.sleep(0.01)

    content.close()
    space.close()
    listening.close()
