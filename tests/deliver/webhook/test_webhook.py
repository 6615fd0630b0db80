"""The destination, to a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import ssl
import threading
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import NotDelivered, Outcome, Receipt, Refused, Unavailable
from mailport.deliver.secret_values import BadCredentials
from mailport.deliver.webhook import bodies, credentials, envelope_fields
from mailport.deliver.webhook.destination import Proof, Webhook
from mailport.deliver.webhook.signature import Keys
from mailport.listener.tls import self_signed
from mailport.message.content import Space
from mailport.outward import http
from mailport.outward.allowed import Allowed
from mailport.process.threads import Threads
from tests.deliver.conftest import MESSAGE, deliver, held, verify
from tests.deliver.webhook.receivers import NAME, receiving, webhook
from tests.messages import ENVELOPE, TRACE, hold, message
from tests.ports import free_port
from tests.tables import table

pytestmark = pytest.mark.both_loops
ANNA, CARL = "anna@example.org", "carl@example.org"
CHAIN, KEY = self_signed(NAME, datetime.now(UTC))


async def outcome(hook: Webhook, *recipients: str, content: bytes = MESSAGE) -> Outcome:
    """Deliver, and return what is the outcome of all."""
    try:
        [first, *others] = await deliver(hook, *recipients or (ANNA,), content=content)
    except NotDelivered as error:
        return error
    assert all(other == first for other in others)
    return first


async def test_the_message_is_posted_as_it_is():
    """Octet by octet, with Return-Path on top, and what is known of it in header fields. One request for all."""
    async with receiving() as receiver, webhook(receiver.port, path="/in/%7Bbox%7D?source=mail&x=a+b") as hook:
        assert await outcome(hook, ANNA, CARL) == Receipt("HTTP 200: thanks")
        [request] = receiver.requests

    assert request.path == "/in/%7Bbox%7D?source=mail&x=a+b"
    assert request.body == TRACE + MESSAGE
    assert request.headers["Content-Type"] == "message/rfc822"
    assert request.headers["Content-Length"] == str(len(request.body))
    assert request.headers["Mailport-Id"] == "4bXyZ1"
    assert request.headers["Mailport-Mail-From"] == "sender@example.net"
    assert request.headers["Mailport-Rcpt-To"] == "anna@example.org, carl@example.org"
    assert request.headers["Mailport-Client"] == "192.0.2.1:40025"
    assert request.headers["Mailport-Disposition"] == "deliver"
    assert request.headers["webhook-id"] == "msg_4bXyZ1"
    assert {"Authorization", "webhook-signature", "Accept-Encoding", "Cookie"}.isdisjoint(request.headers)


@pytest.mark.parametrize("octets", [0, 1, 65_000, 70_000, 3_000_000])
async def test_of_any_size(octets: int, tmp_path: Path):
    """Those in scratch too; and the length is known before."""
    content = MESSAGE + b"x" * octets
    space = Space(tmp_path)
    async with receiving() as receiver, webhook(receiver.port) as hook:
        holding = await hold(space, content)
        assert holding.in_scratch == (octets > 1024 * 1024)
        [taken] = await hook.deliver(await message(holding), [Address.parse(ANNA)])
        [request] = receiver.requests
        holding.close()
    space.close()

    assert isinstance(taken, Receipt)
    assert request.body == TRACE + content
    assert request.headers["Content-Length"] == str(len(request.body))


def test_addresses_that_no_header_field_could_hold():
    """Percent-encoded UTF-8: nothing ends a field or the list's item, and the null sender is empty."""
    sender = Address.parse('"a, b%\\"c"@exämple.org')
    recipients = [Address.parse(f"{'x' * 60}{n}@{'y' * 60}.example.org") for n in range(100)]
    fields = list(envelope_fields.raw(ENVELOPE._replace(sender=sender, user="é\r\nx: y"), recipients, "deliver"))
    listed = [value for name, value in fields if name == "Mailport-Rcpt-To"]

    assert dict(fields)["Mailport-User"] == "%C3%A9%0D%0Ax:%20y"
    assert "," not in dict(fields)["Mailport-Mail-From"]
    assert unquote(dict(fields)["Mailport-Mail-From"]) == str(sender)
    assert [unquote(one) for line in listed for one in line.split(", ")] == [str(one) for one in recipients]
    assert max(map(len, listed)) <= 4000
    assert dict(envelope_fields.raw(ENVELOPE._replace(sender=None), recipients, "deliver"))["Mailport-Mail-From"] == ""
    six = ENVELOPE._replace(client=ip_address("2001:db8::1"))
    assert dict(envelope_fields.raw(six, recipients, "deliver"))["Mailport-Client"] == "[2001:db8::1]:40025"


