"""A dialog, being played: a server and its clients in one event loop, and what each of them sees."""

from __future__ import annotations

import asyncio
import fnmatch
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import bcrypt
import orjson
import yaml
from argon2.low_level import Type, hash_secret
from structlog.testing import capture_logs

from mailport.address.mail_address import Address
from mailport.deliver.destination import Outcome
from mailport.deliver.maildir.mailbox import folder_name
from mailport.listener import errors, proxy, server, session, tls_layer, transaction
from mailport.listener.bindings import Bound
from mailport.listener.config import Config, Route
from mailport.listener.credentials import PasswordChecks
from mailport.listener.load import Loader, Places
from mailport.listener.server import Server
from mailport.listener.tls import self_signed
from mailport.message.content import MEMORY, Space
from mailport.message.message import Message
from mailport.policy import limits
from tests.authentication.zones import Zone
from tests.checks.dns_server import dns_server
from tests.listener import dialogs
from tests.listener.dialogs import FOLDER, Dialog, Step
from tests.serving import merge

SECONDS = 5.0  # within which whatever is expected happens

_BASE = yaml.safe_load((FOLDER / "base.yaml").read_text())
HURRY = {  # what a dialog's `hurry` may name: the constants that it stands for
    "uncounted refusals": ((errors, "MAX_UNCOUNTED"),),
    "proxy header": ((proxy, "TIMEOUT"),),
    "handshakes that wait": ((tls_layer, "MOST_WAITING"),),
    "handshake": ((session, "HANDSHAKE_TIMEOUT"), (server, "HANDSHAKE_TIMEOUT")),
    "slot": ((transaction, "SLOT_WAIT"),),
    "grace of minDataRate": ((limits, "GRACE_SECONDS"),),
}
_CLIENT = re.compile(r"client (\w+)(?: on (\S+))?(?: from (\S+))?")
_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|(\S+))')


@cache
def secrets_of_tests() -> dict[tuple[str, str], bytes]:
    """The Secrets of base.yaml. The hashes are as cheap as they come."""
    chain, key = self_signed("mx.example.org", datetime.now(UTC))
    argon2 = hash_secret(b"correct horse", b"salt of tests", 1, 8, 1, 32, Type.ID).decode()
    bcrypted = bcrypt.hashpw(b"battery staple", bcrypt.gensalt(4)).decode()
    users = f"anna@example.org:{argon2}\nbert:{bcrypted}\n".encode()
    return {("tls", "tls.crt"): chain, ("tls", "tls.key"): key, ("users", "htpasswd"): users}


def zone_of(names: dict[str, list[Any]]) -> Zone:
    """A dialog's `dns`: for each name `TYPE: value`s, and how the server fails for it."""
    return {
        name: [entry if isinstance(entry, tuple) else (entry, None) for one in entries for entry in _entries(one)]
        for name, entries in names.items()
    }


def _entries(entry: Any) -> list[Any]:
    if not isinstance(entry, dict):
        return [entry]
    return [(kind, tuple(value) if kind == "MX" else value) for kind, value in entry.items()]


class Faulty:
    """A destination that fails in one step as none of its authors thought of."""

    def __init__(self, inner: Any, step: str) -> None:
        self._inner = inner
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._step else getattr(self._inner, name)

    async def _fail(self, *_: object) -> None:
        raise RuntimeError("as the dialog has it")


class Slow:
    """A destination that takes its time over each delivery."""

    def __init__(self, inner: Any, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        await asyncio.sleep(self._seconds)
        return await self._inner.deliver(message, recipients)


class Served:
    """A server for one dialog."""

    def __init__(self, dialog: Dialog, folder: Path) -> None:
        self.mail = folder / "mail" / "default"
        self.spec = merge(_BASE, dialog.spec)
        self._dns = ExitStack()
        if dialog.dns:
            asked = self._dns.enter_context(dns_server(zone_of(dialog.dns)))
            servers = [{"address": "127.0.0.1", "port": asked.port}]
            self.spec = merge(self.spec, {"checks": {"dns": {"servers": servers, "timeoutSeconds": 1}}})
        self._file = folder / "inboundsmtp.json"
        for (name, key), value in secrets_of_tests().items():
            if dialog.secrets.get(name) != "missing":
                (folder / "secrets" / name).mkdir(parents=True, exist_ok=True)
                (folder / "secrets" / name / key).write_bytes(value)
        for name, state in dialog.folders.items():
            path = self.mail / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if state == "broken":
                path.symlink_to(path)  # ELOOP, for root too
            else:
                path.mkdir()
        self._dialog = dialog
        self._loader = Loader(
            Places((self._file,), (folder / "secrets",), mail=folder / "mail", local_destinations=True)
        )
        self._passwords = PasswordChecks()
        self.draining: asyncio.Task[int] | None = None
        self.space = Space(folder, dialog.space.get("scratch", 1 << 30), dialog.space.get("memory", MEMORY))
        self.server = Server(self._load(), self._passwords, self.space)
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        bound = []
        for listener in self.spec["listeners"]:
            listening = socket.create_server(("127.0.0.1", 0), backlog=64)
            listening.setblocking(False)
            self.ports[listener["name"]] = listening.getsockname()[1]
            bound.append(Bound(listener["name"], listener["port"], listening))
        self.server.start(bound)

    def _load(self) -> Config:
        about = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}}
        self._file.write_bytes(orjson.dumps(about | {"spec": self.spec}))
        config = self._loader.load()
        assert not config.document_faults
        return replace(config, routes=tuple(map(self._as_the_dialog_has_it, config.routes)))

    def _as_the_dialog_has_it(self, route: Route) -> Route:
        if step := self._dialog.faults.get(route.name):
            return replace(route, destination=Faulty(route.destination, step))
        if seconds := self._dialog.slow.get(route.name):
            return replace(route, destination=Slow(route.destination, seconds))
        return route

    @property
    def drain_seconds(self) -> int:
        return self.server.config.spec.drain_seconds

    def reload(self, change: dict[str, Any]) -> None:
        self.spec = merge(self.spec, change)
        self.server.use(self._load())

    def drain(self, seconds: float, *, first: Callable[[], None] = lambda: None) -> None:
        """Tell the server to stop; nothing comes between `first` and its first deeds."""

        async def drain() -> int:
            first()
            return await self.server.drain(seconds)

        self.draining = asyncio.create_task(drain())

    async def end(self) -> int:
        """Wait until all have left; return how many sessions had to be aborted."""
        if self.draining is None:
            self.drain(SECONDS)
        assert self.draining is not None
        try:
            return await self.draining
        finally:
            self._passwords.close()
            self.server.handshakes.close()
            self.space.close()
            self._dns.close()
            for route in self.server.config.routes:
                await route.destination.close()


