"""A real nats-server with JetStream, alone or three of them as a cluster. tools/kube.sh builds it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from tests.kube.cluster import program
from tests.serving import eventually, free_port

STREAM = "MAIL"
SUBJECTS = ["mail.>"]


@dataclass
class NatsServer:
    """One server."""

    folder: Path
    name: str
    port: int
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def start(self) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            command = [program("nats-server"), "--config", str(self.folder / f"{self.name}.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, "nats-server")

    def stop(self, sign: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.host, self.port), 1) as client:
            return client.recv(4) == b"INFO"
        return False


def configure(folder: Path, name: str, port: int, host: str = "127.0.0.1", **options: Any) -> NatsServer:
    """Write a server's configuration, which is JSON; what `options` name is on top of it."""
    configuration = {
        "server_name": name,
        "listen": f"{host}:{port}",
        "jetstream": {"store_dir": str(folder / name), "max_file_store": 1 << 33, "max_memory_store": 1 << 26},
        **options,
    }
    (folder / f"{name}.conf").write_text(json.dumps(configuration))
    return NatsServer(folder, name, port, host)


@contextmanager
def nats_server(folder: Path, host: str = "127.0.0.1", **options: Any) -> Iterator[NatsServer]:
    """Run a server; it has ended when the `with` ends."""
    server = configure(folder, "n1", free_port(), host, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def cluster(folder: Path) -> Iterator[list[NatsServer]]:
    """Run three servers that know of each other."""
    routes = [free_port() for _ in range(3)]
    servers = [
        configure(
            folder,
            f"n{number}",
            free_port(),
            cluster={
                "name": "tests",
                "listen": f"127.0.0.1:{route}",
                "routes": [f"nats://127.0.0.1:{other}" for other in routes],
            },
        )
        for number, route in enumerate(routes)
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


@asynccontextmanager
async def client(server: NatsServer, **options: Any) -> AsyncGenerator[tuple[Client, JetStreamContext]]:
    """Connect as who looks after the streams."""
    connected = await nats.connect(server.url, **options)
    try:
        yield connected, connected.jetstream()
    finally:
        await connected.close()


async def make_stream(server: NatsServer, **settings: Any) -> None:
    """Make the stream, as often as it takes: a cluster has no leader at first, and a deleted one's files go later."""
    settings = {"name": STREAM, "subjects": SUBJECTS, "storage": "file", **settings}
    async with asyncio.timeout(30), client(server) as (connected, _):
        while True:
            with suppress(nats.errors.Error):
                answer = await connected.request(
                    f"$JS.API.STREAM.CREATE.{settings['name']}", json.dumps(settings).encode(), timeout=5
                )
                made = json.loads(answer.data)
                if "error" not in made and made["state"]["messages"] == 0:
                    return
                assert "error" not in made or made["error"]["err_code"] == 10049 or made["error"]["code"] == 503, made
                await connected.request(f"$JS.API.STREAM.DELETE.{settings['name']}", b"", timeout=5)
            await asyncio.sleep(0.1)


async def messages(server: NatsServer, stream: str = STREAM, **options: Any) -> list[tuple[str, dict[str, str], bytes]]:
    """Return what lies in a stream, oldest first: subject, headers, content."""
    async with client(server, **options) as (_, jetstream):
        info = await jetstream.stream_info(stream)
        found = []
        for sequence in range(info.state.first_seq or 1, (info.state.last_seq or 0) + 1):
            with suppress(nats.js.errors.NotFoundError):
                message = await jetstream.get_msg(stream, sequence)
                found.append((message.subject or "", dict(message.headers or {}), message.data or b""))
        return found
