"""A real Postfix as the server that sends: it is the queue that the gateway does not have."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator

import pytest

from tests.clients.postfix import SENDER, Postfix, postfix
from tests.serving import Serving, eventually, free_port, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("postfix") or os.geteuid() != 0, reason="Postfix, and root to start it"),
]

MESSAGE = b"From: <bob@sender.example.com>\nSubject: a test\n\nhello\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    spec = {
        "tls": {"certificateRefs": [{"name": "tls"}]},
        "routes": [
            {"name": "one", "recipients": ["one-*@example.org"], "deliver": {"maildir": {}}},
            {"name": "two", "recipients": ["two-*@example.org"], "deliver": {"maildir": {}}},
            {
                "name": "narrow",
                "recipients": ["narrow@example.org"],
                "maxConcurrent": 1,
                "deliver": {"maildir": {}},
            },
            {"name": "mail", "recipients": ["*@example.org", "*@tls.example.org"], "deliver": {"maildir": {}}},
        ],
    }
    with serving(tmp_path_factory.mktemp("gateway"), spec) as running:
        yield running


@pytest.fixture(scope="module")
def sender(gateway: Serving) -> Iterator[Postfix]:
    with postfix(gateway.port, gateway.secret("tls") / "tls.crt") as running:
        yield running


def test_starttls(gateway, sender):
    """It starts TLS and verifies the certificate, and its message arrives so."""
    queue_id = sender.submit(MESSAGE, "anna@tls.example.org")
    sender.outcome(queue_id, "anna@tls.example.org", "sent")

    assert f"Verified TLS connection established to 127.0.0.1[127.0.0.1]:{gateway.port}: TLSv1.3" in sender.log()
    assert b"\n\tby mx.example.org with ESMTPS (TLSv1.3 " in gateway.messages("anna@tls.example.org")[0]
    assert gateway.logged(event="message", recipients=["anna@tls.example.org"])["tls"] == "TLSv1.3"


def test_pipelining(gateway, sender):
    """It sends the whole envelope at once, and reads the replies afterwards."""
    recipients = ["first@example.org", "second@example.org"]
    queue_id = sender.submit(MESSAGE, *recipients)
    for recipient in recipients:
        sender.outcome(queue_id, recipient, "sent")
    said = sender.conversation("first@example.org")
    verbs = [line[:6] for line in said]
    begin = verbs.index("> MAIL")

    assert "< 250-PIPELINING" in said
    assert verbs[begin : begin + 8] == ["> MAIL", "> RCPT", "> RCPT", "> DATA", "< 250 ", "< 250 ", "< 250 ", "< 354 "]
    assert len(gateway.messages("first@example.org")) == len(gateway.messages("second@example.org")) == 1


def test_twenty_megabytes(gateway, sender):
    """They arrive whole, dots at the beginning of lines and all eight bits included."""
    lines = b"".join(b".%06d \xc3\xa4\xc3\xb6\xc3\xbc %s\n" % (number, b"x" * 60) for number in range(270_000))
    header = b"From: <%s>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" % SENDER.encode()
    content = lines + b".\n..\n"
    assert len(content) > 20_000_000
    queue_id = sender.submit(header + b"Content-Transfer-Encoding: 8bit\n\n" + content, "large@tls.example.org")
    sender.outcome(queue_id, "large@tls.example.org", "sent")

    (message,) = gateway.messages("large@tls.example.org")
    arrived = message.partition(b"\n\n")[2]
    assert len(arrived) == len(content)
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(content).digest()
    assert " BODY=8BITMIME" in next(line for line in sender.conversation("large@") if line.startswith("> MAIL"))


def test_a_message_that_is_too_large_for_the_gateway(gateway, sender):
    """SIZE in EHLO is enough: it returns the message to its author, and sends nothing."""
    queue_id = sender.submit(b"Subject: a test\n\n" + b"x" * 70 * 400_000 + b"\n", "too-large@example.org")

    assert "exceeds size limit 26214400 of server" in sender.outcome(queue_id, "too-large@example.org", "bounced")
    assert gateway.messages("too-large@example.org") == []


def test_451_while_the_mailbox_cannot_be_written(gateway, sender):
    """The gateway's own troubles are no reason to give a message up."""
    mailbox = gateway.mail / "example.org" / "broken"
    mailbox.parent.mkdir(parents=True, exist_ok=True)
    mailbox.write_text("a file where a folder belongs")
    queue_id = sender.submit(MESSAGE, "broken@example.org")
    reason = sender.outcome(queue_id, "broken@example.org", "deferred")

    assert "said: 451 4.3.0 " in reason
    assert "in reply to end of DATA command" in reason
    assert gateway.logged(event="message", result="deferred")["reason"] == "destination_unavailable"
    mailbox.unlink()
    sender.flush()
    sender.outcome(queue_id, "broken@example.org", "sent")
    assert len(gateway.messages("broken@example.org")) == 1
    assert not list((mailbox / "tmp").iterdir())


def test_452_for_recipients_of_two_routes(gateway, sender):
    """Those of the first route get the message at once, the others with the next attempt; all of them once."""
    first, others = ["one-a@example.org", "one-b@example.org"], ["two-a@example.org", "two-b@example.org"]
    queue_id = sender.submit(MESSAGE, *first, *others)
    for recipient in first:
        sender.outcome(queue_id, recipient, "sent")
    for recipient in others:
        assert "said: 452 4.5.3 " in sender.outcome(queue_id, recipient, "deferred")
    assert not any(map(gateway.messages, others))

    sender.flush()
    for recipient in others:
        sender.outcome(queue_id, recipient, "sent")
    assert [len(gateway.messages(recipient)) for recipient in (*first, *others)] == [1, 1, 1, 1]
    eventually(lambda: queue_id not in {one["queue_id"] for one in sender.queued()}, "gone from the queue")


def test_smtputf8(gateway, sender):
    """An address that is not ASCII comes as it is."""
    message = "From: <bob@sender.example.com>\nTo: <käthe@example.org>\nSubject: Grüße\n\nhello\n"
    queue_id = sender.submit(message.encode(), "käthe@example.org")
    sender.outcome(queue_id, "käthe@example.org", "sent")

    (arrived,) = gateway.messages("käthe@example.org")
    assert arrived.startswith("Return-Path: <bob@sender.example.com>\nDelivered-To: käthe@example.org\n".encode())
    assert b" with UTF8SMTP\n" in arrived
    assert "\nSubject: Grüße\n".encode() in arrived


def test_a_gateway_that_is_away(tmp_path):
    """It waits while nobody is there, and delivers once somebody is."""
    port = free_port()
    spec = {"listeners": [{"name": "smtp", "port": port}]}
    (tmp_path / "ca.pem").write_text("")
    with postfix(port, tmp_path / "ca.pem") as sender:
        queue_id = sender.submit(MESSAGE, "anna@example.org")
        assert "Connection refused" in sender.outcome(queue_id, "anna@example.org", "deferred")
        with serving(tmp_path, spec) as gateway:
            sender.flush()
            sender.outcome(queue_id, "anna@example.org", "sent")
            assert len(gateway.messages("anna@example.org")) == 1
