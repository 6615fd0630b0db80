"""A nats-server for each file of tests, and the stream for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import pytest
import pytest_asyncio

from tests.deliver.nats.servers import STREAM, NatsServer, client, make_stream, nats_server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server without a stream."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest_asyncio.fixture
async def server(running: NatsServer) -> AsyncGenerator[NatsServer]:
    """A server with the stream, empty."""
    await make_stream(running)
    yield running
    async with client(running) as (_, jetstream):
        await jetstream.delete_stream(STREAM)
