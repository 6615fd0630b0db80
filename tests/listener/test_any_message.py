"""Any message, cut anywhere, by DATA and BDAT, in memory and on scratch; any destination fails at any step."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailport.address.mail_address import Address
from mailport.contract.model import Spec
from mailport.deliver.destination import Outcome, Receipt
from mailport.listener.credentials import PasswordChecks
from mailport.listener.proxy import Client
from mailport.listener.server import Server
from mailport.listener.session import Session
from mailport.listener.wire import Wire
from mailport.message.content import Space
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.policy.recipients import Router
from tests.listener.transactions import ACTS, Box, config, take

STEPS = ("verify", "before reading", "half-way", "at the end")
NAMES = ("anna", "bob", "carl")
_FIELD = re.compile(rb"[!-9;-~]+:")
_ANSWER = re.compile(rb"^\d{3} .*\r\n", re.MULTILINE)
LINES = [
    b"Subject: x\r\n",
    b"Received: by mx.example.org; now\r\n",
    b" folded\r\n",
    b"\r\n",
    b"text\r\n",
    b"a\nb\rc",
    b"\r\r\n",
    b".",
    b"x" * 300,
]


@dataclass
class Failing(Box):
    """A box that fails at one step; what it has read by then is not what it has."""

    step: str = "at the end"

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        if self.step == "verify" and not isinstance(outcome := self.act(), Receipt):
            raise outcome

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        if self.step == "before reading" and not isinstance(outcome := self.act(), Receipt):
            raise outcome
        if self.step == "half-way":
            async for _ in message.pieces(final=True):
                if not isinstance(outcome := self.act(), Receipt):
                    raise outcome
        return await super().deliver(message, recipients)


class Transport(asyncio.Transport):
    """What a socket's is to a Wire: it keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._more = asyncio.Event()

    def write(self, data: Any) -> None:
        self.written += bytes(data)
        self._more.set()

    async def more(self) -> None:
        """Wait until something is written."""
        self._more.clear()
        await self._more.wait()

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Talk:
    """A session without a socket, whose octets come as the test cuts them."""

    def __init__(self, folder: Path, boxes: list[Failing], memory: int) -> None:
        loaded = config(folder)
        self.boxes = boxes
        self.space = Space(folder, 1 << 20, memory)
        [route] = loaded.routes
        routes = [
            replace(
                route,
                name=name,
                facts=route.facts._replace(number=number),
                destination=box,
                timeout=30,
            )
            for number, (name, box) in enumerate(zip(NAMES, boxes, strict=False))
        ]
        self.config = replace(loaded, routes=tuple(routes), router=by_name(loaded.spec, len(boxes)))
        self.server = Server(self.config, PasswordChecks(), self.space)
        self.transport = Transport()
        self.wire = Wire(asyncio.get_running_loop())
        self.wire.connection_made(self.transport)
        self.session = Session(self.server, "smtp", self.wire, Client.of("192.0.2.1", 50000))
        self.session.user = "anna"  # who is logged in may mix routes
        self.running = asyncio.create_task(self.session.run())

    async def say(self, data: bytes, cuts: Sequence[int], answers: int = 1) -> bytes:
        """Send octets in pieces; return so many answers."""
        before = len(self.transport.written)
        ends = [*sorted({cut % len(data) for cut in cuts if cut % len(data)}), len(data)]
        for start, end in zip((0, *ends), ends, strict=False):
            self.wire.data_received(data[start:end])
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while len(_ANSWER.findall(self.transport.written, before)) < answers:
                await self.transport.more()
        return self.transport.written[before:]

    async def send(self, content: bytes, cuts: Sequence[int], chunks: Sequence[int] | None) -> tuple[list[int], int]:
        """Send a message by DATA, or by BDAT in chunks; return the indexes of who was accepted, and the last reply."""
        await self.say(b"MAIL FROM:<sender@example.net>\r\n", ())
        answers = [await self.say(b"RCPT TO:<%b@example.org>\r\n" % name.encode(), ()) for name in NAMES]
        accepted = [number for number, answer in enumerate(answers) if answer.startswith(b"250")]
        if not accepted:
            await self.say(b"RSET\r\n", ())
            return [], 0
        if chunks is None:
            await self.say(b"DATA\r\n", ())
            lines = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
            stuffed = lines.replace(b"\r\n.", b"\r\n..")
            stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
            answer = await self.say(stuffed + b".\r\n", cuts)
        else:
            ends = [*sorted({chunk % (len(content) + 1) for chunk in chunks}), len(content)]
            parts = [content[start:end] for start, end in zip((0, *ends), ends, strict=False)]
            commands = [b"BDAT %d\r\n%b" % (len(part), part) for part in parts[:-1]]
            answer = await self.say(
                b"".join(commands) + b"BDAT %d LAST\r\n%b" % (len(parts[-1]), parts[-1]), cuts, len(parts)
            )
        return accepted, int(answer.splitlines()[-1][:3])

    def holds_nothing(self) -> bool:
        slots = [route.slots.in_use for route in self.config.routes]
        return {self.space.memory.held, self.space.scratch.held, *slots} == {0}

    async def end(self) -> None:
        self.wire.connection_lost(None)  # the client is gone: nobody waits for it to read our last word
        await self.running
        self.server.passwords.close()
        self.space.close()


