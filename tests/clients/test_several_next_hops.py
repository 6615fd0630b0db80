"""An authenticated message over three next hops, each failing in turn: replies.md, "Recipients"."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.deliver.next_hop import servers
from tests.deliver.next_hop.servers import NextHopServer
from tests.disks import needs_root
from tests.serving import PASSWORD, USER, Serving, eventually, serving

pytestmark = [pytest.mark.slow, needs_root]

# In the order in which they get it: those of smtp as they stand in the document, then lmtp
ROUTES = {"first": "smtp", "second": "smtp", "boxes": "lmtp"}
_numbers = count()


@pytest.fixture(scope="module")
def hops() -> Iterator[dict[str, NextHopServer]]:
    with servers.postfix() as first, servers.postfix() as second, servers.dovecot() as boxes:
        yield dict(zip(ROUTES, (first, second, boxes), strict=True))


@pytest.fixture
def gateway(hops: dict[str, NextHopServer], tmp_path: Path) -> Iterator[Serving]:
    routes = [
        {
            "name": name,
            "recipients": [f"*@{name}.example.org"],
            "clients": "Authenticated",
            "deliver": {kind: {"host": "127.0.0.1", "port": hops[name].port, "tls": {"mode": "Disabled"}}},
        }
        for name, kind in ROUTES.items()
    ]
    spec = {
        "listeners": [{"name": "submission", "auth": {"required": True}}],
        "routes": routes,
        "tls": {"certificateRefs": [{"name": "tls"}]},
        "auth": {"htpasswd": {"secretRef": {"name": "users", "key": "htpasswd"}}},
    }
    with serving(tmp_path, spec, "--allow-local-destinations") as running:
        yield running


def send(gateway: Serving, content: bytes, **mailboxes: str) -> tuple[int, str]:
    """Send a message to a mailbox of each route; return the reply to its content."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60) as client:
        client.starttls(context=context)
        client.login(USER, PASSWORD)
        client.mail(USER)
        for name in ROUTES:
            code, text = client.rcpt(f"{mailboxes.get(name, 'anna')}@{name}.example.org")
            assert code == 250, text
        code, text = client.data(content)
        return code, text.decode()


def copies(hops: dict[str, NextHopServer], subject: bytes) -> dict[str, int]:
    """Return how often each server has it, all mailboxes together, when Postfix' queues are empty."""
    names = ("anna", "full", "later", "never")
    for server in hops.values():
        eventually(lambda server=server: not server.queued(), "an empty queue")
    return {
        name: sum(subject in message for mailbox in names for message in server.messages(mailbox))
        for name, server in hops.items()
    }


def new_message() -> tuple[bytes, bytes]:
    subject = f"Subject: several {next(_numbers)}.".encode()
    return subject, b"From: a@example.net\r\n" + subject + b"\r\n\r\nfor all of you\r\n"


@pytest.mark.parametrize("failing", ROUTES)
def test_one_is_away_and_comes_back(gateway: Serving, hops: dict[str, NextHopServer], failing: str):
    """451: those before it have the message, those behind it do not; when it comes again nobody gets it twice."""
    assert send(gateway, new_message()[1])[0] == 250  # so that the recipients are known, and connections are open
    subject, content = new_message()
    before = list(ROUTES)[: list(ROUTES).index(failing)]

    hops[failing].stop()
    try:
        for _ in range(2):
            code, text = send(gateway, content)
            assert (code, text[:6]) == (451, "4.3.0 ")
            assert copies(hops, subject) == {name: int(name in before) for name in ROUTES}
    finally:
        hops[failing].start()
    gateway.logged(reason="partial" if before else "destination_unavailable")
    assert send(gateway, content)[0] == 250
    assert copies(hops, subject) == dict.fromkeys(ROUTES, 1)


@pytest.mark.parametrize("failing", ROUTES)
def test_one_puts_it_off(gateway: Serving, hops: dict[str, NextHopServer], failing: str):
    """After the content, for its one recipient; as often as the sender comes nobody has it twice."""
    subject, content = new_message()
    before = list(ROUTES)[: list(ROUTES).index(failing)]
    for _ in range(3):
        code, text = send(gateway, content, **{failing: "full" if failing == "boxes" else "later"})
        assert (code, text[:6]) == (451, "4.3.0 ")
        assert copies(hops, subject) == {name: int(name in before) for name in ROUTES}


@pytest.mark.parametrize("failing", ROUTES)
def test_one_refuses_it(gateway: Serving, hops: dict[str, NextHopServer], failing: str):
    """554, which names the recipient: all others have it, and the sender hears who does not."""
    subject, content = new_message()

    code, text = send(gateway, content, **{failing: "never"})

    assert (code, text) == (554, f"5.3.0 not delivered to never@{failing}.example.org; delivered to the others")
    gateway.logged(reason="partial_refused")
    assert copies(hops, subject) == {name: int(name != failing) for name in ROUTES}


def test_all_refuse_it(gateway: Serving, hops: dict[str, NextHopServer]):
    """The first one's own reply."""
    subject, content = new_message()

    code, text = send(gateway, content, **dict.fromkeys(ROUTES, "never"))

    assert (code, text[:6]) == (550, "5.7.0 ")
    assert copies(hops, subject) == dict.fromkeys(ROUTES, 0)
