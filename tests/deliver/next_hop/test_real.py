"""lmtp and smtp, to the real things: Debian's Dovecot and Debian's Postfix."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from mailport.deliver.destination import NotDelivered, Receipt, Refused, Unavailable
from mailport.deliver.next_hop.known import Known
from tests.deliver.conftest import MESSAGE, deliver, verify
from tests.deliver.next_hop import servers
from tests.deliver.next_hop.hops import next_hop
from tests.deliver.next_hop.servers import NextHopServer
from tests.disks import needs_root
from tests.messages import RECEIVED
from tests.ports import free_port

pytestmark = [pytest.mark.slow, needs_root]

ANNA, CARL, NOBODY = "anna@example.org", "carl@example.org", "nobody@example.org"
# Fields that Postfix would add
WHOLE = b"From: a@example.net\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n"
KINDS = {"lmtp": servers.dovecot, "smtp": servers.postfix}


@pytest.fixture(scope="module", params=KINDS)
def kind_and_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, NextHopServer]]:
    with KINDS[request.param]() as server:
        yield request.param, server


async def test_a_message_arrives(kind_and_server: tuple[str, NextHopServer]):
    """The content as it was, behind our Received; Return-Path is the next hop's to write."""
    kind, server = kind_and_server
    content = WHOLE + b"Subject: arrives\r\n\r\n.dot\r\n..dots\r\n.\r\nlast line\r\n"
    async with next_hop(kind, server.port) as hop:
        for recipient in (ANNA, CARL):
            await verify(hop, recipient)
        outcomes = await deliver(hop, ANNA, CARL, content=content)

    assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt]
    for name in ("anna", "carl"):
        [message] = server.arrived(name, b"Subject: arrives")
        assert message.endswith(RECEIVED + content)
        assert message.count(b"Return-Path: <sender@example.net>") == 1


async def test_an_unknown_recipient_is_refused_at_rcpt_with_its_own_code(kind_and_server: tuple[str, NextHopServer]):
    kind, server = kind_and_server
    async with next_hop(kind, server.port) as hop:
        for _ in range(2):  # the second time from memory
            with pytest.raises(Refused) as refusal:
                await verify(hop, NOBODY)
            assert refusal.value.reply.line.startswith(b"550 5.1.1 ")
            assert refusal.value.reply.reason == "no_such_recipient"
        [none, anna] = await deliver(hop, NOBODY, ANNA, content=b"Subject: for anna\r\n\r\nx\r\n")

    assert isinstance(none, Refused)
    assert isinstance(anna, Receipt)
    assert len(server.arrived("anna", b"Subject: for anna")) == 1


async def test_a_connection_is_used_again(kind_and_server: tuple[str, NextHopServer]):
    """One to ask, one to deliver, however many messages."""
    kind, server = kind_and_server
    before = server.log().count("connect from" if kind == "smtp" else "Connect from")
    async with next_hop(kind, server.port) as hop:
        for number in range(5):
            hop._known = Known()
            await verify(hop, ANNA)
            [outcome] = await deliver(hop, ANNA, content=b"Subject: again %d\r\n\r\nx\r\n" % number)
            assert isinstance(outcome, Receipt)
        assert (len(hop._delivering), len(hop._verifying)) == (1, 1)
    log = server.log()

    assert log.replace("disconnect from", "").count("connect from" if kind == "smtp" else "Connect from") - before <= 3


async def test_a_message_shows_who_is_there(kind_and_server: tuple[str, NextHopServer]):
    """Whom it reached, and whom the next hop did not know, is not asked for again."""
    kind, server = kind_and_server
    async with next_hop(kind, server.port) as hop:
        await deliver(hop, NOBODY, ANNA)
        await verify(hop, ANNA)
        with pytest.raises(Refused, match=r"550 5\.1\.1"):
            await verify(hop, NOBODY)

        assert len(hop._verifying) == 0


async def test_lmtp_answers_for_each_recipient():
    """A mailbox that is full is put off, the other one has the message: the sender comes again, and is known."""
    with servers.dovecot() as server:
        async with next_hop("lmtp", server.port) as hop:
            [anna, full] = await deliver(hop, ANNA, "full@example.org")

        assert isinstance(anna, Receipt)
        assert isinstance(full, Unavailable)
        assert "452 4.2.2" in str(full)
        assert server.messages("full") == []
        assert len(server.arrived("anna", b"Subject: hello")) == 1


async def test_nobody_is_there(kind_and_server: tuple[str, NextHopServer]):
    """Refused connections are 451, and after a few at once."""
    kind, _ = kind_and_server
    port = free_port()
    async with next_hop(kind, port) as hop:
        for _ in range(7):
            with pytest.raises(NotDelivered) as failure:
                await deliver(hop, ANNA, content=MESSAGE)
            assert failure.value.reply.line.startswith(b"451 4.3.0 ")
            assert "port" in str(failure.value)
        assert not hop._trials.breaker.admits(asyncio.get_running_loop().time())
