"""SMTP smuggling onward: what might end a message for the next hop, and does not for us, is one message there.

The next hops are as generous as servers come: Postfix with smtpd_forbid_bare_newline off, and Dovecot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from tests.clients.driver import Driver
from tests.deliver.next_hop import servers
from tests.deliver.next_hop.servers import NextHopServer
from tests.disks import needs_root
from tests.serving import Serving, eventually, serving

pytestmark = [pytest.mark.slow, needs_root]


def runs(longest: int) -> list[bytes]:
    """Return all that can be made of CR and LF, up to so many."""
    return [bytes(octets) for length in range(longest + 1) for octets in product(b"\r\n", repeat=length)]


FORMS = [before + b"." + after for before, after in product(runs(4), runs(3))]
ENDS = [form for form in FORMS if b"\r\n.\r\n" in form]  # those that are the end, and nothing else is
SMUGGLED = (
    b"MAIL FROM:<eve@example.net>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<carl@example.org>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nsmuggled\r\n"
)


@dataclass
class Way:
    """A route: the mailbox that has it, and where that is."""

    mailbox: str
    server: NextHopServer
    kind: str
    port: str


@pytest.fixture(scope="module")
def ways() -> Iterator[list[Way]]:
    with servers.dovecot() as dovecot, servers.postfix() as postfix:
        yield [
            Way("anna", dovecot, "lmtp", "lmtp"),
            Way("carl", postfix, "smtp", "data"),
            Way("full", postfix, "smtp", "smtp"),
        ]


@pytest.fixture
def gateway(ways: list[Way], tmp_path: Path) -> Iterator[Serving]:
    routes = [
        {
            "name": way.mailbox,
            "recipients": [f"{way.mailbox}@example.org"],
            "deliver": {
                way.kind: {"host": "127.0.0.1", "port": way.server.ports[way.port], "tls": {"mode": "Disabled"}}
            },
        }
        for way in ways
    ]
    with serving(tmp_path, {"routes": routes}, "--allow-local-destinations") as running:
        yield running


def content(way: Way, how: str, number: int, form: bytes) -> bytes:
    header = f"From: a@example.net\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@example.net>\r\n"
    return f"{header}Subject: {way.mailbox} by {how}, form {number}.\r\n\r\nbody".encode() + form + SMUGGLED


def as_one_message(sent: bytes, how: str) -> bytes:
    """What the next hop is to have of it: the dots that begin a line of DATA undoubled, and each line end CRLF."""
    if how == "DATA":
        sent = re.sub(rb"(?<=\r\n)\.", b"", sent)
    return re.sub(rb"\r*\n|\r", b"\r\n", sent)


def by_data(client: Driver, sent: bytes) -> str:
    assert client.say("DATA").startswith("354 ")
    return client.say(sent + b".\r\n")


def by_bdat(client: Driver, sent: bytes) -> str:
    return client.say(b"BDAT %d LAST\r\n" % len(sent) + sent)


def send(gateway: Serving, way: Way, how: str, forms: list[bytes]) -> None:
    """Send a message of each form; each has one reply, and nothing in it is taken for a command."""
    with Driver(gateway.port, seconds=60) as client:
        client.start()
        for number, form in enumerate(forms):
            client.envelope(f"{way.mailbox}@example.org")
            reply = (by_data if how == "DATA" else by_bdat)(client, content(way, how, number, form))
            assert reply.startswith("250 2.0.0 "), f"{form!r}: {reply}"
            assert client.say("NOOP").startswith("250 "), f"{form!r}"
        assert client.say("QUIT").startswith("221 ")


def test_each_form_is_one_message(gateway: Serving, ways: list[Way]):
    """By DATA all but the real end; by BDAT, where no octet of the content ends it, all of them."""
    sent = {"DATA": [form for form in FORMS if form not in ENDS], "BDAT": FORMS}
    assert len(sent["DATA"]) == 444
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(send, gateway, way, how, forms) for way in ways for how, forms in sent.items()]
        for one in done:
            one.result()

    for way in ways:
        wanted = [
            as_one_message(content(way, how, number, form), how)
            for how, forms in sent.items()
            for number, form in enumerate(forms)
        ]
        arrived = eventually(
            lambda way=way, wanted=wanted: _all(way, len(wanted)), f"all at {way.mailbox}", seconds=120
        )
        assert sorted(message[message.index(b"From: a@") :] for message in arrived) == sorted(wanted)
    for server in (ways[0].server, ways[1].server):
        eventually(lambda server=server: not server.queued(), "an empty queue")
        for name in ("anna", "carl", "full"):
            mine = f"Subject: {name} by ".encode()
            assert all(mine in message for message in server.messages(name)), "somebody else's message came"


def _all(way: Way, count: int) -> list[bytes]:
    messages = way.server.messages(way.mailbox)
    return messages if len(messages) >= count else []


def test_bare_line_ends_can_be_refused(gateway: Serving, ways: list[Way]):
    """With bareNewlines Reject nothing of them reaches the next hop."""
    gateway.change({"content": {"bareNewlines": "Reject"}})
    form = b"\n.\r\n"
    with Driver(gateway.port) as client:
        client.start()
        for way in ways:
            client.envelope(f"{way.mailbox}@example.org")
            assert by_data(client, content(way, "DATA", 1000, form)).startswith("550 5.6.0 ")
    for way in ways:
        assert not [one for one in way.server.messages(way.mailbox) if b"form 1000." in one]
