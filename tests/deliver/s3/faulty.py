"""A proxy in front of a real store that makes one fault: what no server can be asked to do by itself."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"(?im)^content-length:[ ]*([0-9]+)")
_MD5 = re.compile(rb"\b[0-9a-f]{32}\b")
_ERROR = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
SLOW_DOWN = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_ERROR),
    _ERROR,
)


@dataclass
class Fault:
    """What becomes of requests whose first line has `request` in it, so many times.

    `then` is `slow-down` (503 in the store's place), `corrupt` (an octet of the body is another one), `cut` (the
    connection is reset in the middle of the body), `lost` (the store gets all of it, and its answer is dropped),
    `hang` (nothing is answered), `redirect STATUS URL`, `opaque` (ETags are no MD5, as with a key of KMS), `opaque HEAD
    STATUS` (that, and who looks at an object is answered so), `opaque HEAD other` (that, and it is another object), or
    `as-form` (no fault: the query becomes the body, as moto's STS wants it).
    """

    request: str
    then: str
    times: int = 1_000_000
    seen: list[str] = field(default_factory=list)  # first lines of all requests
    happened: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def faulty(port: int, fault: Fault, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """Stand in front of a store on loopback, with TLS or without; gives the URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await _pass_on(port, fault, reader, writer)
        writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(port: int, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first = head.partition(b"\r\n")[0].decode()
        fault.seen.append(first)
        length = int(found[1]) if (found := _LENGTH.search(head)) else 0
        happens = fault.request in first and fault.times > 0
        if happens:
            fault.times -= 1
            fault.happened.set()
            if fault.then == "cut":
                await reader.readexactly(length // 2)
                writer.transport.abort()
                return
        body = await reader.readexactly(length)
        if happens and fault.then == "hang":
            await asyncio.sleep(60)
        if happens and fault.then == "slow-down":
            writer.write(SLOW_DOWN)
            continue
        if happens and fault.then.startswith("redirect "):
            _, status, location = fault.then.encode().split()
            writer.write(b"HTTP/1.1 %b Elsewhere\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, location))
            continue
        if happens and fault.then.startswith("opaque HEAD") and first.startswith("HEAD") and fault.then[-1].isdigit():
            writer.write(b"HTTP/1.1 %b No\r\nContent-Length: 0\r\n\r\n" % fault.then[-3:].encode())
            continue
        if happens and fault.then == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        if happens and fault.then == "as-form":
            body = first.partition("?")[2].partition(" ")[0].encode()
            form = b"POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
            head = form % len(body)
        answer = await _ask(port, head, body)
        if happens and fault.then.startswith("opaque"):
            other = first.startswith("HEAD") and fault.then.endswith("other")
            answer = answer if "partNumber" in first else _MD5.sub(b"1" * 32 if other else b"0" * 32, answer)
        if happens and fault.then == "lost":
            writer.transport.abort()
            return
        writer.write(answer)


async def _ask(port: int, head: bytes, body: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(answer)
        if found and not head.startswith(b"HEAD "):
            answer += await reader.readexactly(int(found[1]))
        return answer
    finally:
        writer.transport.abort()