async def test_a_connection_is_kept():
    async with receiving() as receiver, webhook(receiver.port) as hook:
        for _ in range(3):
            assert isinstance(await outcome(hook), Receipt)

        assert len(receiver.connections) == 1


async def test_connections_that_are_kept_are_bounded_in_number_and_life(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "MOST_IDLE", 2)
    async with receiving() as receiver, webhook(receiver.port) as hook:
        await asyncio.gather(*[outcome(hook) for _ in range(5)])
        assert len(receiver.connections) == 5
        assert hook.connections(0.0) == (2, 0, False)
        monkeypatch.setattr(http, "LIFE_SECONDS", 0.0)
        for _ in range(3):
            await outcome(hook)

        assert hook.connections(0.0).idle == 0
        assert len(receiver.connections) == 6, "the two that were kept, and a new one"


async def test_a_kept_connection_that_is_closed_under_us_costs_nothing():
    """The server closes it as the next request comes: that goes out on a new one, and once."""
    taken = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = not taken
        for number in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            if first and number == 1:
                break  # it has come, and nobody answers it
            taken.append(head)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await reader.readexactly(len(TRACE + MESSAGE))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening, webhook(listening.sockets[0].getsockname()[1]) as hook:
        for _ in range(2):
            assert isinstance(await outcome(hook), Receipt)

    assert len(taken) == 2


async def test_a_redirect_is_not_followed():
    """Not to another place, not with the credentials."""
    async with receiving() as other, receiving() as receiver, webhook(receiver.port) as hook:
        receiver.status, receiver.fields = 307, {"Location": f"http://127.0.0.1:{other.port}/"}
        no = await outcome(hook)

        assert isinstance(no, Unavailable)
        assert no.reply.reason == "destination_misconfigured"
        assert not other.requests


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    async with receiving() as proxy, receiving() as receiver, webhook(receiver.port) as hook:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert isinstance(await outcome(hook), Receipt)

        assert not proxy.requests
        assert len(receiver.requests) == 1


async def test_where_no_connection_may_go_none_goes():
    async with receiving() as receiver, webhook(receiver.port, allowed=Allowed()) as hook:
        no = await outcome(hook)
        with pytest.raises(Unavailable, match="loopback"):
            await hook.check()

        assert isinstance(no, Unavailable)
        assert no.reply.reason == "destination_misconfigured"
        assert not receiver.connections


@pytest.mark.parametrize(
    "values, authorization",
    table(
        {
            "a token": ({"token": b"s3cr3t-token\n"}, "Bearer s3cr3t-token"),
            "a name and a password": (
                {"username": b"mailport", "password": b"s3cr3t word\r\n"},
                f"Basic {b64encode(b'mailport:s3cr3t word').decode()}",
            ),
            "a token before them": ({"token": b"s3cr3t", "username": b"x", "password": b"y"}, "Bearer s3cr3t"),
        }
    ),
)
async def test_credentials_are_sent_and_stand_in_no_log(values: dict[str, bytes], authorization: str):
    """Not even where the receiver says in its answer what it was sent."""
    proof = Proof(None, credentials.read(values))
    async with receiving() as receiver, webhook(receiver.port, proof=proof) as hook:
        receiver.text = f"{authorization} of {values} is wrong"
        receiver.status = 401
        no = await outcome(hook)

        assert receiver.requests[0].headers["Authorization"] == authorization
        assert isinstance(no, Unavailable)
        assert no.reply.reason == "destination_misconfigured"
        assert "is wrong" in str(no)
        assert "s3cr3t" not in str(no) + repr(proof)
        assert authorization.split()[1] not in str(no)


