"""The checks in the listener: what a reload keeps, what is asked early, and what is not there without them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

from mailport.authentication.dns import Question, RecordType
from mailport.authentication.result import Result
from mailport.listener.checking import Checkers
from mailport.listener.examine import Examination
from mailport.listener.receive import Incoming
from mailport.message.content import Content, Space
from mailport.outward.allowed import Allowed
from tests.authentication import signing
from tests.checks.dns_server import dns_server
from tests.checks.test_checker import HONEST, spec
from tests.listener.transactions import ENVELOPE, config

MESSAGE = b"From: anna@example.org\r\nSubject: s\r\n\r\n" + b"x" * 70 + b"\r\n"
KEY = Question("s._domainkey.example.org", RecordType.TXT)


def test_nothing_is_loaded_without_checks():
    """The listener starts without dnspython, and a document without checks asks for nothing of it."""
    script = (
        "import sys, mailport.listener.lifecycle\n"
        "from mailport.listener.checking import Checkers\n"
        "from mailport.outward.allowed import Allowed\n"
        "class Spec: checks = None\n"
        "assert Checkers(Allowed()).load(Spec) is None\n"
        "sys.exit(any(name in sys.modules for name in ('dns', 'mailport.checks.checker')))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_reload_keeps_what_is_remembered():
    """The resolver stays while its servers and seconds do; another list of servers gets another one."""
    checkers = Checkers(Allowed(local=True))
    first = checkers.load(spec({}, 53))
    again = checkers.load(spec({"spf": {"mode": "Reject"}}, 53))
    other = checkers.load(spec({}, 5353))

    assert again.resolver is first.resolver
    assert again is not first
    assert other.resolver is not first.resolver


def test_a_server_that_may_not_be_asked():
    """It is named in a warning; and so is that none is left."""
    checkers = Checkers(Allowed())
    checker = checkers.load(spec({}, 53))

    assert checker.resolver.servers == ()
    of_server, of_all = checkers.warnings
    assert of_server.startswith("spec.checks.dns.servers[0]: 127.0.0.1 is a loopback address, which is not allowed")
    assert of_all == "spec.checks.dns: there is no DNS server to ask, so that each check is a temperror"


async def test_keys_are_asked_for_while_the_body_comes_in(tmp_path: Path):
    """Once the header section of a message that is not short is there, and only once."""
    with dns_server(HONEST) as server:
        checker = Checkers(Allowed(local=True)).load(spec({}, server.port))
        check = checker.begin(ip_address("192.0.2.1")).message(("anna", "example.org"), "h.example")
        examination = Examination("mx.example.org", check)
        space = Space(tmp_path)
        incoming = Incoming(config(tmp_path), Content(space, "client"), examination.look_ahead)
        await incoming.take(signing.sign(MESSAGE, include_headers=[b"from", b"subject"]))
        short = check.has_header
        for _ in range(40):
            await incoming.take(b"0123456789abcdef" * 62 + b"0123456\r\n")
        async with asyncio.timeout(20):
            while not server.asked[KEY]:  # noqa: ASYNC110 - the server is a thread of its own
                await asyncio.sleep(0.01)
        incoming.content.close()
        examination.close()
        await checker.resolver.close()
        space.close()

    assert not short
    assert server.asked[KEY] == 1


async def test_a_large_header_section(tmp_path: Path):
    """A signature over more than 64 KiB of fields is judged in a thread, and comes to the same."""
    section = b"X-Field: " + b"x" * 900 + b"\r\n"
    message = signing.sign(section * 100 + MESSAGE, include_headers=[b"from", *[b"x-field"] * 100])
    with dns_server(HONEST) as server:
        checker = Checkers(Allowed(local=True)).load(spec({}, server.port))
        check = checker.begin(ip_address("192.0.2.1")).message(("anna", "example.org"), "h.example")
        examination, space = Examination("mx.example.org", check), Space(tmp_path)
        incoming = Incoming(config(tmp_path), Content(space, "client"), examination.look_ahead)
        await incoming.take(message)
        whole = await examination.message(incoming, ENVELOPE, None)
        incoming.content.close()
        await checker.resolver.close()
        space.close()

    assert check._is_large
    assert [one.result for one in whole.authentication.dkim] == [Result.PASS]


async def test_a_client_that_leaves(tmp_path: Path):
    """What is asked for it is asked no more, and nothing is left running."""
    with dns_server({"slow.example": [("TIMEOUT", None)]}) as server:
        checker = Checkers(Allowed(local=True)).load(spec({}, server.port))
        client = checker.begin(ip_address("192.0.2.1"))
        check = client.message(("anna", "slow.example"), "h.example")
        await asyncio.sleep(0.05)
        check.close()
        client.close()
        await checker.resolver.close()
        await asyncio.sleep(0)

        assert len(asyncio.all_tasks()) == 1
