"""A proxy in front of a real next hop that makes one fault, and writes down what is said.

What no server can be asked to do by itself is done here: everything else is the server's own. Where the client begins
TLS, the proxy ends it and begins its own with the server, so that faults can be made behind it too.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.certificates import Issued
from tests.deliver.next_hop.servers import CERTIFICATE, NAME

DRIP_SECONDS = 1.0  # between two octets, or between two pieces of content
HANG_SECONDS = 60.0

# What is answered, in the order of a transaction; the last two are no answers
GREETING, EHLO, STARTTLS, EHLO_OVER_TLS, AUTH = "the greeting", "EHLO", "STARTTLS", "EHLO over TLS", "AUTH"
MAIL, RCPT, RSET, DATA, CONTENT, QUIT = "MAIL", "RCPT", "RSET", "DATA", "the end of the content", "QUIT"
HANDSHAKE, MIDDLE = "the TLS handshake", "the middle of the content"

_COMMAND = re.compile(rb"(EHLO|LHLO|STARTTLS|AUTH|MAIL|RCPT|RSET|DATA|BDAT|QUIT)\b", re.IGNORECASE)
_ANSWER = re.compile(rb"(?:[2-5][0-9][0-9]-.*\r?\n)*[2-5][0-9][0-9](?: .*)?\r?\n")


@dataclass
class Fault:
    """What goes wrong.

    `at` is what the server would answer. `then` is what comes in place of its answer: `reset` (the connection),
    `close`, `hang`, `drip` (the answer, octet by octet), or a line. `heard`: the server hears what is being answered,
    and what is said behind it; False: it does not, nor has it the end of a message whose middle this comes in.
    `times` is how many connections it happens to, and `behind` how many answers of this kind go well before it.
    """

    at: str
    then: str
    heard: bool = True
    times: int = 1_000_000
    behind: int = 0
    act: Callable[[], Awaitable[None]] | None = None  # what is done first: the server restarts
    over: bool = False  # nothing more goes wrong
    connections: int = field(default=0, init=False)
    happened: int = field(default=0, init=False)


@dataclass
class Proxy:
    """Where it listens, and what has been said: lines with C and S in front, and * for TLS and content."""

    port: int
    said: list[str] = field(default_factory=list)


@asynccontextmanager
async def faulty(
    port: int,
    fault: Fault | None = None,
    *,
    certificate: Issued = CERTIFICATE,
    tls: ssl.TLSVersion | None = None,
    without: frozenset[str] = frozenset(),
) -> AsyncGenerator[Proxy]:
    """Stand in front of a server on loopback.

    `certificate` and `tls`, the only version, are what the client sees when TLS begins; `without` are keywords that the
    server is not to offer.
    """
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []
    fault = fault or Fault("nothing", "")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        fault.connections += 1
        try:
            await _Passing(fault, proxy.said, reader, writer, _context(certificate, tls), without).run(port)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            writers.append(writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = Proxy(listening.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        for _ in range(3):  # turns of the loop: what is aborted is closed in one of the next
            await asyncio.sleep(0)


def _context(certificate: Issued, version: ssl.TLSVersion | None) -> Callable[[], ssl.SSLContext]:
    def make() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.load_into(made)
        if version is not None:
            made.set_ciphers("ALL:@SECLEVEL=0")
            made.minimum_version = made.maximum_version = version
        return made

    return make


class _Passing:
    """One connection. `up` is the way to the server."""

    def __init__(
        self,
        fault: Fault,
        said: list[str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: Callable[[], ssl.SSLContext],
        without: frozenset[str],
    ) -> None:
        self.fault, self.said, self.reader, self.writer = fault, said, reader, writer
        self.context, self.without = context, without
        self.number = fault.connections
        self.awaited: deque[str] = deque([GREETING])
        self.answered: Counter[str] = Counter()
        self.accepted = 0  # recipients, each of which LMTP answers
        self.lmtp = False
        self.encrypted = False
        self.content: int | None = None  # octets to come of a chunk; -1: up to the line that is a dot
        self.tail = b""  # the last octets of content that have passed
        self.middle = False  # what goes wrong in the middle has
        self.deaf = False  # the server hears no more

    def due(self, at: str) -> bool:
        """Whether it goes wrong here and now."""
        return self.fault.at == at and self.number <= self.fault.times and not self.fault.over

    async def run(self, port: int) -> None:
        if self.due(GREETING) and self.fault.then == "reset":
            self.fault.happened += 1
            self.writer.transport.abort()
            return
        self.server, self.to_server = await asyncio.open_connection("127.0.0.1", port)
        up = asyncio.create_task(self._up())
        try:
            await self._down()
        finally:
            self.to_server.transport.abort()  # before anything is awaited, where this is cancelled
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)

    # To the server.

    async def _up(self) -> None:
        buffer = b""
        with suppress(OSError):
            while octets := await self.reader.read(65536):
                buffer += octets
                while buffer:
                    if self.content is not None:
                        buffer = await self._content(buffer)
                    elif (end := buffer.find(b"\n") + 1) > 0:
                        line, buffer = buffer[:end], buffer[end:]
                        await self._command(line)
                    else:
                        break
        if self.deaf:
            self.to_server.transport.abort()
        else:
            with suppress(OSError):
                self.to_server.write_eof()

    async def _command(self, line: bytes) -> None:
        self.said.append(f"C: {line.decode().rstrip()}")
        match = _COMMAND.match(line)
        step = match[1].decode().upper() if match else AUTH  # the answer to a 334
        if step == "LHLO":
            self.lmtp, step = True, EHLO
        if step == EHLO and self.encrypted:
            step = EHLO_OVER_TLS
        if step == "BDAT":
            _, length, *_ = line.split()
            self.content = int(length)
        else:
            self.awaited.append(step)
        if self.due(step) and not self.fault.heard:
            self.deaf = True
            await self._happen(b"")
        await self._on(line)

    async def _content(self, octets: bytes) -> bytes:
        """Pass content on; return what comes behind it."""
        assert self.content is not None
        if self.content >= 0:
            piece, rest = octets[: self.content], octets[self.content :]
            self.content -= len(piece)
            ended = self.content == 0
        else:
            end = (self.tail + octets).find(b"\r\n.\r\n")
            ended = end >= 0
            length = end + 5 - len(self.tail) if ended else len(octets)
            piece, rest = octets[:length], octets[length:]
            self.tail = (self.tail + piece)[-4:]
        if ended:
            self.content = None
            self.awaited.extend([CONTENT] * (self.accepted if self.lmtp else 1))
            self.said.append("C: * content")
        if self.due(MIDDLE) and self.fault.then == "drip":
            self.fault.happened += 1
            for octet in piece:
                await self._on(bytes([octet]))
                await asyncio.sleep(DRIP_SECONDS)
            return rest
        if self.due(MIDDLE) and not self.middle:
            self.middle = True
            half, piece = piece[: len(piece) // 2], piece[len(piece) // 2 :]
            await self._on(half)
            self.deaf = not self.fault.heard
            await self._happen(b"")
        if self.due(CONTENT) and not self.fault.heard and ended:
            self.deaf = True
            await self._happen(b"")
        await self._on(piece)
        return rest

    async def _on(self, octets: bytes) -> None:
        if not self.deaf:
            self.to_server.write(octets)
            await self.to_server.drain()

    # To the client.

    async def _down(self) -> None:
        buffer = b""
        while octets := await self.server.read(65536):
            buffer += octets
            while match := _ANSWER.match(buffer):
                answer, buffer = match[0], buffer[match.end() :]
                await self._answer(answer)

    async def _answer(self, answer: bytes) -> None:
        step = self.awaited.popleft() if self.awaited else ""
        for keyword in self.without if step in (EHLO, EHLO_OVER_TLS) else ():
            answer = _taken_out(answer, keyword)
        self.answered[step] += 1
        if self.due(step) and self.fault.heard and self.answered[step] > self.fault.behind:
            await self._happen(answer)
        elif step == STARTTLS and answer[:1] == b"2":
            await self._begin_tls(answer)
        else:
            self._say(answer)
        if answer[:1] == b"2" and step == RCPT:
            self.accepted += 1
        elif step in (RSET, CONTENT) and not self.awaited:
            self.accepted = 0
        elif step == DATA and answer[:1] == b"3":
            self.content, self.tail = -1, b"\r\n"

    def _say(self, answer: bytes) -> None:
        self.said += [f"S: {line}" for line in answer.decode(errors="replace").splitlines()]
        self.writer.write(answer)

    async def _begin_tls(self, answer: bytes) -> None:
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        await self.to_server.start_tls(unverified, server_hostname=NAME)
        self.encrypted = True
        self._say(answer)
        if self.due(HANDSHAKE):
            await self._happen(b"")
        try:  # nothing is awaited behind the answer, so nothing of the client's handshake has been read
            await self.writer.start_tls(self.context())
        except ssl.SSLError as error:
            raise ConnectionError(str(error)) from error
        self.said.append("* TLS")

    async def _happen(self, answer: bytes) -> None:
        """Do it. Raises OSError where that ends the connection."""
        then, self.fault.happened = self.fault.then, self.fault.happened + 1
        if self.fault.act is not None:
            await self.fault.act()
        if then == "reset":
            self.writer.transport.abort()
            raise ConnectionResetError
        if then == "close":
            self.writer.close()
            raise ConnectionResetError
        if then == "hang":
            await asyncio.sleep(HANG_SECONDS)
        elif then == "drip":
            for octet in answer or b"xxxxxxxx":
                self.writer.write(bytes([octet]))
                await asyncio.sleep(DRIP_SECONDS)
        elif then:
            self._say(then.encode() + b"\r\n")
            if self.deaf:  # nobody answers any more
                self.writer.close()
                raise ConnectionResetError


def _taken_out(answer: bytes, keyword: str) -> bytes:
    """Return an answer to EHLO without a keyword."""
    lines = [line[4:] for line in answer.splitlines() if line[4:].split(b" ")[0].upper() != keyword.encode()]
    code = answer[:3]
    return b"".join(code + (b"-" if line is not lines[-1] else b" ") + line + b"\r\n" for line in lines)