@pytest.mark.parametrize(
    "values",
    table(
        {
            "an empty token": {"token": b"\n"},
            "two lines": {"token": b"s3cr3t\r\nX-Other: s3cr3t"},
            "not ASCII": {"token": "s3cr3té".encode()},
            "a colon in the name": {"username": b"s3cr3t:", "password": b"s3cr3t"},
            "no name": {"username": b"", "password": b"s3cr3t"},
            "a NUL": {"username": b"x", "password": b"s3cr3t\0"},
        }
    ),
)
def test_credentials_that_cannot_be_sent_are_not_quoted(values: dict[str, bytes]):
    with pytest.raises(BadCredentials) as raised:
        credentials.read(values)

    assert "s3cr3t" not in str(raised.value)


async def test_the_answer_is_for_the_log_in_one_line_that_is_cut():
    async with receiving() as receiver, webhook(receiver.port) as hook:
        receiver.text = "a\r\nb\x1b[31m\x00é" + "x" * 5000
        receipt = await outcome(hook)

        assert isinstance(receipt, Receipt)
        assert receipt.text.startswith("HTTP 200: a b [31m x")
        assert len(receipt.text) <= 1024 + len("HTTP 200: ")


async def test_an_answer_that_is_compressed_is_not_decompressed():
    """A megabyte of zeros fits into a kilobyte."""
    async with receiving() as receiver, webhook(receiver.port) as hook:
        receiver.fields = {"Content-Encoding": "gzip"}
        assert isinstance(await outcome(hook), Receipt)


async def test_tls_is_verified(tmp_path: Path):
    """By the CA that is named, for the name that is named."""
    (tmp_path / "pem").write_bytes(CHAIN + KEY)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "pem")
    async with receiving(serving) as receiver:
        for scheme in ("https", "HTTPS"):
            async with webhook(receiver.port, scheme=scheme, ca=CHAIN) as hook:
                await hook.check()
                assert isinstance(await outcome(hook), Receipt)
        for ca, name in ((None, NAME), (CHAIN, "other.example.org")):
            async with webhook(receiver.port, scheme="https", ca=ca, name=name) as hook:
                no = await outcome(hook)
                assert isinstance(no, Unavailable)
                assert no.reply.reason == "destination_misconfigured"
                with pytest.raises(Unavailable, match="TLS"):
                    await hook.check()

        assert len(receiver.requests) == 2


async def test_a_check_sends_nothing():
    async with receiving() as receiver, webhook(receiver.port) as hook:
        await hook.check()

        assert not receiver.requests
    async with webhook(free_port()) as hook:
        with pytest.raises(Unavailable, match="onnect"):
            await hook.check()


async def test_a_receiver_that_is_down_is_left_alone_and_tried_again():
    """Five failures, then 451 at once and at RCPT; a success lets all through."""
    port = free_port()
    async with webhook(port) as hook:
        for _ in range(5):
            assert isinstance(await outcome(hook), Unavailable)
        with pytest.raises(Unavailable):
            await verify(hook, ANNA)
        assert hook.connections(asyncio.get_running_loop().time()).breaker_open
        hook._trials.breaker._open_until = 0.0  # the pause is over
        await verify(hook, ANNA)


async def test_a_receiver_that_asks_for_a_pause_gets_it():
    async with receiving() as receiver, webhook(receiver.port) as hook:
        receiver.status, receiver.fields = 429, {"Retry-After": "60"}
        assert isinstance(await outcome(hook), Unavailable)
        receiver.status = 200
        no = await outcome(hook)

        assert isinstance(no, Unavailable)
        assert "429" in str(no)
        assert len(receiver.requests) == 1


async def test_who_refuses_messages_is_not_down():
    async with receiving() as receiver, webhook(receiver.port) as hook:
        for receiver.status in (406, 500, 404, 413) * 3:
            await outcome(hook)
        receiver.status = 200

        assert isinstance(await outcome(hook), Receipt)
        assert len(receiver.requests) == 13


@pytest.mark.parametrize("status", [406, 413])
async def test_who_refuses_a_message_is_there_again(status: int):
    """Behind a pause, one message is tried: its refusal lets all the others through."""
    async with receiving() as receiver, webhook(receiver.port) as hook:
        for _ in range(5):
            hook._trials.breaker.failed(asyncio.get_running_loop().time())
        hook._trials.breaker._open_until = 0.0  # the pause is over
        receiver.status = status

        assert isinstance(await outcome(hook), Refused)
        assert not hook.connections(asyncio.get_running_loop().time()).breaker_open


