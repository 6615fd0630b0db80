"""The promise of a next hop: no 250 without a message. Real servers, and a proxy that makes one fault (faults.py)."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import NotDelivered, Receipt
from mailport.deliver.health import Health
from mailport.deliver.next_hop.destination import NextHop
from mailport.listener.config import Route
from mailport.listener.delivered import Delivered
from mailport.listener.slots import Slots
from mailport.listener.transaction import Transaction
from mailport.message.content import Space
from mailport.policy.rcpt import RouteFacts
from mailport.policy.replies import Reply
from tests.deliver.conftest import deliver
from tests.deliver.next_hop import faults, servers
from tests.deliver.next_hop.faults import (
    BY_CODE,
    MATRIX,
    MAYBE,
    NO,
    OTHERS,
    PLAIN,
    RESTART,
    WITH_LOGIN,
    WITH_TLS,
    YES,
    Case,
)
from tests.deliver.next_hop.faulty import CONTENT, DATA, GREETING, MAIL, MIDDLE, QUIT, Fault, Proxy, faulty
from tests.deliver.next_hop.hops import LOGIN, next_hop
from tests.deliver.next_hop.servers import NextHopServer, taken_as
from tests.disks import needs_root
from tests.listener.transactions import CLIENT, ENVELOPE, config
from tests.ports import free_port
from tests.serving import eventually
from tests.tables import table

ANNA = "anna@example.org"
KINDS = {"lmtp": servers.dovecot, "smtp": servers.postfix}
AT_ONCE = 16
LONG = 30  # seconds of a route where nothing hangs: whatever else this machine does
SHORT = 6  # long enough to come to the fault, on a machine that has other work
BY_DATA = frozenset({"CHUNKING"})  # what a server does not offer that is sent to by DATA

CASES: dict[str, Case] = {
    **{
        f"{step}: {instead}": case
        for step, cells in MATRIX.items()
        for instead, case in cells.items()
        if case is not None
    },
    **BY_CODE,
    **OTHERS,
}
# Each way that it can go: by BDAT and DATA from there on, and the fault there when the recipient is asked for or later
FROM_DATA_ON = (DATA, MIDDLE, CONTENT)
_numbers = itertools.count()


@dataclass(frozen=True)
class Came:
    """What came of a fault."""

    reply: Reply
    happened: bool  # it has come to the fault
    failures: int  # that the breaker has counted
    copies: int  # at the destination
    copies_later: int | None  # after the sender's next attempt, where it makes one
    said: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return "\n".join((f"{self.reply.code} {self.reply.enhanced} {self.why}", *self.said))


@dataclass
class Sender:
    """One message of one sender, over one route."""

    hop: NextHop
    recipient: Address
    content: bytes
    space: Space
    folder: Path
    seconds: float  # that the destination has where something goes wrong: no more than is needed
    why: str = ""  # for the log

    async def send(self, fault: Fault, *, at_rcpt: bool = True) -> Reply:
        """Send it, as a session does; return the reply to RCPT where that is none, else to the content.

        What goes wrong does so from the beginning, or from behind RCPT on.
        """
        route = _route(self.hop)
        transaction = Transaction(config(self.folder), ENVELOPE, asyncio.get_running_loop().time)
        over, fault.over = fault.over, fault.over or not at_rcpt
        self.hop._trials.seconds = LONG if fault.over else self.seconds
        reply = await transaction.add(self.recipient, route)
        fault.over = over
        self.hop._trials.seconds = LONG if fault.over else self.seconds
        if reply.positive:
            incoming = transaction.begin(self.space, CLIENT)
            await incoming.take(self.content)
            reply = await transaction.finish(Delivered())
        self.why = transaction.detail
        return reply


def of_kind(kind: str) -> Iterator[tuple[str, Case, bool, bool]]:
    """Yield each case of a kind with its name, whether it goes by DATA, and whether the fault is there at RCPT."""
    for name, case in CASES.items():
        if kind not in case.kinds:
            continue
        for by_data in (False, True):
            if by_data and case.fault.at not in FROM_DATA_ON:
                continue
            if not by_data and case.fault.at == DATA:
                continue
            for at_rcpt in (True,) if case.at_rcpt_only else (True, False):
                yield name, case, by_data, at_rcpt


Key = tuple[str, str, bool, bool]


class Run:
    """All cases of a kind, some at a time."""

    def __init__(self, kind: str, server: NextHopServer, folder: Path, silent: int) -> None:
        self.kind, self.server, self.folder = kind, server, folder
        self.silent = silent  # a port that answers no connection
        self.space = Space(folder)
        self.came: dict[Key, Came | Exception] = {}

    async def all(self) -> None:
        some = asyncio.Semaphore(AT_ONCE)

        async def one(name: str, case: Case, *way: bool) -> None:
            async with some:
                try:
                    self.came[self.kind, name, *way] = await self.one(case, *way)
                except Exception as error:  # noqa: BLE001 - of this case; its test names it
                    self.came[self.kind, name, *way] = error

        cases = [*of_kind(self.kind)]
        await asyncio.gather(*[one(*case) for case in cases if not case[1].server])
        for case in cases:  # the server is down for a moment
            if case[1].server:
                await one(*case)
        self.space.close()

    async def one(self, case: Case, by_data: bool, at_rcpt: bool) -> Came:
        subject = f"Subject: fault {next(_numbers)}.\r\n".encode()
        acting: list[asyncio.Task[None]] = []

        async def act() -> None:
            acting.append(asyncio.create_task(self._act(case)))
            await asyncio.shield(acting[-1])  # the connection it comes from ends with the server

        fault = replace(case.fault, act=act if case.server else None)
        async with AsyncExitStack() as stack:
            hop, proxy = await self._hop(stack, case, fault, by_data)
            recipient = Address.parse(f"{case.recipient}@example.org")
            content = subject + b"\r\n" + b"a line of it\r\n" * (case.octets // 14 + 1)
            slow = case.fault.then in ("hang", "drip") or case.settings.get("port") == "silent"
            seconds = SHORT if slow and case.reply == "451" else LONG
            sender = Sender(hop, recipient, content, self.space, self.folder, seconds)
            reply = await sender.send(fault, at_rcpt=at_rcpt)
            await asyncio.gather(*acting)
            why, failures = sender.why, hop._trials.breaker._failures
            if case.fault.at == QUIT:
                await hop.close()
                await asyncio.wait_for(_until(lambda: fault.happened > 0), 20)
            copies = await self._copies(case, subject, wait=reply.positive)
            later = None
            if case.fault.at and case.reply == "451":
                fault.over = True
                assert (await sender.send(fault)).positive, sender.why
                later = await self._copies(case, subject, wait=True)
        return Came(reply, fault.happened > 0, failures, copies, later, tuple(proxy.said) if proxy else (), why)

    async def _hop(
        self, stack: AsyncExitStack, case: Case, fault: Fault, by_data: bool
    ) -> tuple[NextHop, Proxy | None]:
        """Return the route's destination, and what stands in front of the server where something does."""
        port = case.settings.get("port", "")
        settings = {"seconds": LONG} | {key: value for key, value in case.settings.items() if key != "port"}
        if case.way != PLAIN:
            settings.setdefault("mode", "StartTLSRequired")
        if case.way == WITH_LOGIN:
            settings.setdefault("login", LOGIN)
        proxy = None
        if port in ("nobody", "silent"):
            number = free_port() if port == "nobody" else self.silent
        else:
            by_way = {WITH_TLS: "starttls", WITH_LOGIN: "submission"}
            number = self.server.ports.get(port or by_way.get(case.way, ""), self.server.port)
        if case.fault.at or case.proxy:
            options = {"without": BY_DATA} if by_data else {}
            proxy = await stack.enter_async_context(faulty(number, fault, **options, **case.proxy))
            number = proxy.port
        return await stack.enter_async_context(next_hop(self.kind, number, **settings)), proxy

    async def _act(self, case: Case) -> None:
        await asyncio.to_thread(self.server.stop if case.server == RESTART else self.server.kill)
        await asyncio.to_thread(self.server.start)

    async def _copies(self, case: Case, subject: bytes, *, wait: bool) -> int:
        """Return how many copies there are; what should come is waited for, as Postfix has it in its queue first.

        What Postfix took once, and delivered again because its own delivery was killed, is one.
        """

        def there() -> int:
            found = [one for one in self.server.messages(case.recipient) if subject in one]
            return len({taken_as(one) for one in found}) if self.kind == "smtp" else len(found)

        if wait:
            await asyncio.to_thread(eventually, there, f"{subject!r}")
        elif case.has == NO:
            await asyncio.sleep(0.2)
        if self.kind == "smtp" and (wait or case.has == MAYBE):
            await asyncio.to_thread(eventually, lambda: not self.server.queued(), "an empty queue", 60)
        return there()


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, Came | Exception]:
    """All that came of all faults."""
    found: dict[Key, Came | Exception] = {}
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        runs = [
            Run(kind, stack.enter_context(start()), tmp_path_factory.mktemp(kind), full.getsockname()[1])
            for kind, start in KINDS.items()
        ]

        async def both() -> None:
            await asyncio.gather(*[run.all() for run in runs])

        asyncio.run(both())
    for run in runs:
        found |= run.came
    return found


