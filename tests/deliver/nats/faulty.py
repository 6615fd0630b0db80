"""A proxy in front of a real nats-server that makes one fault: what no server can be asked to do by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What becomes of what the server sends that has `answer` in it, so many times.

    `then` is `lost` (the connection is reset in its place: the server has done what it was asked) or `hang` (it and
    what follows is held back, and `instead` comes in its place).
    """

    answer: bytes
    then: str
    times: int = 1_000_000
    instead: bytes = b""
    happened: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def faulty(port: int, fault: Fault) -> AsyncGenerator[str]:
    """Stand in front of a server on loopback; gives the URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        up = asyncio.create_task(_copy(reader, server_writer))
        try:
            while octets := await server_reader.read(65536):
                if fault.answer in octets and fault.times > 0:
                    fault.times -= 1
                    fault.happened.set()
                    if fault.then == "lost":
                        break
                    writer.write(fault.instead)
                    await asyncio.sleep(60)
                writer.write(octets)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            server_writer.transport.abort()
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
