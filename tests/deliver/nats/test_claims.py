"""Messages over max_payload, by claim check: what is in the object store and in the stream afterwards."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from mailport.address.mail_address import Address
from mailport.deliver.destination import Receipt, Unavailable
from mailport.deliver.nats.claims import MOST_LEFT, Claims
from tests.deliver.conftest import MESSAGE, deliver, held
from tests.deliver.nats.faulty import Fault, faulty
from tests.deliver.nats.servers import NatsServer, client, make_stream, messages, nats_server
from tests.deliver.nats.streams import stream
from tests.messages import TRACE
from tests.tables import table

LARGE = b"Subject: large\r\n\r\n" + b"y" * (3 * 1024 * 1024) + b"\r\n"
STORE = "BODIES"


@pytest.mark.slow
async def test_over_max_payload_it_goes_by_claim_check(server: NatsServer):
    """The object first, then the message with its name and digest."""
    async with client(server) as (_, jetstream):
        await jetstream.create_object_store(STORE)
        async with stream(server.url, objectStore=STORE) as destination:
            (outcome,) = await deliver(destination, "anna@example.org", content=LARGE)

        [(_, headers, content)] = await messages(server)
        store = await jetstream.object_store(headers["Mailport-Object-Store"])
        data = (await store.get(headers["Mailport-Object"])).data
        await jetstream.delete_object_store(STORE)

    assert isinstance(outcome, Receipt)
    assert content == b""
    assert data == TRACE + LARGE
    digest = base64.urlsafe_b64encode(hashlib.sha256(TRACE + LARGE).digest()).decode()
    assert headers["Mailport-Object-Digest"] == f"SHA-256={digest}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "of_server, of_store",
    table(
        {
            "the server takes less than a chunk": ({"max_payload": 64 * 1024}, 0),
            "the store's stream does": ({}, 32 * 1024),
        }
    ),
)
async def test_an_object_is_put_in_pieces_that_are_taken(tmp_path: Path, of_server: dict[str, int], of_store: int):
    """nats-py's own are of 128 KiB."""
    with nats_server(tmp_path, **of_server) as small:
        await make_stream(small)
        async with client(small) as (_, jetstream):
            await jetstream.create_object_store(STORE)
            config = (await jetstream.stream_info(f"OBJ_{STORE}")).config
            await jetstream.update_stream(config, max_msg_size=of_store or -1)
            async with stream(small.url, objectStore=STORE) as destination:
                (outcome,) = await deliver(destination, "anna@example.org", content=LARGE)
            [(_, headers, _)] = await messages(small)
            data = (await (await jetstream.object_store(STORE)).get(headers["Mailport-Object"])).data

    assert isinstance(outcome, Receipt), outcome
    assert data == TRACE + LARGE


@pytest.mark.slow
@pytest.mark.parametrize("content", table({"a small message": (MESSAGE,), "one by claim check": (LARGE,)}))
async def test_two_routes_into_one_stream(server: NatsServer, content: bytes):
    """A login's message without Message-ID may go by two routes: neither is taken for the other's duplicate."""
    async with client(server) as (_, jetstream):
        store = await jetstream.create_object_store(STORE)
        async with stream(server.url, objectStore=STORE) as destination, held(content) as whole:
            for number, recipient in enumerate(("anna@example.org", "bert@example.org")):
                await destination.deliver(whole.for_route(number), [Address.parse(recipient)])
        found = await messages(server)
        objects = [headers["Mailport-Object"] for _, headers, _ in found if "Mailport-Object" in headers]
        bodies = [(await store.get(name)).data for name in objects]
        await jetstream.delete_object_store(STORE)

    assert [headers["Mailport-Rcpt-To"] for _, headers, _ in found] == ["anna@example.org", "bert@example.org"]
    assert (bodies or [body for _, _, body in found]) == [TRACE + content] * 2
    assert len(set(objects)) == len(objects)


@pytest.mark.slow
async def test_the_object_of_another_route_stays(server: NatsServer):
    """The second route's message is not taken: its object goes, and the first one's does not."""
    async with client(server) as (_, jetstream):
        store = await jetstream.create_object_store(STORE)
        await make_stream(server, name="FULL", subjects=["full.>"], max_bytes=100, discard="new")
        full = {"objectStore": STORE, "stream": "FULL", "subject": "full.x"}
        async with (
            stream(server.url, objectStore=STORE) as first,
            stream(server.url, **full) as second,
            held(LARGE) as whole,
        ):
            (taken,) = await first.deliver(whole, [Address.parse("anna@example.org")])
            (refused,) = await second.deliver(whole.for_route(1), [Address.parse("bert@example.org")])
        [there] = await store.list(ignore_deletes=True)
        await jetstream.delete_object_store(STORE)
        await jetstream.delete_stream("FULL")

    assert isinstance(taken, Receipt)
    assert isinstance(refused, Unavailable)
    assert there.name == "4bXyZ1"


