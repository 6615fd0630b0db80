"""What a client does leaves nothing in the process: not an object a session, whichever way it ends."""

from __future__ import annotations

import asyncio
import gc
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.listener import dialogs
from tests.listener.playing import SECONDS, Client, Served
from tests.tables import table

FIRST = 60  # sessions, after which all is loaded and made that stays
SESSIONS = 160  # of which each would leave something; asyncio's cancelled timers come and go by up to a hundred

HEAD = """\
# A head.
spec:
  checks: {}
  listeners:
  - {name: smtp, port: 25, auth: {mode: Always}}
  - {name: proxied, port: 26, proxyProtocol: {trustedCIDRs: [127.0.0.0/8]}}
dns:
  client.example: [{TXT: v=spf1 -all}]
"""
ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<anna@example.org>\r\n"
MESSAGE = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
LOGIN = b64encode(b"\0anna@example.org\0correct horse")

pytestmark = pytest.mark.slow

Act = Callable[[Client], Awaitable[None]]


def saying(*pieces: tuple[bytes, int]) -> Act:
    """Say each piece, and read replies until the last line of so many."""

    async def act(client: Client) -> None:
        await client.ehlo(b"client.example")
        for piece, replies in pieces:
            await client.send(piece)
            for _ in range(replies):
                while (await client.line())[3:4] == b"-":
                    pass

    return act


async def through_tls(client: Client) -> None:
    await client.ehlo(b"client.example")
    await client.send(b"STARTTLS\r\n")
    await client.line()
    await client.start_tls()
    await client.ehlo(b"client.example")
    await client.send(ENVELOPE + b"DATA\r\n")
    for _ in range(3):
        await client.line()


async def proxied(client: Client) -> None:
    await client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\n")
    await client.ehlo(b"client.example")


ACTS = table(
    {
        "nothing": ("smtp", saying()),
        "a message": ("smtp", saying((ENVELOPE + b"DATA\r\n", 3), (MESSAGE + b".\r\nQUIT\r\n", 2))),
        "a message in chunks": ("smtp", saying((ENVELOPE + b"BDAT %d LAST\r\n%b" % (len(MESSAGE), MESSAGE), 3))),
        "a message that lies in scratch": (
            "smtp",
            saying((ENVELOPE + b"DATA\r\n", 3), (MESSAGE * 14_000 + b".\r\n", 1)),
        ),
        "half a message": ("smtp", saying((ENVELOPE + b"DATA\r\n", 3), (MESSAGE, 0))),
        "half a message that lies in scratch": ("smtp", saying((ENVELOPE + b"DATA\r\n", 3), (MESSAGE * 14_000, 0))),
        "refused recipients": ("smtp", saying((b"MAIL FROM:<>\r\n" + b"RCPT TO:<nobody@other.example>\r\n" * 5, 6))),
        "a login": ("smtp", saying((b"AUTH PLAIN %b\r\n" % LOGIN, 1))),
        "a wrong password": ("smtp", saying((b"AUTH PLAIN %b\r\n" % b64encode(b"\0anna@example.org\0wrong"), 1))),
        "a login that is broken off": ("smtp", saying((b"AUTH PLAIN\r\n", 1))),
        "STARTTLS, and half a message": ("smtp", through_tls),
        "a PROXY header": ("proxied", proxied),
    }
)


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    running = Served(dialogs.parse("leaks", HEAD), tmp_path)
    running.start()
    yield running
    await running.end()


async def sessions(served: Served, port: str, act: Act, number: int) -> None:
    """Have so many clients act and leave, one after the other; wait until the server has seen the last one go."""
    with capture_logs() as logged:
        for _ in range(number):
            client = await Client.connect(served.ports[port], "127.0.0.1")
            await act(client)
            await client.leave()
            logged.clear()
        async with asyncio.timeout(SECONDS):
            while any(served.server.connections.values()):  # noqa: ASYNC110 - sessions end by themselves
                await asyncio.sleep(0.01)


def held() -> tuple[int, int]:
    """Return how many objects there are, and how many entries in all lists, sets and the like."""
    gc.collect()
    objects = gc.get_objects()
    return len(objects), sum(len(one) for one in objects if type(one) in (list, dict, set, deque))


@pytest.mark.parametrize("port, act", ACTS)
async def test_a_session_leaves_nothing(served: Served, port: str, act: Act):
    """What the first ones load stays; of those that follow nothing does."""
    await sessions(served, port, act, FIRST)
    objects, entries = held()
    await sessions(served, port, act, SESSIONS)
    more_objects, more_entries = held()

    assert more_objects - objects < SESSIONS
    assert more_entries - entries < SESSIONS
