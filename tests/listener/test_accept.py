"""When the process has no descriptor left for a connection: nobody is lost, and the event loop does not spin."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.listener import dialogs
from tests.listener.playing import SECONDS, Served

GREETING = b"220 mx.example.org ESMTP Mailport\r\n"
PAUSE = 0.2  # seconds between two tries to accept
FAILED = "no descriptor or memory left for connections"

pytestmark = pytest.mark.both_loops


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """The real thing: the kernel gives this process no new descriptor, whatever it is for (EMFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    running = Served(dialogs.parse("accept", "# A head.\n"), tmp_path)
    running.start()
    yield running
    await running.end()


@pytest.fixture
def clients() -> Iterator[list[socket.socket]]:
    """Sockets that have their descriptors already."""
    made = [socket.socket() for _ in range(4)]
    for client in made:
        client.setblocking(False)
    yield made
    for client in made:
        client.close()


async def connect(client: socket.socket, served: Served) -> None:
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", served.ports["smtp"]))


async def hear(client: socket.socket) -> bytes:
    async with asyncio.timeout(SECONDS):
        return await asyncio.get_running_loop().sock_recv(client, 4096)


def failures(logged: list[dict[str, object]]) -> int:
    return sum(line["event"] == FAILED for line in logged)


async def test_those_who_wait_are_served_when_there_are_descriptors_again(served: Served, clients: list[socket.socket]):
    """Meanwhile open sessions go on, and accepting is tried again a few times a second."""
    open_already, *waiting = clients
    await connect(open_already, served)
    assert await hear(open_already) == GREETING
    with capture_logs() as logged:
        with no_descriptor_left():
            for client in waiting:
                await connect(client, served)
            await asyncio.sleep(2.5 * PAUSE)
            tries = failures(logged)
            await asyncio.get_running_loop().sock_sendall(open_already, b"NOOP\r\n")
            answer = await hear(open_already)

        greetings = [await hear(client) for client in waiting]

    assert answer == b"250 2.0.0 Ok\r\n"
    assert 1 <= tries <= 3
    assert greetings == [GREETING] * 3


async def test_a_drain_while_there_is_none(served: Served, clients: list[socket.socket]):
    """It ends, and nothing is accepted behind it."""
    with capture_logs() as logged, no_descriptor_left():
        await connect(clients[0], served)
        async with asyncio.timeout(SECONDS):
            while not failures(logged):  # noqa: ASYNC110 - structlog has no event for it
                await asyncio.sleep(0.01)
            await served.server.drain(SECONDS)
        tries = failures(logged)
        await asyncio.sleep(1.5 * PAUSE)

    assert failures(logged) == tries
    assert served.server.bound == []