async def test_who_has_given_up_holds_up_nobody(monkeypatch: pytest.MonkeyPatch):
    """A message that has been answered with 451 before its turn to be read is not read any more."""
    busy, read = threading.Event(), []
    monkeypatch.setattr(bodies, "threads", Threads(1, 1, "busy"))
    monkeypatch.setattr(bodies, "as_document", lambda message, *_: read.append(message) or b"{}")
    try:
        async with receiving() as receiver, webhook(receiver.port, format="JSON", timeoutSeconds=1) as hook:
            bodies.threads.run(busy.wait)
            assert {type(one) for one in await asyncio.gather(*(outcome(hook) for _ in range(6)))} == {Unavailable}
            busy.set()
            await bodies.threads.run(lambda: None)

        assert not read
    finally:
        busy.set()
        bodies.threads.close()


@pytest.mark.parametrize("content", table({"a small message": (MESSAGE,), "a large one": (MESSAGE + b"x" * 200_000,)}))
async def test_our_own_wait_is_not_the_receivers_fault(monkeypatch: pytest.MonkeyPatch, content: bytes):
    """Two messages are read at a time. Others that are not ready in time are 451, and no fault of the receiver."""
    busy = threading.Event()
    monkeypatch.setattr(bodies, "threads", Threads(2, 2, "busy"))
    try:
        async with receiving() as receiver, webhook(receiver.port, format="JSON", timeoutSeconds=1) as hook:
            for _ in range(2):
                bodies.threads.run(busy.wait)
            late = await asyncio.gather(*(outcome(hook, content=content) for _ in range(6)))

            assert {(one.reply.code, one.reply.reason) for one in late if isinstance(one, Unavailable)} == {
                (451, "internal")
            }
            assert not receiver.requests
            assert not hook.connections(asyncio.get_running_loop().time()).breaker_open
            busy.set()
            async with webhook(receiver.port, format="JSON") as patient:
                assert isinstance(await outcome(patient, content=content), Receipt)
    finally:
        busy.set()
        bodies.threads.close()


async def test_a_message_with_an_id_has_the_same_when_it_comes_again():
    """For the same recipients. One without is the transaction's: devices send the same octets twice and mean it."""
    with_id = b"Message-ID: <1@example.net>\r\n" + MESSAGE

    async def id_of(hook: Webhook, *recipients: str, content: bytes, transaction: str) -> None:
        async with held(content) as whole:
            whole.envelope = ENVELOPE._replace(id=transaction)
            await hook.deliver(whole, [Address.parse(one) for one in recipients])

    async with receiving() as receiver, webhook(receiver.port) as hook:
        receiver.status = 500
        await id_of(hook, ANNA, CARL, content=with_id, transaction="a.1")
        await id_of(hook, CARL, ANNA, content=with_id, transaction="b.1")
        await id_of(hook, ANNA, content=with_id, transaction="c.1")
        await id_of(hook, ANNA, content=with_id + b"x", transaction="d.1")
        await id_of(hook, ANNA, content=MESSAGE, transaction="e.1")
        await id_of(hook, ANNA, content=MESSAGE, transaction="f.1")
        ids = [request.headers["webhook-id"] for request in receiver.requests]

    assert ids[0] == ids[1]
    assert len({*ids}) == 5
    assert ids[4:] == ["msg_e_1", "msg_f_1"]


async def test_a_signature_is_of_what_is_sent(tmp_path: Path):
    """Of a large message too, which is read in a thread for it."""
    keys = Keys(b64encode(b"k" * 32))
    space = Space(tmp_path)
    async with receiving() as receiver, webhook(receiver.port, proof=replace(Proof(), keys=keys)) as hook:
        for content in (MESSAGE, MESSAGE + b"x" * 2_000_000):
            holding = await hold(space, content)
            await hook.deliver(await message(holding), [Address.parse(ANNA)])
            holding.close()
            request = receiver.requests[-1]
            signing = keys.signing(request.headers["webhook-id"], int(request.headers["webhook-timestamp"]))
            signing.update(request.body)
            assert request.headers["webhook-signature"] == signing.value()
    space.close()
