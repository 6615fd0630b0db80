"""A bucket and a stream whose server is killed and started again under load, and we are: what got its 250 is there.

The clients are senders as mail servers are: what is put off they send again, the same octets.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.deliver.nats.servers import STREAM, make_stream, messages, nats_server
from tests.deliver.s3.servers import BUCKET, KEYS, versitygw
from tests.ports import free_port
from tests.serving import Serving, serving

pytestmark = pytest.mark.slow

SESSIONS, KILLS, EVERY = 8, 5, 2.0  # seconds
LOCAL = "--allow-local-destinations"


class Senders:
    """Sessions that send one message after the other."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.numbers = count(1)
        self.taken: list[str] = []
        self.put_off = 0
        self.over = False

    async def session(self) -> None:
        """Send; a message that was not taken, or not answered for, comes again."""
        name = ""
        while not self.over or name:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    await _answer(reader)
                    await _say(reader, writer, b"EHLO client.example\r\n")
                    while not self.over or name:
                        name = name or f"m{next(self.numbers)}"
                        if await self._send(reader, writer, name) == 250:
                            self.taken.append(name)
                            name = ""
                        else:
                            self.put_off += 1
                            await _say(reader, writer, b"RSET\r\n")
                            await asyncio.sleep(0.2)
                finally:
                    writer.close()
            await asyncio.sleep(0.1)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> int:
        for line in (b"MAIL FROM:<a@client.example>\r\n", b"RCPT TO:<anna@example.org>\r\n", b"DATA\r\n"):
            if (code := await _say(reader, writer, line)) >= 400:
                return code
        content = f"Message-ID: <{name}@client.example>\r\nSubject: {name}\r\n\r\n{'x' * 2000}\r\n.\r\n"
        return await _say(reader, writer, content.encode())


async def _answer(reader: asyncio.StreamReader) -> int:
    while True:
        line = await reader.readuntil(b"\n")
        if line[3:4] == b" ":
            return int(line[:3])


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> int:
    writer.write(data)
    return await _answer(reader)


async def _under_load(server: Serving, kill: Callable[[], None], start: Callable[[], None]) -> Senders:
    """Send, while the other side is killed and started again; then finish what is under way."""
    senders = Senders(server.port)
    sessions = [asyncio.create_task(senders.session()) for _ in range(SESSIONS)]
    for _ in range(KILLS):
        await asyncio.sleep(EVERY / 2)
        await asyncio.to_thread(kill)
        await asyncio.sleep(EVERY / 2)
        await asyncio.to_thread(start)
    senders.over = True
    async with asyncio.timeout(120):
        await asyncio.gather(*sessions)
    return senders


def _names(contents: Iterable[bytes]) -> Counter[str]:
    """Count the messages, each of which is all there."""
    found: Counter[str] = Counter()
    for content in contents:
        name = re.search(rb"Message-ID: <(\w+)@", content)
        assert name is not None
        assert content.endswith(b"x" * 2000 + b"\r\n")
        found[name[1].decode()] += 1
    return found


def _route(kind: str, **settings: Any) -> dict[str, Any]:
    return {"routes": [{"name": "queue", "recipients": ["*@example.org"], "deliver": {kind: settings}}]}


def _check(senders: Senders, found: Counter[str]) -> int:
    """Look whether all that got their 250 are there; return how many are there more than once."""
    twice = sum(number - 1 for number in found.values())
    assert senders.taken
    assert set(senders.taken) <= found.keys()
    return twice


async def test_a_stream_that_comes_and_goes(tmp_path: Path):
    """Nothing is lost, and nothing is there twice: the stream knows a message that comes again by its id."""
    with nats_server(tmp_path) as nats:
        await make_stream(nats)
        route = _route("nats", url=nats.url, stream=STREAM, subject="mail.{local}", timeoutSeconds=5)
        with serving(tmp_path, route, LOCAL) as server:
            senders = await _under_load(server, nats.stop, nats.start)
        found = _names([content for _, _, content in await messages(nats)])

    assert senders.put_off, "the stream was away under load"
    assert _check(senders, found) == 0


async def test_a_stream_while_we_come_and_go(tmp_path: Path):
    """`kill -9` of Mailport itself: likewise, though it remembers nothing."""
    with nats_server(tmp_path) as nats:
        await make_stream(nats)
        route = _route("nats", url=nats.url, stream=STREAM, subject="mail.{local}", timeoutSeconds=5)
        spec = {**route, "listeners": [{"name": "smtp", "port": free_port()}]}
        senders = Senders(spec["listeners"][0]["port"])
        sessions = [asyncio.create_task(senders.session()) for _ in range(SESSIONS)]
        for _ in range(KILLS):
            with serving(tmp_path, spec, LOCAL) as server:
                await asyncio.sleep(EVERY / 2)
                server.process.kill()
                await asyncio.to_thread(server.process.wait, 10)
        senders.over = True
        with serving(tmp_path, spec, LOCAL):
            async with asyncio.timeout(60):
                await asyncio.gather(*sessions)
        found = _names([content for _, _, content in await messages(nats)])

    assert _check(senders, found) == 0


async def test_a_bucket_that_comes_and_goes(tmp_path: Path):
    """Nothing is lost; a message whose answer was lost is there again under another id."""
    with versitygw(tmp_path) as store:
        secret = tmp_path / "secrets" / "s3"
        secret.mkdir(parents=True)
        for key, value in KEYS.items():
            (secret / key).write_bytes(value)
        reference = {"credentialsSecretRef": {"name": "s3"}}
        route = _route("s3", bucket=BUCKET, endpoint=store.url, timeoutSeconds=5, **reference)
        with serving(tmp_path, route, LOCAL) as server:
            senders = await _under_load(server, store.kill, store.start)
        found = _names(content for key, content in store.objects().items() if key.endswith(".eml"))

    assert senders.put_off, "the bucket was away under load"
    assert _check(senders, found) <= senders.put_off
