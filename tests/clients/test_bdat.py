"""BDAT (RFC 3030) by a client that chunks as no sane one would. Programs that send BDAT at all do it one way each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from tests.clients.driver import Driver
from tests.serving import Serving, eventually, serving
from tests.tables import table

pytestmark = pytest.mark.slow

TAKEN = re.compile(r"250 2\.0\.0 Ok: queued as [0-9a-f]{16}\.\d+")
CHUNK = "250 2.0.0 chunk received"
HEAD = b"From: <bob@example.com>\r\nSubject: a test\r\n\r\n"

_mailboxes = (f"mailbox-{number}@example.org" for number in itertools.count(1))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    spec = {
        "messageSize": {"advertised": "1Mi"},
        "tls": {"certificateRefs": [{"name": "tls"}]},
        "routes": [
            {"name": "closed", "recipients": ["closed@example.org"], "deliver": {"refuse": {"text": "closed"}}},
            {
                "name": "narrow",
                "recipients": ["narrow@example.org"],
                "maxConcurrent": 1,
                "deliver": {"discard": {}},
            },
            {"name": "mail", "recipients": ["*@example.org"], "deliver": {"maildir": {}}},
        ],
    }
    with serving(tmp_path_factory.mktemp("bdat"), spec) as running:
        yield running


@pytest.fixture
def client(gateway: Serving) -> Iterator[Driver]:
    with Driver(gateway.port) as driver:
        yield driver.start()


@pytest.fixture
def mailbox() -> str:
    """An address that no other test writes to."""
    return next(_mailboxes)


def bdat(chunk: bytes, *, last: bool = False) -> bytes:
    return b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk


def content(gateway: Serving, mailbox: str) -> bytes:
    """Return the only message of a mailbox without the fields in front that are ours, in CRLF as it was sent."""
    (message,) = gateway.messages(mailbox)
    ours, begin, rest = message.partition(HEAD.replace(b"\r\n", b"\n"))
    assert b"\nDelivered-To: " in ours
    return (begin + rest).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "chunks",
    table(
        {
            "one chunk": ([HEAD + b"hello\r\n"],),
            "many chunks": ([HEAD, b"hel", b"lo\r", b"\n.\r\n", b"\r\n"],),
            "an octet each": ([bytes((octet,)) for octet in HEAD + b"hello\r\n"],),
            "nothing in the last": ([HEAD, b"hello\r\n", b""],),
            "nothing in the first and the middle": ([b"", HEAD, b"", b"hello\r\n"],),
            "what would end DATA does not end BDAT": ([HEAD + b".\r\n.\r\n", b"..\r\nQUIT\r\n"],),
            "what looks like commands is none": ([HEAD + b"RSET\r\nBDAT 5 LAST\r\nhello\r\n"],),
            "half a megabyte at once": ([HEAD + b"x" * 500_000 + b"\r\n"],),
            "a line without an end": ([HEAD + b"hello"],),
        }
    ),
)
@pytest.mark.parametrize("pipelined", [False, True], ids=["each answered", "pipelined"])
def test_chunks(gateway, client, mailbox, chunks, pipelined):
    """However it is cut, the message arrives as it was sent."""
    *first, last = chunks
    client.envelope(mailbox)
    if pipelined:
        client.send(b"".join([*map(bdat, first), bdat(last, last=True)]))
        replies = client.replies(len(chunks))
    else:
        replies = [*(client.say(bdat(chunk)) for chunk in first), client.say(bdat(last, last=True))]

    assert replies[:-1] == [CHUNK] * len(first)
    assert TAKEN.fullmatch(replies[-1])
    assert content(gateway, mailbox) == b"".join(chunks)


def test_everything_in_one_segment(gateway, client, mailbox):
    """RFC 3030 §4.2: MAIL, RCPT and all chunks may come before any of them has been answered, and QUIT too."""
    message = HEAD + b"hello\r\n"
    envelope = f"MAIL FROM:<bob@example.com> BODY=8BITMIME\r\nRCPT TO:<{mailbox}>\r\n".encode()
    client.send(envelope + bdat(message[:50]) + bdat(message[50:], last=True) + b"QUIT\r\n")
    sender, recipient, chunk, last, bye, end = client.replies(6)

    assert (sender, recipient, chunk) == ("250 2.1.0 sender ok", "250 2.1.5 recipient ok", CHUNK)
    assert TAKEN.fullmatch(last)
    assert (bye, end) == ("221 2.0.0 Bye", "")
    assert content(gateway, mailbox) == message


def test_several_messages(gateway, client, mailbox):
    """The session goes on behind LAST: BDAT and DATA may take turns."""
    for number in range(3):
        assert TAKEN.fullmatch(client.envelope(mailbox).say(bdat(HEAD + b"%d\r\n" % number, last=True)))
        assert client.envelope(mailbox).say("DATA").startswith("354 ")
        assert TAKEN.fullmatch(client.say(HEAD + b"by DATA\r\n.\r\n"))
    assert len(gateway.messages(mailbox)) == 6


@pytest.mark.parametrize(
    ("sent", "arrives"),
    table(
        {
            "a bare LF": (b"a\nb\r\n", b"a\r\nb\r\n"),
            "a bare CR": (b"a\rb\r\n", b"a\r\nb\r\n"),
            "several": (b"a\r\rb\n\nc\n\rd\r\n", b"a\r\n\r\nb\r\n\r\nc\r\n\r\nd\r\n"),
            "a bare CR at the very end": (b"a\r", b"a\r\n"),
            "every octet there is": (
                bytes(range(256)),
                bytes(range(10)) + b"\r\n" + bytes((11, 12)) + b"\r\n" + bytes(range(14, 256)),
            ),
            "what looks like the end": (b"\n.\n\r.\r\r\n.\r\n", b"\r\n.\r\n\r\n.\r\n.\r\n"),
        }
    ),
)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_binary_looking_content(gateway, client, mailbox, sent, arrives, size):
    """BODY=BINARYMIME is not offered: lines are made of it, and nothing else of it is touched."""
    client.envelope(mailbox, parameters=" BODY=8BITMIME")
    for start in range(0, len(HEAD + sent), size):
        assert client.say(bdat((HEAD + sent)[start : start + size])) == CHUNK
    assert TAKEN.fullmatch(client.say("BDAT 0 LAST"))

    assert content(gateway, mailbox) == HEAD + arrives


def test_over_tls(gateway, client, mailbox):
    """Chunks that TLS cuts once more."""
    message = HEAD + b"0123456789abcdef\r\n" * 20_000
    client.start_tls().envelope(mailbox)
    client.send(bdat(message[:100_001]) + bdat(message[100_001:], last=True))

    assert client.reply() == CHUNK
    assert TAKEN.fullmatch(client.reply())
    assert content(gateway, mailbox) == message


def test_a_message_that_grows_too_large(gateway, client, mailbox):
    """The chunk that is one too many is refused, what follows is dropped, and the session goes on."""
    client.envelope(mailbox)
    assert client.say(bdat(HEAD + b"x" * 600_000)) == CHUNK
    client.send(bdat(b"x" * 600_000) + bdat(b"x" * 10) + bdat(b"\r\n", last=True))
    assert client.reply() == "552 5.3.4 message is larger than the limit"
    assert client.replies(2) == ["503 5.5.1 no chunk is expected"] * 2

    assert TAKEN.fullmatch(client.envelope(mailbox).say(bdat(HEAD, last=True)))
    assert content(gateway, mailbox) == HEAD
    eventually(lambda: not list((gateway.mail / "example.org").glob("*/tmp/*")), "nothing is left behind")


def test_without_recipients(gateway, client, mailbox):
    """What is pipelined behind refused recipients is read, and dropped; it is not taken for commands."""
    chunk = b"QUIT\r\n" * 3
    client.send(b"MAIL FROM:<bob@example.com>\r\nRCPT TO:<closed@example.org>\r\n" + bdat(chunk, last=True))

    assert client.replies(3) == ["250 2.1.0 sender ok", "550 5.1.1 closed", "503 5.5.1 need RCPT first"]
    assert client.say(bdat(chunk)).startswith("503 5.5.1 ")
    assert client.say("RSET") == "250 2.0.0 Ok"
    assert client.say(bdat(chunk, last=True)) == "503 5.5.1 need MAIL first"
    assert TAKEN.fullmatch(client.envelope(mailbox).say(bdat(HEAD, last=True)))


def test_in_the_middle_of_chunks(gateway, client, mailbox):
    """Only BDAT, RSET and small talk fit between chunks; RSET ends it, and nothing of it is delivered."""
    client.envelope(mailbox)
    assert client.say(bdat(HEAD)) == CHUNK
    assert client.say("DATA") == "503 5.5.1 bad sequence of commands"
    assert client.say(f"RCPT TO:<{mailbox}>") == "503 5.5.1 bad sequence of commands"
    assert client.say("MAIL FROM:<>").startswith("503 5.5.1 ")
    assert client.say("NOOP") == "250 2.0.0 Ok"
    assert client.say("RSET") == "250 2.0.0 Ok"

    assert TAKEN.fullmatch(client.envelope(mailbox).say(bdat(HEAD + b"second\r\n", last=True)))
    assert content(gateway, mailbox) == HEAD + b"second\r\n"


@pytest.mark.parametrize("argument", ["", "x", "-1", "1.5", "5 FIRST", "0x10", "99999999999999999999999"])
def test_a_size_that_is_none(client, mailbox, argument):
    """Nobody could say where the next command begins: the connection ends."""
    client.envelope(mailbox)

    assert client.say(f"BDAT {argument}") == "501 5.5.4 syntax: BDAT size [LAST]"
    assert client.reply() == ""


def test_a_client_that_leaves_between_chunks(gateway, mailbox):
    """Without LAST there is no message."""
    with Driver(gateway.port) as client:
        assert client.start().envelope(mailbox).say(bdat(HEAD)) == CHUNK
        client.send(b"BDAT 100 LAST\r\nless than that")

    eventually(lambda: gateway.status()["listeners"][0]["connections"] == 0, "the session has ended")
    assert gateway.messages(mailbox) == []


def test_8bitmime_and_smtputf8(gateway, client):
    """Eight bits pass as they are, in the content and, where it is said, in addresses."""
    message = "Subject: Grüße\r\n\r\nnaïve\r\n".encode()
    assert client.say("MAIL FROM:<jürgen@example.com> BODY=8BITMIME SMTPUTF8".encode() + b"\r\n").startswith("250 ")
    assert client.say("RCPT TO:<käthe@example.org>") == "250 2.1.5 recipient ok"
    assert TAKEN.fullmatch(client.say(bdat(message, last=True)))

    (arrived,) = gateway.messages("käthe@example.org")
    assert arrived.endswith(message.replace(b"\r\n", b"\n"))
    assert "Return-Path: <jürgen@example.com>\n".encode() in arrived
    assert b" with UTF8SMTP\n" in arrived


def test_binarymime_is_refused(client):
    """RFC 3030 §3: it is not offered, for no destination could be given it."""
    assert client.say("MAIL FROM:<bob@example.com> BODY=BINARYMIME") == "501 5.5.4 syntax error in a parameter"
