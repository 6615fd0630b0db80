"""What goes wrong between us and a stream: what the client hears, and what is in the stream then."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Outcome, Receipt, Unavailable
from mailport.deliver.nats import answers
from mailport.deliver.nats.destination import Nats
from mailport.deliver.trials import NoTurn
from tests.deliver.conftest import MESSAGE, deliver, held, verify
from tests.deliver.nats.faulty import Fault, faulty
from tests.deliver.nats.servers import STREAM, NatsServer, client, cluster, make_stream, messages, nats_server
from tests.deliver.nats.streams import stream
from tests.ports import free_port
from tests.tables import table

pytestmark = [pytest.mark.slow]

UNAVAILABLE, MISCONFIGURED = "destination_unavailable", "destination_misconfigured"
WITH_ID = b"Message-ID: <one@example.net>\r\n" + MESSAGE
ACK = b'"seq":'


def nonsense(octets: bytes) -> Fault:
    """These octets in place of the acknowledgement."""
    return Fault(ACK, "hang", instead=octets)


async def attempt(destination: Nats, content: bytes = MESSAGE) -> Outcome:
    """Deliver to anna: the outcome, returned or raised."""
    try:
        (outcome,) = await deliver(destination, "anna@example.org", content=content)
    except Unavailable as error:
        return error
    return outcome


async def until_taken(destination: Nats, content: bytes) -> Receipt:
    async with asyncio.timeout(30):
        while not isinstance(outcome := await attempt(destination, content), Receipt):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return outcome


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not so():  # noqa: ASYNC110 - it is no event of ours
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "settings, why, reason",
    table(
        {
            "no such stream": ({"stream": "NONE"}, "stream not found", MISCONFIGURED),
            "a subject that the stream does not take": (
                {"subject": "post.{local}"},
                "takes no subject post.anna",
                MISCONFIGURED,
            ),
        }
    ),
)
async def test_a_fault_of_set_up(server: NatsServer, settings: dict[str, str], why: str, reason: str):
    async with stream(server.url, **settings) as destination:
        outcome = await attempt(destination)

    assert isinstance(outcome, Unavailable)
    assert why in str(outcome)
    assert (outcome.reply.code, outcome.reply.reason) == (451, reason)
    assert await messages(server) == []


async def test_a_subject_that_is_not_taken_holds_up_no_other(server: NatsServer):
    """However often it comes, the others' mail is taken."""
    async with stream(server.url, subject="{domain}.{local}") as destination:
        for _ in range(6):
            assert isinstance(await attempt(destination), Unavailable)
        (outcome,) = await deliver(destination, "anna@mail")

    assert isinstance(outcome, Receipt)


async def test_the_subject_is_another_streams(server: NatsServer):
    """Its stream must not get it: the server is told which one is expected."""
    await make_stream(server, name="OTHER", subjects=["post.>"])
    async with stream(server.url, subject="post.{local}") as destination:
        (outcome,) = await deliver(destination, "anna@example.org")
    found = await messages(server, "OTHER")
    async with client(server) as (_, jetstream):
        await jetstream.delete_stream("OTHER")

    assert isinstance(outcome, Unavailable)
    assert "expected stream does not match" in str(outcome)
    assert outcome.reply.reason == MISCONFIGURED
    assert found == []


async def test_a_stream_that_is_full(running: NatsServer):
    """With discard new it says so, and what is there stays."""
    await make_stream(running, max_msgs=1, discard="new")
    async with stream(running.url) as destination:
        (first,) = await deliver(destination, "anna@example.org")
        (second,) = await deliver(destination, "carl@example.org")
    found = await messages(running)
    async with client(running) as (_, jetstream):
        await jetstream.delete_stream(STREAM)

    assert isinstance(first, Receipt)
    assert isinstance(second, Unavailable)
    assert "maximum messages exceeded" in str(second)
    assert second.reply.reason == UNAVAILABLE
    assert [subject for subject, _, _ in found] == ["mail.example.org.anna"]


async def test_what_the_stream_does_not_take_holds_up_no_other(running: NatsServer):
    """However often it comes: a subject that is full, and one of a recipient without a local part."""
    await make_stream(running, max_msgs_per_subject=1, discard="new", discard_new_per_subject=True)
    async with stream(running.url) as destination:
        for number in range(7):
            another = b"Message-ID: <%d@example.net>\r\n" % number + MESSAGE
            (full,) = await deliver(destination, "full@example.org", content=another)
        (other,) = await deliver(destination, "anna@example.org", content=WITH_ID)
        (empty,) = await deliver(destination, '""@example.org', content=WITH_ID)
    found = await messages(running)
    async with client(running) as (_, jetstream):
        await jetstream.delete_stream(STREAM)

    assert isinstance(full, Unavailable)
    assert isinstance(other, Receipt)
    assert isinstance(empty, Receipt)
    assert [subject for subject, _, _ in found] == [f"mail.example.org.{local}" for local in ("full", "anna", "=")]