@pytest.mark.slow
@needs_root
@pytest.mark.timeout(600)  # the first waits for all
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_no_250_without_a_message(came: dict[Key, Came | Exception], kind: str, name: str):
    """Whether the fault is there when the recipient is asked for, or only then when the message is sent."""
    case = CASES[name]
    ways = [key for key in came if key[:2] == (kind, name)]

    assert bool(ways) == (kind in case.kinds)
    for way in ways:
        one = came[way]
        if isinstance(one, Exception):
            raise one
        assert one.happened or not case.fault.at, f"{way}: it did not come to that\n{one}"
        assert one.reply.line.decode().startswith(f"{case.reply} {case.enhanced}"), f"{way}: {one}"
        assert one.copies <= 1, f"{way}: {one}"
        assert case.has == MAYBE or one.copies == (case.has == YES), f"{way}: {one}"
        assert one.copies or not one.reply.positive, f"{way}: {one}"
        assert one.failures == case.counts, f"{way}: {one}"
        if one.copies_later is not None:
            assert one.copies_later == 1 + one.copies, f"{way}: {one}"


def test_the_page_has_what_the_tables_say():
    """`python -m tests.deliver.next_hop.faults` writes it."""
    text = faults.PAGE.read_text()

    assert faults.written(text) == text
    assert faults.page() in text


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("then", table({"reset": "reset", "later": "450 4.2.0 later", "hangs": "hang"}))
async def test_lmtp_answers_for_one_recipient_and_not_for_the_other(tmp_path: Path, then: str):
    """451, and when the message comes again only that one gets it, for the second time: Dovecot had saved it."""
    subject = f"Subject: fault {next(_numbers)}.".encode()
    delivered, space = Delivered(), Space(tmp_path)
    fault = Fault(CONTENT, then, behind=1)
    with servers.dovecot() as server:
        async with faulty(server.port, fault) as proxy, next_hop("lmtp", proxy.port, seconds=5) as hop:
            route = _route(hop)
            replies, copies = [], []
            for _ in range(2):
                transaction = Transaction(config(tmp_path), ENVELOPE, asyncio.get_running_loop().time)
                for name in ("anna", "carl"):
                    assert (await transaction.add(Address.parse(f"{name}@example.org"), route)).positive
                incoming = transaction.begin(space, CLIENT)
                await incoming.take(subject + b"\r\n\r\nfor both\r\n")
                replies.append(await transaction.finish(delivered))
                copies.append([sum(subject in one for one in server.messages(name)) for name in ("anna", "carl")])
                fault.over = True
    space.close()

    assert [(reply.code, reply.reason) for reply in replies] == [(451, "partial"), (250, "")]
    assert copies == [[1, 1], [1, 2]]


