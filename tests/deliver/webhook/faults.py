"""Every fault of a receiver, what the client hears, and whether the receiver has the message.

A server that does what it should makes none of them. So they are made by a script on a plain socket, which reads what
it is sent as HTTP says and counts the messages that have come in whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

NO, YES, MAYBE = "is not there", "is there", "may be there"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LATER = 60.0  # seconds: longer than anybody waits


@dataclass
class Exchange:
    """One request, as the receiver's side sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    whole: list[bytes] = field(default_factory=list)  # messages that have come in
    head: bytes = b""

    async def read_head(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")

    async def read_body(self) -> None:
        length = int(self.head.lower().partition(b"\r\ncontent-length:")[2].split()[0])
        self.whole.append(await self.reader.readexactly(length))

    async def read(self) -> None:
        await self.read_head()
        await self.read_body()

    async def say(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


def answers(octets: bytes, *, then: float = 0.0) -> Script:
    """Read the request, answer this, stay for so long, and close."""

    async def script(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.say(octets)
        await asyncio.sleep(then)

    return script


def status(line: str, fields: str = "") -> Script:
    return answers(f"HTTP/1.1 {line}\r\n{fields}Content-Length: 0\r\n\r\n".encode())


def without_end(begin: bytes, again: bytes) -> Script:
    """Read the request, and answer for ever, as fast as it is read."""

    async def script(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.say(begin)
        while True:
            await exchange.say(again * 100)

    return script


def drips(octets: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.read()
        for octet in octets:
            await exchange.say(bytes([octet]))
            await asyncio.sleep(0.3)

    return script


async def close_at_once(exchange: Exchange) -> None:
    del exchange


async def reset_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def close_after_head(exchange: Exchange) -> None:
    await exchange.read_head()


async def reset_in_body(exchange: Exchange) -> None:
    await exchange.read_head()
    await exchange.reader.read(10)
    exchange.reset()


async def read_half_and_hang(exchange: Exchange) -> None:
    await exchange.read_head()
    await asyncio.sleep(LATER)


async def reset_after_body(exchange: Exchange) -> None:
    await exchange.read()
    exchange.reset()


def early(octets: bytes) -> Script:
    """Answer when the header fields have come, and read no more."""

    async def script(exchange: Exchange) -> None:
        await exchange.read_head()
        await exchange.say(octets)
        await asyncio.sleep(0.5)

    return script


async def early_and_read(exchange: Exchange) -> None:
    await exchange.read_head()
    await exchange.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
    await exchange.read_body()


@dataclass(frozen=True)
class Case:
    """What a receiver does; the code of the reply, or the codes of which it is one; whether the message is there."""

    script: Script
    code: str
    has: str
    large: bool | None = None  # whether it is for a message that is streamed only, or for a small one only
    hangs: bool = False  # whether it is the route's timeoutSeconds that end it


def of_statuses() -> dict[str, Case]:
    replies = {"250": (200, 201, 202, 204, 206, 299), "554": (406,), "552": (413,)}
    by_status = {code: reply for reply, codes in replies.items() for code in codes}
    refused = (300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 411, 412, 414, 415)
    refused += (
        417,
        418,
        421,
        422,
        423,
        425,
        426,
        428,
        429,
        431,
        451,
        499,
        500,
        501,
        502,
        503,
        504,
        505,
        507,
        511,
        599,
        999,
    )
    return {
        str(code): Case(status(f"{code} x", "Location: /elsewhere\r\n" if 300 <= code < 400 else ""), reply, YES)
        for code, reply in {**by_status, **dict.fromkeys(refused, "451")}.items()
    }


STATUSES = of_statuses()
FAULTS: dict[str, Case] = {
    # the way there
    "closes the connection at once": Case(close_at_once, "451", NO),
    "resets it at once": Case(reset_at_once, "451", NO),
    "closes it behind the header fields": Case(close_after_head, "451", NO),
    "resets it in the middle of the message": Case(reset_in_body, "451", NO),
    "reads no more than the header fields": Case(read_half_and_hang, "451", NO, hangs=True),
    "closes it behind the message, without an answer": Case(answers(b""), "451", MAYBE),
    "resets it behind the message": Case(reset_after_body, "451", MAYBE),
    "never answers": Case(answers(b"", then=LATER), "451", MAYBE, hangs=True),
    # answers that are none
    "answers an octet each 0.3 s": Case(drips(OK), "451", MAYBE, hangs=True),
    "closes it within the answer's header fields": Case(answers(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"), "451", MAYBE),
    "answers nothing but nonsense": Case(answers(b"\x00\xff\r\n\r\n"), "451", MAYBE),
    "answers SMTP": Case(answers(b"220 mx.example.org ESMTP\r\n"), "451", MAYBE),
    "answers HTML alone": Case(answers(b"<html>200 OK</html>\r\n\r\n"), "451", MAYBE),
    "answers without a status": Case(answers(b"HTTP/1.1\r\n\r\n"), "451", MAYBE),
    "answers with a status of two digits": Case(answers(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"), "451", MAYBE),
    "answers with a status of letters": Case(answers(b"HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n"), "451", MAYBE),
    "answers HTTP/3.7": Case(answers(b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n"), "451", MAYBE),
    "answers with a status line without end": Case(without_end(b"HTTP/1.1 200 ", b"x"), "451", MAYBE),
    "answers with a header field without end": Case(without_end(b"HTTP/1.1 200 OK\r\nX: ", b"x"), "451", MAYBE),
    "answers with header fields without end": Case(without_end(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "451", MAYBE),
    "says 100 Continue without end": Case(without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "451", MAYBE, hangs=True),
    "switches protocols": Case(
        answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "451", MAYBE
    ),
    "gives a negative length": Case(answers(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "451", MAYBE),
    "gives two lengths": Case(
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), "451", MAYBE
    ),
    "has a NUL in a header field": Case(answers(b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"), "451", MAYBE),
    # answers that are, and what follows them
    "says 100 Continue first": Case(answers(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), "250", YES),
    "gives early hints first": Case(answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK), "250", YES),
    "answers HTTP/1.0, and closes": Case(answers(b"HTTP/1.0 200 OK\r\n\r\nthanks"), "250", YES),
    "says 200, and a body without end": Case(
        without_end(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), "250", YES
    ),
    "says 200, and a body that never comes": Case(
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", then=LATER), "250", YES
    ),
    "says 200, and half a body": Case(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), "250", YES),
    "says 200, and chunks that are none, all at once": Case(
        answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"), "451", MAYBE
    ),
    "says 200, and a body that pretends to be compressed": Case(
        answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"), "250", YES
    ),
    "says 500, and a body without end": Case(
        without_end(b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), "451", MAYBE
    ),
    "says 413 before it has the message, and reads on": Case(early_and_read, "552", MAYBE),
    "says 413 before it has the message, and closes": Case(
        early(b"HTTP/1.1 413 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), "552", NO
    ),
    "says 401 before it has the message, and closes": Case(
        early(b"HTTP/1.1 401 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), "451", NO
    ),
    "says 200 before it has the message": Case(early(OK), "451", NO, large=True),
}


class Receiver:
    """Plays a script at each connection."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.whole: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await self._script(Exchange(reader, writer, self.whole))
        writer.close()