async def test_more_recipients_than_headers_can_name(server: NatsServer):
    """The stream takes headers of 64 KiB: the recipients of one subject are told apart in several messages."""
    recipients = [f"{'x' * 50}{number}@example.org" for number in range(1500)]
    async with stream(server.url, subject="mail.all") as destination:
        outcomes = await deliver(destination, *recipients)
    named = [headers["Mailport-Rcpt-To"].split(", ") for _, headers, _ in await messages(server)]

    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert [recipient for some in named for recipient in some] == recipients
    assert len(named) == 3


async def test_an_object_that_may_be_named_stays(server: NatsServer):
    """Where another answers in the stream's place, the message may be there: it comes again, and finds its object."""
    large = b"Message-ID: <one@example.net>\r\n\r\n" + b"y" * (3 * 1024 * 1024) + b"\r\n"
    async with client(server) as (_, jetstream):
        store = await jetstream.create_object_store("BODIES")
        async with stream(server.url, objectStore="BODIES", timeoutSeconds=20) as destination:
            read = answers.acknowledgement
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(answers, "acknowledgement", lambda octets, _: read(octets, "ANOTHER"))
                outcome = await attempt(destination, large)
            async with held(large) as whole:
                (again,) = await destination.deliver(whole.for_route(1), [Address.parse("anna@example.org")])
        [(_, headers, _)] = await messages(server)
        data = (await store.get(headers["Mailport-Object"])).data
        await jetstream.delete_object_store("BODIES")

    assert isinstance(outcome, Unavailable)
    assert isinstance(again, Receipt)
    assert data is not None
    assert data.endswith(large)


async def test_a_stream_that_goes_while_we_are_connected(server: NatsServer):
    async with stream(server.url) as destination:
        await deliver(destination, "anna@example.org")
        async with client(server) as (_, jetstream):
            await jetstream.delete_stream(STREAM)
        (outcome,) = await deliver(destination, "anna@example.org")
        await make_stream(server)
        (again,) = await deliver(destination, "anna@example.org")

    assert isinstance(outcome, Unavailable)
    assert "stream not found" in str(outcome)
    assert outcome.reply.reason == MISCONFIGURED
    assert isinstance(again, Receipt)


