"""A server that takes nothing any more, and says nothing: what waits for it comes to an end."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
import pytest

from mailport.deliver.nats.credentials import Login
from mailport.deliver.nats.session import Place, Session
from mailport.outward.allowed import Allowed
from mailport.outward.connection import ConnectionLost
from mailport.outward.dial import Dialer
from mailport.outward.trust import Tls

INFO = {"server_id": "x", "version": "2.10.0", "max_payload": 64 << 20, "headers": True, "proto": 1}
MUCH = b"x" * 16_000_000  # more than kernels hold for a connection
SOON = 2.5  # seconds: one of them is what is waited for
pytestmark = pytest.mark.both_loops


@asynccontextmanager
async def session() -> AsyncGenerator[Session]:
    """Return a session with a server that reads no more once it is open; nothing of it is left behind."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        async for line in reader:
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            if line.startswith(b"SUB"):
                return

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=4096)
    port = listening.sockets[0].getsockname()[1]
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    dialer = Dialer(Allowed(local=True))
    place = Place(f"nats://127.0.0.1:{port}", Tls(ssl.create_default_context(), "x"), tls_required=False, login=Login())
    before = asyncio.all_tasks()
    made = await Session.open(place, ("127.0.0.1", port), dialer, 2)
    try:
        yield made
    finally:
        async with asyncio.timeout(SOON):
            await made.close()
        await asyncio.sleep(0.05)  # what was cancelled ends in the loop's next turns
        assert asyncio.all_tasks() - before == set()
        assert unhandled == []
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await dialer.close()


async def test_a_message_that_is_given_up_while_it_is_sent():
    """However large it is."""
    async with session() as made:
        async with asyncio.timeout(SOON):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await made.request("a", MUCH)


async def test_a_session_closes_in_a_second():
    """And who waits is told at once."""
    async with session() as made:
        waiting = [asyncio.create_task(made.request("a", content)) for content in (b"x", MUCH, b"x")]
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(made.close())
        async with asyncio.timeout(0.5):
            told = await asyncio.gather(*waiting, return_exceptions=True)
        assert not made.usable
        async with asyncio.timeout(SOON):
            await closing

    assert [type(one) for one in told] == [ConnectionLost] * 3
    assert {str(one) for one in told} == {"the connection was closed"}


async def test_closing_goes_on_where_nobody_waits_for_it():
    """It leaves no task and no connection: the fixture looks."""
    async with session() as made:
        waiting = asyncio.create_task(made.request("a", MUCH))
        await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await made.close()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_session_that_nats_py_gives_up_is_not_used_any_more():
    """Not even while it still waits for the server to take what is left."""
    async with session() as made:
        waiting = asyncio.create_task(made.request("a", MUCH))
        await asyncio.sleep(0.1)
        stale = asyncio.create_task(made._client._process_op_err(nats.errors.StaleConnectionError()))
        await asyncio.sleep(0.1)

        assert not made.usable
        await made.close()
        async with asyncio.timeout(SOON):
            await asyncio.gather(waiting, stale, return_exceptions=True)