@pytest.mark.slow
async def test_an_object_whose_message_was_not_taken_is_taken_back(server: NatsServer):
    """Where the stream says no, or had the message before."""
    async with client(server) as (_, jetstream):
        store = await jetstream.create_object_store(STORE)
        await make_stream(server, name="FULL", subjects=["full.>"], max_bytes=100, discard="new")
        async with stream(server.url, objectStore=STORE, stream="FULL", subject="full.x") as destination:
            (full,) = await deliver(destination, "anna@example.org", content=LARGE)
        with_id = b"Message-ID: <two@example.net>\r\n" + LARGE
        async with stream(server.url, objectStore=STORE) as destination:
            await deliver(destination, "anna@example.org", content=with_id)
            await store.delete("4bXyZ1")
            (again,) = await deliver(destination, "anna@example.org", content=with_id)
        with pytest.raises(NotFoundError):  # what the library says of an empty store
            await store.list(ignore_deletes=True)
        await jetstream.delete_object_store(STORE)
        await jetstream.delete_stream("FULL")

    assert isinstance(full, Unavailable)
    assert isinstance(again, Receipt)
    assert "had it" in again.text


@pytest.mark.slow
async def test_an_object_that_nobody_knows_of_is_taken_back_later(server: NatsServer):
    """The answer to its last part is lost: it is there, no message names it, and the next connection deletes it."""
    async with client(server) as (_, jetstream):
        store = await jetstream.create_object_store(STORE)
        async with stream(server.url, objectStore=STORE) as destination:
            await deliver(destination, "anna@example.org", content=LARGE)
        answers = (await jetstream.stream_info(f"OBJ_{STORE}")).state.last_seq
        await store.delete("4bXyZ1")
        deleted = (await jetstream.stream_info(f"OBJ_{STORE}")).state.last_seq - answers
        fault = Fault(f'"seq":{2 * answers + deleted}'.encode(), "lost", times=1)
        async with faulty(server.port, fault) as url, stream(url, objectStore=STORE) as destination:
            with pytest.raises(Unavailable):
                await deliver(destination, "anna@example.org", content=LARGE)
            [there] = await store.list(ignore_deletes=True)
            await destination.check()
            with pytest.raises(NotFoundError):
                await store.list(ignore_deletes=True)
        await jetstream.delete_object_store(STORE)

    assert fault.happened.is_set()
    assert there.name == "4bXyZ1"
    assert len(await messages(server)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings, why",
    table(
        {
            "in memory": ({"storage": "memory"}, "object store BODIES: its storage is memory"),
            "not there": (None, "object store BODIES: stream not found"),
        }
    ),
)
async def test_a_store_that_no_250_can_rest_on(server: NatsServer, settings: dict[str, Any] | None, why: str):
    """Large messages are 451, however many, and a check says it; small ones are none of its business."""
    async with client(server) as (_, jetstream):
        if settings is not None:
            await jetstream.create_object_store(STORE, **settings)
        async with stream(server.url, objectStore=STORE) as destination:
            for _ in range(6):
                (large,) = await deliver(destination, "anna@example.org", content=LARGE)
                assert isinstance(large, Unavailable)
                assert why in str(large)
                assert (large.reply.code, large.reply.reason) == (451, "destination_misconfigured")
            (small,) = await deliver(destination, "anna@example.org", content=MESSAGE)
            with pytest.raises(Unavailable, match=why):
                await destination.check()
        if settings is not None:
            assert (await jetstream.stream_info(f"OBJ_{STORE}")).state.messages == 0
            await jetstream.delete_object_store(STORE)

    assert isinstance(small, Receipt)
    assert len(await messages(server)) == 1


@pytest.mark.slow
async def test_a_store_that_drops_what_is_old_is_told_of(server: NatsServer):
    """Each reason once, with what stream and store say of it."""
    async with client(server) as (_, jetstream):
        await jetstream.create_object_store(STORE, ttl=3600)
        async with stream(server.url, objectStore=STORE) as destination:
            await destination.check()
            found = dict(destination.not_durable)
        await jetstream.delete_object_store(STORE)

    assert found.keys() == {"StreamNotSynced", "StreamMayDiscard"}
    assert found["StreamNotSynced"].count("1 of 3 replicas") == 2
    assert found["StreamMayDiscard"] == "object store BODIES: it may drop what nobody has read: max_age 3600 s"


class Session:
    """In a connection's place, since a server cannot be told when to fail."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.deleted: list[str] = []

    async def put(self, *_: object) -> str:
        if not self.works:
            await asyncio.sleep(60)
        return "SHA-256=x"

    async def delete(self, _store: str, name: str, _seconds: float) -> bool:
        if self.works:
            self.deleted.append(name)
        return self.works


async def test_a_put_that_was_cancelled_is_taken_back_later():
    claims, silent, well = Claims(STORE, 1.0), Session(works=False), Session(works=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(claims.put(silent, "a", iter(())), 0.01)
    await claims.put(well, "b", iter(()))
    await claims.sweep(silent)
    assert claims.left == 1

    await claims.sweep(well)
    assert well.deleted == ["a"]
    assert claims.left == 0


async def test_what_is_left_is_bounded():
    """By names, of which the oldest give way."""
    claims, silent, well = Claims(STORE, 1.0), Session(works=False), Session(works=True)
    for number in range(MOST_LEFT + 1):
        await claims.take_back(silent, str(number))

    await claims.sweep(well)
    assert well.deleted == [str(number) for number in range(1, MOST_LEFT + 1)]