# --- connections that are kept


@pytest.fixture(scope="module", params=KINDS)
def kind_and_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, NextHopServer]]:
    with KINDS[request.param]() as server:
        yield request.param, server


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize(
    "then", table({"it is lost at the next MAIL": "reset", "421 to the next MAIL": "421 4.4.2 timeout"})
)
async def test_a_connection_that_broke_while_idle_costs_nothing(kind_and_server: tuple[str, NextHopServer], then: str):
    """The next message goes out on a new one, at once."""
    kind, server = kind_and_server
    fault = Fault(MAIL, then, times=1, over=True)
    subject = f"Subject: fault {next(_numbers)}.\r\n".encode()
    async with faulty(server.port, fault) as proxy, next_hop(kind, proxy.port) as hop:
        for _ in range(2):
            [outcome] = await deliver(hop, ANNA, content=subject + b"\r\nx\r\n")
            assert isinstance(outcome, Receipt)
            fault.over = False

    assert (fault.connections, fault.happened) == (2, 1)
    eventually(lambda: sum(subject in one for one in server.messages("anna")) == 2, "both")


@pytest.mark.slow
@needs_root
async def test_a_server_that_restarted_meanwhile_costs_nothing(kind_and_server: tuple[str, NextHopServer]):
    """Its connections are closed, which is seen; or it is killed, and they are reset."""
    kind, server = kind_and_server
    async with next_hop(kind, server.port) as hop:
        for end in (server.stop, server.kill, lambda: None):
            [outcome] = await deliver(hop, ANNA)
            assert isinstance(outcome, Receipt)
            end()
            server.start()