@dataclass
class Client:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeted: bool = False
    tls: bool = False
    ended: bool = False

    @classmethod
    async def connect(cls, port: int, source: str) -> Client:
        return cls(*await asyncio.open_connection(sock=connected(port, source), limit=1 << 20))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with suppress(ConnectionError):  # it has closed, which what is expected next tells
            await self.writer.drain()

    async def line(self) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await self.reader.readline()

    async def rest(self) -> bytes:
        """Read until it closes, which a server that has not read all of ours does with a reset."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self.reader.read()
        except ConnectionResetError:
            return b""

    async def ehlo(self, name: bytes) -> None:
        if not self.greeted:
            assert (line := await self.line()).startswith(b"220 "), line
        self.greeted = True
        await self.send(b"EHLO " + name + b"\r\n")
        while (line := await self.line())[3:4] == b"-":
            assert line.startswith(b"250-"), line
        assert line.startswith(b"250 "), line

    async def start_tls(self) -> None:
        assert not self.reader._buffer, f"before the handshake there came {bytes(self.reader._buffer)!r}"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with asyncio.timeout(SECONDS):
            await self.writer.start_tls(context, server_hostname="mx.example.org")
        self.tls = True

    async def end(self) -> None:
        """Leave, when nothing more has come. Until then session tickets may come, which nobody wants (chasquid#64)."""
        if self.ended:
            return
        self.ended = True
        if not self.tls and not self.writer.is_closing():
            with suppress(OSError):
                self.writer.write_eof()
            assert not (more := await self.rest()), f"nobody expected {more!r}"
        assert not self.reader._buffer, f"nobody expected {bytes(self.reader._buffer)!r}"
        if self.tls:
            connection = self.writer.get_extra_info("ssl_object")
            assert connection.compression() is None, "TLS compression"
            assert connection.session is None or not connection.session.has_ticket, "a session ticket"
        await self.leave()

    async def leave(self) -> None:
        self.ended = True
        self.writer.close()
        with suppress(OSError):  # it was cut off, or closed before
            async with asyncio.timeout(SECONDS):
                await self.writer.wait_closed()


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Connect without letting the event loop turn: the connection waits to be accepted."""
    connection = socket.create_connection(("127.0.0.1", port), SECONDS, (source, 0))
    connection.setblocking(False)
    return connection


@dataclass
class Play:
    """One dialog, being played."""

    dialog: Dialog
    served: Served
    logged: list[Any]
    clients: dict[str, Client] = field(default_factory=dict)
    client: Client | None = None
    named: set[int] = field(default_factory=set)  # the lines of the log that a LOG has named, by their id()
    read: list[Path] = field(default_factory=list)  # messages that a MAIL has named
    aborted: int = 0  # sessions that outlived drainSeconds

    async def play(self) -> None:
        """Go through it line by line. AssertionError names the line."""
        for step in self.dialog.steps:
            try:
                await self._step(step)
            except (AssertionError, OSError, EOFError) as error:
                where = f"tests/dialogs/{self.dialog.name}.txt:{step.line}: {step.kind}: {step.text}"
                last = [{name: value for name, value in line.items() if value is not None} for line in self.logged[-3:]]
                raise AssertionError(f"{where}\n{type(error).__name__}: {error}\nlogged last: {last}") from error

    async def _step(self, step: Step) -> None:
        match step.kind:
            case "LOG":
                for _ in range(step.times):
                    await self._log(step.text)
            case "MAIL":
                self._mail(step.text, step.following)
            case "---":
                await self._do(step.text)
            case "C":
                await (await self._current()).send(step.data)
            case _:
                client = await self._current()
                client.greeted = True
                for _ in range(step.times):
                    line = await client.line()
                    assert re.fullmatch(dialogs.pattern(step.text) + b"\r\n", line), f"there came {line!r}"

    async def _current(self) -> Client:
        if self.client is None:
            await self._switch("first", None, None)
        assert self.client is not None
        return self.client

    async def _switch(self, name: str, listener: str | None, source: str | None) -> None:
        if name not in self.clients:
            port = self.served.ports[listener or next(iter(self.served.ports))]
            self.clients[name] = await Client.connect(port, source or "127.0.0.1")
        self.client = self.clients[name]

    async def _do(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        if match := _CLIENT.fullmatch(text):
            await self._switch(match[1], match[2], match[3])
        elif word == "EHLO":
            await (await self._current()).ehlo(dialogs.octets(rest))
        elif text == "TLS":
            await (await self._current()).start_tls()
        elif text == "closed":
            client = await self._current()
            assert not (more := await client.rest()), f"before it closed there came {more!r}"
            await client.end()
        elif text == "leaves":
            await (await self._current()).leave()
        elif text == "writes no more":
            (await self._current()).writer.write_eof()
        elif word == "pause":
            await asyncio.sleep(float(rest))
        elif word == "reload":
            self.served.reload(yaml.safe_load(rest))
        elif text == "drain":
            self.served.drain(self.served.drain_seconds)
        elif match := re.fullmatch(r"drained, (\d+) aborted", text):
            self.aborted = int(match[1])
            assert self.served.draining is not None, "nobody told it to stop"
            await self.served.draining
        elif match := re.fullmatch(r"drain, (\w+) in the backlog", text):
            port, waiting = next(iter(self.served.ports.values())), []
            self.served.drain(self.served.drain_seconds, first=lambda: waiting.append(connected(port)))
            await asyncio.sleep(0)
            self.clients[match[1]] = Client(*await asyncio.open_connection(sock=waiting[0]))
        else:
            raise AssertionError(f"nobody knows how to do {text!r}")

    async def _log(self, text: str) -> None:
        """Find the first line that is as this says and that nobody has named yet; it may still be on its way."""
        word, _, rest = text.partition(" ")
        kind = word if word in {"message", "error"} else "refused"
        wanted = {name: quoted or plain for name, quoted, plain in _FIELD.findall(rest)}
        if kind == "refused":
            wanted["reason"] = word
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                while (line := self._first(kind, wanted)) is None:  # noqa: ASYNC110 - structlog has no event for it
                    await asyncio.sleep(0.01)
                self.named.add(id(line))
                return
        raise AssertionError(f"not in the log, where nobody named {self._unnamed(kind)}")

    def _first(self, kind: str, wanted: dict[str, str]) -> Any:
        for line in self._unnamed(kind):
            if all(fnmatch.fnmatchcase(str(line.get(name)), value) for name, value in wanted.items()):
                return line
        return None

    def _unnamed(self, kind: str) -> list[Any]:
        """Return the lines of a kind that no LOG has named."""
        key = "log_level" if kind == "error" else "event"
        return [line for line in self.logged if line[key] == kind and id(line) not in self.named]

    def _mail(self, text: str, content: tuple[str, ...]) -> None:
        address, _, folder = text.partition(" in ")
        local, _, domain = address.rpartition("@")
        place = self.served.mail / domain / folder_name(local).decode() / (f".{folder}" if folder else "")
        found = [path for path in self._delivered(place) if path.parent.parent == place]
        message = next((path for path in found if path not in self.read), None)
        assert message is not None, "no such message"
        self.read.append(message)
        octets = message.read_bytes()
        assert not content or dialogs.patterns(content).fullmatch(octets), octets.decode(errors="backslashreplace")

    def _delivered(self, folder: Path) -> list[Path]:
        return sorted(folder.rglob("new/*"), key=lambda path: path.stat().st_mtime_ns)

    async def end(self) -> None:
        """Nothing is left unsaid."""
        for client in self.clients.values():
            await client.end()
        aborted = await self.served.end()

        assert aborted == self.aborted, f"{aborted} sessions were aborted"
        for kind in ("refused", "error"):
            assert not (more := self._unnamed(kind)), f"nobody named {more}"
        mail = [path for path in self._delivered(self.served.mail) if path not in self.read]
        assert not mail, f"nobody named {mail}"
        assert not (left := list(self.served.mail.rglob("tmp/*"))), f"left behind: {left}"


@asynccontextmanager
async def playing(dialog: Dialog, folder: Path) -> AsyncIterator[Play]:
    """Serve for a dialog; what is left unsaid at the end is complained about."""
    with capture_logs() as logged:
        play = Play(dialog, Served(dialog, folder), logged)
        play.served.start()
        try:
            yield play
            await play.end()
        except BaseException:
            for client in play.clients.values():
                client.writer.transport.abort()
            await play.served.end()
            raise
