"""A server that answers each line by a script: for what no real server says."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path


@asynccontextmanager
async def scripted(
    answers: Sequence[str], chain: bytes | None = None, key: bytes | None = None
) -> AsyncGenerator[tuple[int, list[str]]]:
    """Give each connection the first answer, and the next one to each line; gives the port, and the lines heard.

    With a certificate TLS begins with the connection. At the script's end it hangs up.
    """
    heard: list[str] = []
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving[task] = writer
        with suppress(OSError):
            for answer in answers:
                writer.write(answer.encode() + b"\r\n")
                await writer.drain()
                if answer is not answers[-1] and (line := await reader.readline()):
                    heard.append(line.decode().removesuffix("\r\n"))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    context = _context(chain, key) if chain is not None and key is not None else None
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1], heard
    finally:
        listening.close()
        for task, writer in serving.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def _context(chain: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(chain + key)
        context.load_cert_chain(file.name)
    return context