@pytest.mark.slow
@needs_root
async def test_a_delivery_that_is_cancelled_drops_its_connection(kind_and_server: tuple[str, NextHopServer]):
    """Half a message is none, and no other message goes out behind it."""
    kind, server = kind_and_server
    subject = f"Subject: fault {next(_numbers)}.\r\n".encode()
    fault = Fault(MIDDLE, "hang", heard=False)
    async with faulty(server.port, fault) as proxy, next_hop(kind, proxy.port) as hop:
        task = asyncio.create_task(deliver(hop, ANNA, content=subject + b"\r\nx\r\n"))
        await asyncio.wait_for(_until(lambda: fault.happened > 0), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert task.cancelled()
        assert len(hop._delivering) == 0
    assert not any(subject in one for one in server.messages("anna"))


@pytest.mark.slow
@needs_root
async def test_a_server_that_comes_back_is_used_again(kind_and_server: tuple[str, NextHopServer]):
    """While it is down 451 comes at once, then one message tries, and its success lets all through."""
    kind, server = kind_and_server
    fault = Fault(GREETING, "reset", times=5)
    subject = f"Subject: fault {next(_numbers)}.\r\n".encode()
    async with faulty(server.port, fault) as proxy, next_hop(kind, proxy.port) as hop:
        for _ in range(8):
            with pytest.raises(NotDelivered):
                await deliver(hop, ANNA, content=subject + b"\r\nx\r\n")
        assert fault.connections == 5, "it is left alone"
        hop._trials.breaker._open_until = 0.0  # the pause is over
        [outcome] = await deliver(hop, ANNA, content=subject + b"\r\nx\r\n")

    assert isinstance(outcome, Receipt)
    assert server.arrived("anna", subject)


def _route(hop: NextHop) -> Route:
    return Route("onward", RouteFacts(0, False, False), hop, Health(), Slots(5), timeout=LONG)


async def _until(check: Any) -> None:
    while not check():  # noqa: ASYNC110 - the proxy has no event for it
        await asyncio.sleep(0.01)
