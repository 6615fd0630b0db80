"""A next hop is tried without a message: connection, greeting, TLS, login, QUIT."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from mailport.deliver.destination import Unavailable
from mailport.deliver.next_hop.client import Login
from mailport.listener.tls import self_signed
from tests.deliver.next_hop import servers
from tests.deliver.next_hop.faulty import EHLO, GREETING, Fault, faulty
from tests.deliver.next_hop.hops import next_hop
from tests.deliver.next_hop.scripted import scripted
from tests.deliver.next_hop.servers import PASSWORD, USER, NextHopServer
from tests.disks import needs_root
from tests.ports import free_port
from tests.serving import eventually
from tests.tables import table

KINDS = {"lmtp": servers.dovecot, "smtp": servers.postfix}


@pytest.fixture(scope="module", params=KINDS)
def kind_and_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, NextHopServer]]:
    with KINDS[request.param]() as server:
        yield request.param, server


@pytest.fixture(scope="module")
def smarthost() -> Iterator[NextHopServer]:
    with servers.postfix() as server:
        yield server


@pytest.mark.slow
@needs_root
async def test_the_real_ones_are_greeted_and_left(kind_and_server: tuple[str, NextHopServer]):
    """They see a client that greets and leaves, and no transaction; nothing stays open."""
    kind, server = kind_and_server
    left = "ehlo=1 quit=1 commands=2" if kind == "smtp" else "Logged out (state=READY)"
    async with next_hop(kind, server.port) as hop:
        before = server.log().count(left)
        await hop.check()

        assert len(hop._delivering) == len(hop._verifying) == 0
    eventually(lambda: server.log().count(left) == before + 1, f"{left!r} in the log: {server.log()[-500:]}")


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize(
    "fault, why, reason",
    table(
        {
            "it hangs up": (Fault(GREETING, "reset"), "closed the connection", "destination_unavailable"),
            "it does not greet": (Fault(GREETING, "hang"), "no answer in 1 s", "destination_unavailable"),
            "it is busy": (
                Fault(GREETING, "421 4.3.2 busy"),
                "the connection: 421 4.3.2 busy",
                "destination_unavailable",
            ),
            "it wants no mail of ours": (
                Fault(GREETING, "554 5.7.1 go away"),
                "the connection: 554 5.7.1 go away",
                "destination_misconfigured",
            ),
            "it does not take our name": (Fault(EHLO, "550 no"), "EHLO: 550 no", "destination_misconfigured"),
            "it is another service": (
                Fault(GREETING, "HTTP/1.1 400 x"),
                "not a line of a reply",
                "destination_unavailable",
            ),
        }
    ),
)
async def test_what_is_wrong_is_said(kind_and_server: tuple[str, NextHopServer], fault: Fault, why: str, reason: str):
    kind, server = kind_and_server
    async with (
        faulty(server.port, Fault(fault.at, fault.then)) as proxy,
        next_hop(kind, proxy.port, seconds=1) as hop,
    ):
        with pytest.raises(Unavailable) as failure:
            await hop.check()

    assert why in str(failure.value)
    assert failure.value.reply.reason == reason


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize(
    "mode, name, password, why",
    table(
        {
            "STARTTLS and a login": ("StartTLSRequired", "submission", PASSWORD, ""),
            "TLS from the start, and a login": ("Implicit", "submissions", PASSWORD, ""),
            "a wrong password": ("Implicit", "submissions", "battery staple", "AUTH: 535 5.7.8"),
            "TLS is not offered": ("StartTLSRequired", "smtp", PASSWORD, "STARTTLS is not offered"),
        }
    ),
)
async def test_a_real_postfix_that_wants_tls_and_a_login(
    smarthost: NextHopServer, mode: str, name: str, password: str, why: str
):
    async with next_hop("smtp", smarthost.ports[name], mode=mode, login=Login(USER.encode(), password.encode())) as hop:
        if not why:
            await hop.check()
            return
        with pytest.raises(Unavailable, match=why) as failure:
            await hop.check()
    assert failure.value.reply.reason == "destination_misconfigured"


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_listens(kind: str):
    async with next_hop(kind, port := free_port()) as hop:
        with pytest.raises(Unavailable, match=f"127.0.0.1 port {port}: Connection refused"):
            await hop.check()


# --- TLS and login. The server is a script, since no real one repeats a password.

LOGIN = Login(b"mailport", b"correct horse")
SENT = base64.b64encode(b"\0mailport\0correct horse").decode()
OFFER = "250-next.example.org\r\n250 AUTH PLAIN"


@asynccontextmanager
async def with_login(answer: str) -> AsyncGenerator[tuple[str, list[str]]]:
    """Check a server that gives this answer to AUTH; gives what became of that, and what the server heard."""
    chain, key = self_signed("mx.example.org", datetime.now(UTC))
    async with (
        scripted(["220 next.example.org", OFFER, answer, "221 bye"], chain, key) as (port, heard),
        next_hop("smtp", port, mode="Implicit", ca=chain, server_name="mx.example.org", login=LOGIN) as hop,
    ):
        try:
            await hop.check()
            yield "", heard
        except Unavailable as error:
            yield f"{error.reply.reason}: {error}", heard


async def test_it_logs_in_and_leaves():
    async with with_login("235 2.7.0 yes") as (came_to, heard):
        assert came_to == ""
        await asyncio.to_thread(eventually, lambda: len(heard) == 3, "QUIT")
        assert heard == ["EHLO mx.example.org", f"AUTH PLAIN {SENT}", "QUIT"]


@pytest.mark.parametrize(
    "answer, came_to",
    table(
        {
            "a wrong password": (
                "535 5.7.8 authentication failed",
                "destination_misconfigured: AUTH: 535 5.7.8 authentication failed",
            ),
            "not now": ("454 4.7.0 later", "destination_unavailable: AUTH: 454 4.7.0 later"),
            "an answer with the password in it": (
                "535 5.7.8 correct horse is wrong",
                "destination_misconfigured: AUTH: an answer that repeats the password",
            ),
            "one with what was sent in it": (
                f"535-5.7.8 wrong\r\n535 5.7.8 {SENT}",
                "destination_misconfigured: AUTH: an answer that repeats the password",
            ),
            "no answer of SMTP, with the password in it": (
                "correct horse is wrong",
                "destination_unavailable: AUTH: an answer that repeats the password",
            ),
        }
    ),
)
async def test_a_login_that_fails_is_said_without_the_password(answer: str, came_to: str):
    async with with_login(answer) as (what, _):
        assert what == came_to