@pytest.mark.parametrize(
    "fault, why, there",
    table(
        {
            "the acknowledgement is lost": (Fault(ACK, "lost"), "EOF", 1),
            "… and the connection hangs": (Fault(ACK, "hang"), "no answer", 1),
            "the look at the stream hangs": (Fault(b"stream_info", "hang"), "no answer", 0),
            "no INFO": (Fault(b"INFO", "lost"), "", 0),
            "no word at all": (Fault(b"INFO", "hang"), "no answer", 0),
            "the answer is HTTP": (nonsense(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol", 1),
            "… or says no size": (nonsense(b"MSG _INBOX.x 1 much\r\n"), "protocol", 1),
            "… or no headers where some are": (nonsense(b"HMSG a 1 2 2\r\nxx\r\n"), "cannot be read", 1),
            "… or INFO that is no JSON": (nonsense(b"INFO {\r\n"), "cannot be read", 1),
        }
    ),
)
async def test_a_fault_on_the_way(
    server: NatsServer, capfd: pytest.CaptureFixture[str], fault: Fault, why: str, there: int
):
    """451; the message may be there, and comes again under the same id where it has one. No library logs by itself."""
    async with faulty(server.port, fault) as url, stream(url, timeoutSeconds=2) as destination:
        outcome = await attempt(destination, WITH_ID)
        found = await messages(server)
        fault.times = 0
        (again,) = await deliver(destination, "anna@example.org", content=WITH_ID)

    assert isinstance(outcome, Unavailable)
    assert why in str(outcome)
    assert (outcome.reply.code, outcome.reply.reason) == (451, UNAVAILABLE)
    assert len(found) == there
    assert isinstance(again, Receipt)
    assert len(await messages(server)) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.both_loops
async def test_connections_that_are_reset_while_much_is_sent(server: NatsServer):
    """Who waits is told at once, whatever has not left yet; nothing is said of tasks that nobody waits for."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    slowest = 0.0

    async def send(destination: Nats, worker: int) -> None:
        nonlocal slowest
        for number in range(40):
            begun = time.monotonic()
            await attempt(destination, b"Message-ID: <%d.%d@example.net>\r\n" % (worker, number) + MESSAGE)
            slowest = max(slowest, time.monotonic() - begun)

    every_tenth = Fault(b"5}", "lost")  # of the acknowledgements, by their numbers
    async with faulty(server.port, every_tenth) as url, stream(url, timeoutSeconds=20) as destination:
        await asyncio.gather(*(send(destination, worker) for worker in range(50)))
    gc.collect()
    await asyncio.sleep(0)

    assert not unhandled
    assert slowest < 10
    assert every_tenth.happened.is_set()


async def test_who_waits_when_we_close_is_not_told_of_the_server(server: NatsServer):
    """That a session is closed is no fault of what the server said."""
    fault = Fault(ACK, "hang")
    async with faulty(server.port, fault) as url, stream(url, timeoutSeconds=20) as destination:
        waiting = asyncio.create_task(attempt(destination))
        await fault.happened.wait()
        assert destination._session is not None
        await destination._session.close()
        outcome = await waiting

    assert "the connection was closed" in str(outcome)


async def test_our_own_wait_is_not_the_servers_fault(server: NatsServer):
    """Few large messages are sent at a time. Those that get no turn are 451; the others keep their session."""
    async with stream(server.url, timeoutSeconds=1) as destination:
        await attempt(destination)
        session, destination._large = destination._session, asyncio.Semaphore(0)
        late = await asyncio.gather(*(attempt(destination, MESSAGE + b"x" * 1024 * 1024) for _ in range(6)))

        assert [type(one) for one in late] == [NoTurn] * 6
        assert destination._session is session
        assert isinstance(await attempt(destination), Receipt)


async def test_nobody_listens():
    """451 with the system's words, and after five failures at RCPT too."""
    async with stream(f"nats://127.0.0.1:{free_port()}") as destination:
        for _ in range(5):
            with pytest.raises(Unavailable, match=r"Connect call failed|Connection refused"):
                await deliver(destination, "anna@example.org")
        with pytest.raises(Unavailable):
            await verify(destination, "anna@example.org")


async def test_a_server_that_goes_and_comes(tmp_path_factory: pytest.TempPathFactory):
    """Who waits is told at once, and the next message opens a connection of its own."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        await make_stream(server)
        async with stream(server.url) as destination:
            await deliver(destination, "anna@example.org", content=WITH_ID)
            server.stop()
            assert isinstance(await attempt(destination, WITH_ID), Unavailable)
            server.start()
            outcome = await until_taken(destination, WITH_ID)
        found = await messages(server)

    assert outcome.text == "MAIL 1 (had it)"
    assert len(found) == 1


async def test_a_server_that_says_that_it_leaves(tmp_path_factory: pytest.TempPathFactory):
    """Lame duck: nothing more is sent there."""
    with nats_server(tmp_path_factory.mktemp("nats"), lame_duck_duration="30s", lame_duck_grace_period="1s") as server:
        await make_stream(server)
        async with stream(server.url) as destination:
            await deliver(destination, "anna@example.org")
            session = destination._session
            assert session is not None
            assert server.process is not None
            server.process.send_signal(signal.SIGUSR2)
            await until(lambda: not session.usable)
            assert isinstance(await attempt(destination, MESSAGE), Unavailable)


@pytest.mark.timeout(120)
async def test_a_cluster_whose_leader_is_killed(tmp_path_factory: pytest.TempPathFactory):
    """Under load: what got its receipt is there, whoever leads; mail goes on through the servers that are left."""
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        await make_stream(servers[0], num_replicas=3)
        sent: list[str] = []
        over = asyncio.Event()

        async def send(worker: int) -> None:
            number = 0
            while not over.is_set():
                number += 1
                name = f"{worker}-{number}"
                content = f"Message-ID: <{name}@example.net>\r\n\r\n".encode()
                if isinstance(await attempt(destination, content), Receipt):
                    sent.append(name)
                else:
                    await asyncio.sleep(0.05)

        async with stream(servers[0].url, timeoutSeconds=3) as destination:
            workers = [asyncio.create_task(send(worker)) for worker in range(8)]
            await until(lambda: len(sent) >= 50)
            async with client(servers[1]) as (_, jetstream):
                info = await jetstream.stream_info(STREAM)
                assert info.cluster is not None
                leader = next(one for one in servers if one.name == info.cluster.leader)
            leader.stop()
            before = len(sent)
            await until(lambda: len(sent) >= before + 50)
            over.set()
            await asyncio.gather(*workers)
            assert destination.not_durable == ()
        survivor = next(one for one in servers if one is not leader)
        contents = [content for _, _, content in await messages(survivor)]
    found = [name.decode() for content in contents for name in re.findall(rb"Message-ID: <(.+)@", content)]

    assert set(sent) <= set(found)
    assert len(found) == len(set(found))