def passes(content: bytes) -> int:
    """Return how often we have had a message: what stands in its header section, and not in its body, says so."""
    ours, in_field = 0, False
    for line in re.split(rb"\r*\n|\r", content):
        if _FIELD.match(line):
            in_field = True
            ours += line.startswith(b"Received:")
        elif not (in_field and line.startswith(b" ")):
            break
    return ours


def by_name(document: Spec, routes: int) -> Router:
    """Each name has a route of its own."""
    [any_route] = document.routes
    named = [any_route.model_copy(update={"recipients": (f"{name}@example.org",)}) for name in NAMES[:routes]]
    return Router(named, hostname=document.hostname, postmaster=Address.parse("postmaster@example.org"))


@settings(deadline=None, max_examples=150)
@example([LINES[1]] * 5 + [b"\r\n", LINES[1]], [("crash", "before reading")], [], None, 0)
@example([LINES[1]] * 6, [("take", "verify")], [], None, 0)
@given(
    lines=st.lists(st.sampled_from(LINES), max_size=12),
    wanted=st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.sampled_from(STEPS)), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 1000), max_size=5),
    chunks=st.none() | st.lists(st.integers(0, 1000), max_size=3),
    memory=st.sampled_from([0, 200, 1 << 20]),
)
def test_the_reply_and_what_destinations_have_agree(lines, wanted, cuts, chunks, memory):
    """250: all have it. 4yz: it may come again, and then nobody has it twice. At the end nothing is held."""
    content = b"".join(lines)

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            boxes = [Failing(ACTS[act], step=step) for act, step in wanted]
            talk = Talk(Path(folder), boxes, memory)
            try:
                await talk.say(b"EHLO client.example.net\r\n", ())
                accepted, code = await talk.send(content, cuts, chunks)
                assert accepted == [at for at, (act, step) in enumerate(wanted) if act == "take" or step != "verify"]
                loops = passes(content) > 5
                assert talk.holds_nothing()
                assert_agreement(boxes, accepted, code, loops=loops)
                if 400 <= code < 500:
                    for box in boxes:
                        box.act = take
                    again, code = await talk.send(content, cuts, chunks)
                    assert_agreement(boxes, again, code, loops=loops)
                    assert {len(boxes[number].got) for number in accepted} == {0 if loops else 1}
                assert talk.holds_nothing()
            finally:
                await talk.end()

    asyncio.run(check())


def assert_agreement(boxes: list[Failing], accepted: list[int], code: int, *, loops: bool) -> None:
    took = [bool(boxes[number].got) for number in accepted]
    assert not any(box.got for number, box in enumerate(boxes) if number not in accepted)
    if not accepted:
        return
    if code == 250:
        assert all(took)
    else:
        assert 400 <= code < 600
        assert not all(took)
    if code == 554 and not loops:
        assert {boxes[number].act for number in accepted if not boxes[number].got} == {ACTS["refuse"]}
