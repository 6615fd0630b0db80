"""What is said to real servers, and that it follows what they offer. The proxy between only writes down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Outcome, Receipt, Refused
from mailport.deliver.next_hop.destination import NextHop
from mailport.outward import pool, trust
from tests.deliver.conftest import deliver, held, verify
from tests.deliver.next_hop import servers
from tests.deliver.next_hop.faulty import Proxy, faulty
from tests.deliver.next_hop.hops import LOGIN, next_hop
from tests.deliver.next_hop.servers import NextHopServer
from tests.disks import needs_root
from tests.messages import ENVELOPE, RECEIVED
from tests.tables import table

pytestmark = [pytest.mark.slow, needs_root]

ANNA, CARL = "anna@example.org", "carl@example.org"
JUERGEN = "jürgen@example.org"
WHOLE = b"From: a@example.net\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n"
EIGHT_BIT = WHOLE + "Subject: {}\r\n\r\n.käse\r\n..\r\n.\r\nlast line\r\n".encode()


@pytest.fixture(scope="module")
def dovecot() -> Iterator[NextHopServer]:
    with servers.dovecot() as server:
        yield server


@pytest.fixture(scope="module")
def postfix() -> Iterator[NextHopServer]:
    with servers.postfix() as server:
        yield server


class Listened:
    """A next hop behind a proxy that writes down what is said."""

    def __init__(self, kind: str, port: int, without: Sequence[str] = (), **settings: object) -> None:
        self._kind, self._port, self._without, self._settings = kind, port, frozenset(without), settings
        self._stack = AsyncExitStack()
        self.proxy = Proxy(0)

    async def __aenter__(self) -> tuple[NextHop, Listened]:
        self.proxy = await self._stack.enter_async_context(faulty(self._port, without=self._without))
        settings: dict[str, object] = self._settings
        hop = await self._stack.enter_async_context(next_hop(self._kind, self.proxy.port, **settings))  # type: ignore[arg-type]
        return hop, self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def said(self) -> str:
        """Return what was said behind the answer to EHLO, and forget it; of answers the code alone."""
        lines, in_ehlo = [], False
        for line in self.proxy.said:
            if line.startswith(("C: EHLO", "C: LHLO")):
                in_ehlo = True
            elif in_ehlo:
                in_ehlo = not line.startswith("S: 250 ")
            elif not line.startswith("S: 220 "):
                lines.append(line[:6] if line.startswith("S:") else line)
        self.proxy.said.clear()
        return "\n".join(lines)


async def send(hop: NextHop, *recipients: str, content: bytes, sender: str = "sender@example.net", utf8: bool = False):
    """Deliver a message of eight-bit text, as its client declared it."""
    envelope = ENVELOPE._replace(body_8bitmime=True, smtputf8=utf8, sender=Address.parse(sender))
    async with held(content) as whole:
        whole.envelope = envelope
        return await hop.deliver(whole, [Address.parse(one) for one in recipients])


BY_BDAT = """\
C: MAIL FROM:<sender@example.net>{parameters}
C: RCPT TO:<anna@example.org>
C: RCPT TO:<carl@example.org>
S: 250
S: 250
S: 250
C: BDAT {octets} LAST
C: * content"""
BY_DATA = """\
C: MAIL FROM:<sender@example.net>{parameters}
C: RCPT TO:<anna@example.org>
C: RCPT TO:<carl@example.org>
S: 250
S: 250
S: 250
C: DATA
S: 354
C: * content"""
IN_STEPS = """\
C: MAIL FROM:<sender@example.net>{parameters}
S: 250
C: RCPT TO:<anna@example.org>
S: 250
C: RCPT TO:<carl@example.org>
S: 250
C: DATA
S: 354
C: * content"""
ONE, EACH = "\nS: 250", "\nS: 250\nS: 250"


@pytest.mark.parametrize(
    "kind, port, without, conversation",
    table(
        {
            "Dovecot": ("lmtp", "lmtp", (), BY_BDAT.replace("{parameters}", " BODY=8BITMIME") + EACH),
            "Dovecot without CHUNKING": (
                "lmtp",
                "lmtp",
                ("CHUNKING",),
                BY_DATA.replace("{parameters}", " BODY=8BITMIME") + EACH,
            ),
            "Dovecot without anything": (
                "lmtp",
                "lmtp",
                ("CHUNKING", "PIPELINING", "8BITMIME"),
                IN_STEPS.replace("{parameters}", "") + EACH,
            ),
            "Postfix": ("smtp", "smtp", (), BY_BDAT.replace("{parameters}", " SIZE={octets} BODY=8BITMIME") + ONE),
            "Postfix without CHUNKING": (
                "smtp",
                "data",
                (),
                BY_DATA.replace("{parameters}", " SIZE={octets} BODY=8BITMIME") + ONE,
            ),
            "Postfix without anything": ("smtp", "bare", (), IN_STEPS.replace("{parameters}", "") + ONE),
        }
    ),
)
async def test_what_is_offered_is_used(
    dovecot: NextHopServer,
    postfix: NextHopServer,
    kind: str,
    port: str,
    without: tuple[str, ...],
    conversation: str,
):
    """And the message arrives as it was: eight-bit text, and lines that begin with a dot or are one."""
    server = dovecot if kind == "lmtp" else postfix
    subject = f"{kind} {port} {' '.join(without)}.".encode()
    content = EIGHT_BIT.replace(b"{}", subject)
    async with Listened(kind, server.ports[port], without) as (hop, listened):
        outcomes = await send(hop, ANNA, CARL, content=content)
        said = listened.said()

    assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt]
    assert said == conversation.replace("{octets}", str(len(RECEIVED + content)))
    for name in ("anna", "carl"):
        [arrived] = server.arrived(name, b"Subject: " + subject)
        assert arrived.endswith(RECEIVED + content)


@pytest.mark.parametrize(
    "port, conversation",
    table(
        {
            "at once": (
                "smtp",
                "C: MAIL FROM:<sender@example.net>\nC: RCPT TO:<anna@example.org>\nC: RSET\nS: 250\nS: 250\nS: 250",
            ),
            "one after the other": (
                "bare",
                "C: MAIL FROM:<sender@example.net>\nS: 250\nC: RCPT TO:<anna@example.org>\nS: 250\nC: RSET\nS: 250",
            ),
        }
    ),
)
async def test_a_recipient_is_asked_for_on_a_connection_of_its_own(
    postfix: NextHopServer, port: str, conversation: str
):
    """By MAIL, RCPT and RSET; what was asked once is known for a while, and the delivery has another connection."""
    async with Listened("smtp", postfix.ports[port]) as (hop, listened):
        await verify(hop, ANNA)
        await verify(hop, ANNA)
        said = listened.said()
        assert (len(hop._verifying), len(hop._delivering)) == (1, 0)
        await deliver(hop, ANNA)

        assert said == conversation
        assert (hop._verifying.idle, hop._delivering.idle) == (1, 1)


async def test_addresses_that_are_not_ascii(dovecot: NextHopServer, postfix: NextHopServer):
    """Postfix offers SMTPUTF8, and has them; Dovecot 2.3 does not, and they are refused by name."""
    content = WHOLE + b"Subject: utf8.\r\n\r\nx\r\n"
    async with Listened("smtp", postfix.port) as (hop, listened):
        [outcome] = await send(hop, JUERGEN, content=content, sender="käthe@example.net", utf8=True)
        said = listened.said()

    assert isinstance(outcome, Receipt)
    size = len(RECEIVED.replace(b"with ESMTP", b"with UTF8SMTP") + content)
    assert said.startswith(f"C: MAIL FROM:<käthe@example.net> SIZE={size} BODY=8BITMIME SMTPUTF8\n")
    assert "C: RCPT TO:<jürgen@example.org>" in said
    assert len(postfix.arrived("jürgen", b"Subject: utf8.")) == 1

    async with next_hop("lmtp", dovecot.port) as hop:
        [recipient] = await send(hop, JUERGEN, content=content, utf8=True)
        [sender] = await send(hop, ANNA, content=content, sender="käthe@example.net", utf8=True)
        assert isinstance(recipient, Refused)
        assert isinstance(sender, Refused)
        assert recipient.reply.line.startswith(b"553 5.6.7 ")
        assert sender.reply.line.startswith(b"550 5.6.7 ")


async def test_a_message_over_the_offered_size_is_not_sent(postfix: NextHopServer):
    """At RCPT, where the client has declared it; else at the end."""
    async with Listened("smtp", postfix.ports["small"]) as (hop, listened):
        with pytest.raises(Refused) as refusal:
            await hop.verify(Address.parse(ANNA), ENVELOPE._replace(size=20_000))
        [outcome] = await deliver(hop, ANNA, content=WHOLE + b"\r\n" + b"x" * 20_000)
        said = listened.said()

    assert refusal.value.reply.line.startswith(b"552 5.3.4 ")
    assert isinstance(outcome, Refused)
    assert outcome.reply.line.startswith(b"552 5.3.4 ")
    assert "C: MAIL" not in said


@pytest.mark.parametrize(
    "kind, port, mode",
    table(
        {
            "STARTTLS to Dovecot": ("lmtp", "lmtp", "StartTLSRequired"),
            "TLS to Dovecot from the start": ("lmtp", "lmtps", "Implicit"),
            "STARTTLS to Postfix, which is required": ("smtp", "starttls", "StartTLSRequired"),
            "STARTTLS to Postfix, since it is offered": ("smtp", "starttls", "StartTLS"),
            "no TLS, since it is not offered": ("smtp", "smtp", "StartTLS"),
            "a login by AUTH PLAIN behind STARTTLS": ("smtp", "submission", "StartTLSRequired"),
            "a login by AUTH PLAIN, TLS from the start": ("smtp", "submissions", "Implicit"),
            "a login by AUTH LOGIN, where there is no other": ("smtp", "login", "Implicit"),
        }
    ),
)
@pytest.mark.parametrize("authority", table({"by caRef": "caRef", "by the public authorities": "public"}))
async def test_tls_and_login(
    dovecot: NextHopServer,
    postfix: NextHopServer,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    port: str,
    mode: str,
    authority: str,
):
    """The server proves its name by the tests' authority, which stands for the public ones in a file of OpenSSL's."""
    server = dovecot if kind == "lmtp" else postfix
    settings: dict[str, object] = {
        "mode": mode,
        "login": LOGIN if port in ("submission", "submissions", "login") else None,
    }
    if authority == "public":
        (server.home / "authorities").write_bytes(servers.AUTHORITY.pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.home / "authorities"))
        monkeypatch.setattr(trust, "_public", trust._public.__wrapped__)  # not those that were loaded once
        settings["ca"] = None
    subject = f"Subject: {port} {mode} {authority}.".encode()
    async with next_hop(kind, server.ports[port], **settings) as hop:  # type: ignore[arg-type]
        await verify(hop, ANNA)
        [outcome] = await deliver(hop, ANNA, content=subject + b"\r\n\r\nx\r\n")
        client = hop._delivering.take_idle()
        assert client is not None
        encrypted = client._connection.encrypted
        hop._delivering.give_back(client)
    assert len(server.arrived("anna", subject)) == 1
    assert isinstance(outcome, Receipt)
    assert encrypted == (port != "smtp")
    if kind == "smtp" and settings["login"]:
        method = "LOGIN" if port == "login" else "PLAIN"
        assert f"sasl_method={method}, sasl_username={servers.USER}" in server.log()


async def test_a_login_is_never_said_in_clear(postfix: NextHopServer):
    """A document cannot ask for it, and a server that offers AUTH in clear alone hears no password."""
    async with Listened("smtp", postfix.port, mode="StartTLS", login=LOGIN) as (hop, listened):
        with pytest.raises(Exception, match="AUTH is not offered"):
            await deliver(hop, ANNA)
        said = listened.said()

    assert "AUTH" not in said


# --- connections that are kept


async def test_an_idle_connection_ends_by_quit(postfix: NextHopServer, monkeypatch: pytest.MonkeyPatch):
    """When nobody has used it for a while, and before the server would hang up."""
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.2)
    async with Listened("smtp", postfix.port) as (hop, listened):
        await deliver(hop, ANNA)
        async with asyncio.timeout(20):
            while len(hop._delivering):  # noqa: ASYNC110 - a pool has no event for it
                await asyncio.sleep(0.01)
            while "C: QUIT" not in listened.proxy.said:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_connection_is_not_used_for_ever(postfix: NextHopServer, monkeypatch: pytest.MonkeyPatch):
    """However busy it is: the name may lead elsewhere by now."""
    async with Listened("smtp", postfix.port) as (hop, listened):
        for _ in range(3):
            await deliver(hop, ANNA)
        monkeypatch.setattr(pool, "LIFE_SECONDS", 0.0)
        for _ in range(2):
            await deliver(hop, ANNA)
        greetings = [line for line in listened.proxy.said if line.startswith("S: 220")]

    assert len(greetings) == 3
    assert len(hop._delivering) == 0


async def test_no_more_than_a_few_stay(postfix: NextHopServer):
    """After many at once, the others end by QUIT."""
    many = pool.MOST_IDLE + 5
    async with next_hop("smtp", postfix.port) as hop:
        outcomes: list[Sequence[Outcome]] = await asyncio.gather(*[deliver(hop, ANNA) for _ in range(many)])
        idle, opened = hop._delivering.idle, len(hop._delivering)

    assert all(isinstance(outcome, Receipt) for [outcome] in outcomes)
    assert idle == opened <= pool.MOST_IDLE
