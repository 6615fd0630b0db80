"""Into a stream of a real nats-server: what is there afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Receipt, Refused, Unavailable
from mailport.deliver.nats.destination import _Part
from mailport.deliver.repeated import Repeated
from mailport.outward.allowed import Allowed
from tests.deliver.conftest import MESSAGE, deliver, held
from tests.deliver.nats.servers import NatsServer, client, make_stream, messages
from tests.deliver.nats.streams import stream
from tests.messages import TRACE
from tests.tables import table

pytestmark = [pytest.mark.slow]

WITH_ID = b"Message-ID: <one@example.net>\r\n" + MESSAGE
LARGE = b"Subject: large\r\n\r\n" + b"y" * (3 * 1024 * 1024) + b"\r\n"


@pytest.mark.both_loops
async def test_each_subject_gets_the_message_once(server: NatsServer):
    """With its own recipients alone in the headers, and as it is, behind our trace fields."""
    async with stream(server.url, subject="mail.{domain}") as destination:
        outcomes = await deliver(destination, "anna@example.org", "b@other.example", "carl@example.org")

    found = {subject: (headers, content) for subject, headers, content in await messages(server)}
    assert found.keys() == {"mail.example.org", "mail.other.example"}
    headers, content = found["mail.example.org"]
    assert content == TRACE + MESSAGE
    assert headers.pop("Nats-Msg-Id").startswith("msg_4bXyZ1.")
    assert headers == {
        "Mailport-Id": "4bXyZ1",
        "Mailport-Mail-From": "sender@example.net",
        "Mailport-Rcpt-To": "anna@example.org, carl@example.org",
        "Mailport-Client": "192.0.2.1:40025",
        "Mailport-Time": "2026-11-23T14:12:05+00:00",
        "Mailport-Disposition": "deliver",
        "Content-Type": "message/rfc822",
        "Nats-Expected-Stream": "MAIL",
    }
    assert found["mail.other.example"][0]["Mailport-Rcpt-To"] == "b@other.example"
    assert [str(one.text).split()[0] for one in outcomes if isinstance(one, Receipt)] == ["MAIL"] * 3


async def test_what_comes_again_with_a_message_id_is_there_once(server: NatsServer):
    """For the same recipients; without a Message-ID, or for others, it is another message."""
    async with stream(server.url) as destination:
        first = await deliver(destination, "anna@example.org", "b@example.org", content=WITH_ID)
        again = await deliver(destination, "b@example.org", "anna@example.org", content=WITH_ID)
        await deliver(destination, "carl@example.org", content=WITH_ID)

    assert len(await messages(server)) == 3
    assert [str(one.text) for one in (*first, *again) if isinstance(one, Receipt)] == [
        "MAIL 1",
        "MAIL 2",
        "MAIL 2 (had it)",
        "MAIL 1 (had it)",
    ]


async def test_over_max_payload_it_is_refused(server: NatsServer):
    """552, since no object store is named; nothing is there."""
    async with stream(server.url) as destination:
        with pytest.raises(Refused) as caught:
            await deliver(destination, "anna@example.org", content=LARGE)

    assert (caught.value.reply.code, caught.value.reply.enhanced) == (552, "5.3.4")
    assert await messages(server) == []


async def test_who_refuses_a_message_is_there_again(server: NatsServer):
    """Behind a pause, one message is tried: its refusal lets all the others through."""
    async with stream(server.url) as destination:
        for _ in range(5):
            destination._trials.breaker.failed(asyncio.get_running_loop().time())
        destination._trials.breaker._open_until = 0.0  # the pause is over
        with pytest.raises(Refused):
            await deliver(destination, "anna@example.org", content=LARGE)

        assert not destination.connections(asyncio.get_running_loop().time()).breaker_open


async def test_the_limit_is_max_payload_to_the_octet(server: NatsServer):
    """Headers count. What fits is taken, and one octet more is not."""
    async with stream(server.url) as destination, held(b"") as empty:
        around = len(TRACE) + sum(
            len(name) + len(value) + 4
            for name, value in destination._headers(
                empty, await Repeated.of(empty), _Part("mail.example.org.a", [Address.parse("a@example.org")])
            ).items()
        )
        room = (1 << 20) - around - len("NATS/1.0\r\n\r\n")
        (outcome,) = await deliver(destination, "a@example.org", content=b"\r\n".ljust(room, b"x"))
        with pytest.raises(Refused):
            await deliver(destination, "a@example.org", content=b"\r\n".ljust(room + 1, b"x"))

    assert isinstance(outcome, Receipt)


@pytest.mark.parametrize(
    "settings, why",
    table(
        {
            "in memory": ({"storage": "memory"}, "its storage is memory"),
            "without acknowledgements": ({"no_ack": True}, "no_ack"),
            "of interest": ({"retention": "interest"}, "its retention is interest"),
        }
    ),
)
async def test_a_stream_that_no_250_can_rest_on(running: NatsServer, settings: dict[str, Any], why: str):
    """A matter of set-up, for that route alone; nothing is published."""
    await make_stream(running, name="OTHER", subjects=["other.>"], **settings)
    try:
        async with stream(running.url, stream="OTHER", subject="other.x") as destination:
            with pytest.raises(Unavailable, match=why) as caught:
                await deliver(destination, "anna@example.org")
            with pytest.raises(Unavailable, match=why):
                await destination.check()
        found = await messages(running, "OTHER")
    finally:
        async with client(running) as (_, jetstream):
            await jetstream.delete_stream("OTHER")

    assert (caught.value.reply.code, caught.value.reply.reason) == (451, "destination_misconfigured")
    assert found == []


async def test_no_connection_goes_where_none_may(server: NatsServer):
    async with stream(server.url, allowed=Allowed()) as destination:
        with pytest.raises(Unavailable, match="loopback") as caught:
            await deliver(destination, "anna@example.org")
        with pytest.raises(Unavailable, match="loopback"):
            await destination.check()

    assert caught.value.reply.reason == "destination_misconfigured"


async def test_it_is_told_whether_mail_lasts(server: NatsServer):
    """Once the stream has been looked at; a message is not needed for it."""
    async with stream(server.url) as destination:
        assert destination.not_durable == ()
        await destination.check()

        assert [reason for reason, _ in destination.not_durable] == ["StreamNotSynced"]
