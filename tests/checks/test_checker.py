"""The checks together, on a real DNS server: what is found, what is asked, and what a DNS that fails makes of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from mailport.authentication.dns import Answer, Asking, Question, RecordType, Status
from mailport.authentication.result import Result
from mailport.authentication.results_field import Authentication
from mailport.checks import questions
from mailport.checks.questions import LEAVES, MAX_QUESTIONS, Questions
from mailport.checks.resolver import Resolver, Server
from mailport.contract.model import InboundSmtp, Spec
from mailport.listener.rehearsal import Rehearsal, rehearse
from tests.authentication import signing
from tests.authentication.zones import run
from tests.checks.dns_server import DnsServer, dns_server
from tests.ports import free_port
from tests.tables import table

CLIENT = ip_address("192.0.2.1")
MESSAGE = b"From: anna@example.org\r\nTo: b@example.net\r\nSubject: s\r\n\r\nhello\r\n"
HONEST = {
    "1.2.0.192.in-addr.arpa": [("PTR", "mail.example.org")],
    "mail.example.org": [("A", "192.0.2.1")],
    "example.org": [("TXT", "v=spf1 a:mail.example.org -all"), ("MX", (10, "mail.example.org"))],
    "_dmarc.example.org": [("TXT", "v=DMARC1; p=reject")],
    **signing.zone(s=signing.rsa_record(signing.rsa_key())),
}


def spec(checks: dict[str, Any], port: int, seconds: float = 5) -> Spec:
    """A gateway with these checks; the seconds of a question may be fewer than in a document, where a test waits."""
    gateway = InboundSmtp.model_validate_json(
        json.dumps(
            {
                "apiVersion": "mailport.dev/v1alpha1",
                "kind": "InboundSmtp",
                "metadata": {"name": "mx"},
                "spec": {
                    "hostname": "mx.example.org",
                    "listeners": [{"name": "smtp", "port": 25}],
                    "checks": checks | {"dns": {"servers": [{"address": "127.0.0.1", "port": port}]}},
                    "routes": [{"name": "all", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
                },
            }
        )
    )
    asked = gateway.spec.checks.dns.model_copy(update={"timeout_seconds": seconds})
    return gateway.spec.model_copy(update={"checks": gateway.spec.checks.model_copy(update={"dns": asked})})


async def checked(
    checks: dict[str, Any],
    port: int,
    message: bytes = MESSAGE,
    client: Any = CLIENT,
    sender: str = "anna@example.org",
    seconds: float = 5,
) -> Rehearsal:
    local, _, domain = sender.rpartition("@")
    identity = (local, domain) if sender else None
    return await rehearse(spec(checks, port, seconds), message, client, identity, "h.example")


async def test_all_is_well():
    """An honest message: each check passes, and each name is asked for once."""
    with dns_server(HONEST) as server:
        found = await checked({"arc": {"mode": "Report"}}, server.port, signing.sign(MESSAGE))
        results = found.authentication

    assert results.iprev.result is Result.PASS
    assert results.spf.result is Result.PASS
    assert [one.result for one in results.dkim] == [Result.PASS]
    assert results.dmarc.result is Result.PASS
    assert results.arc.result is Result.NONE
    assert set(server.asked.values()) == {1}
    assert server.asked.total() == 5  # not its MX, where nobody may be refused for it


async def test_disabled_is_not_asked():
    """What is disabled is not asked for."""
    disabled = {name: {"mode": "Disabled"} for name in ("spf", "dkim", "dmarc", "iprev")}
    with dns_server(HONEST) as server:
        found = await checked(disabled, server.port, signing.sign(MESSAGE))

    assert found.authentication == Authentication(CLIENT)
    assert not server.asked


@pytest.mark.parametrize(
    ("client", "message", "dmarc"),
    table(
        {
            "unsigned, from a public address": ("198.51.100.1", MESSAGE, "fail"),
            "unsigned, from a private address": ("10.0.0.1", MESSAGE, "none"),
            "signed, from a private address": ("10.0.0.1", signing.sign(MESSAGE), "pass"),
            "unsigned, from an address of NAT64 that is private": ("64:ff9b::a00:1", MESSAGE, "none"),
            "of several authors, from a private address": (
                "10.0.0.1",
                b"From: x@example.net\r\n" + MESSAGE,
                "permerror",
            ),
        }
    ),
)
async def test_private_addresses(client, message, dmarc):
    """Behind source NAT an address is the whole world's: SPF and iprev say nothing, and DMARC does not fail."""
    with dns_server(HONEST) as server:
        found = await checked({"dmarc": {"mode": "Reject"}}, server.port, message, ip_address(client))
        private = not client.startswith("198")

    assert found.authentication.dmarc.result == dmarc
    if private:
        assert found.authentication.spf.result is found.authentication.iprev.result is Result.NONE
        assert found.at_rcpt is found.at_end is None
        assert found.disposition == "deliver"


async def test_dmarc_without_spf():
    """Where SPF is not looked at, what DKIM does not pass might have passed: DMARC says nothing."""
    with dns_server(HONEST) as server:
        found = await checked({"spf": {"mode": "Disabled"}}, server.port)

    assert found.authentication.dmarc.result is Result.NONE


async def test_by_the_helo_name():
    """Of <> the HELO name is checked, and DMARC takes it for the sender's domain (RFC 7208 §2.4)."""
    zone = {**HONEST, "h.example": [("TXT", "v=spf1 ip4:192.0.2.1 -all")]}
    with dns_server(zone) as server:
        found = await checked({}, server.port, MESSAGE.replace(b"example.org", b"h.example"), sender="")

    assert (found.authentication.spf.identity, found.authentication.spf.result) == ("helo", "pass")


@contextmanager
def failing(how: str) -> Iterator[int]:
    """A DNS server that fails in one way for every name; its port."""
    if how == "dead":
        yield free_port()
        return
    behaviour = {"silent": "TIMEOUT", "failing": "SERVFAIL", "refusing": "REFUSED", "lying": "LIES"}[how]
    with dns_server(_Everything(behaviour)) as server:
        server.zone = _Everything(behaviour)
        yield server.port


class _Everything(dict):  # type: ignore[type-arg]
    """A zone in which each name has the one behaviour."""

    def __init__(self, behaviour: str) -> None:
        super().__init__()
        self._entries = [(behaviour, None)]

    def get(self, _name: str, _default: object = None) -> Any:
        return self._entries


@pytest.mark.parametrize("how", ["dead", "silent", "failing", "refusing", "lying"])
@pytest.mark.parametrize(
    ("checks", "at_rcpt", "at_end"),
    table(
        {
            "Report": ({}, None, None),
            "spf Reject": ({"spf": {"mode": "Reject"}, "dmarc": {"mode": "Disabled"}}, None, "451 4.7.24"),
            "spf Reject, beside DMARC": ({"spf": {"mode": "Reject"}}, None, "451 4.7.24"),
            "dmarc Reject": ({"dmarc": {"mode": "Reject"}}, None, "451 4.7.26"),
            "dmarc Quarantine": ({"dmarc": {"mode": "Quarantine"}}, None, None),
            "iprev Reject": ({"iprev": {"mode": "Reject"}}, "451 4.7.25", None),
        }
    ),
)
async def test_a_dns_that_fails(how, checks, at_rcpt, at_end):
    """However the DNS fails: a temperror each, never a 5yz, and 451 only where a refusal could have followed."""
    with failing(how) as port:
        found = await checked(checks, port, seconds=0.1)
        results = found.authentication

    made = [one.result for one in (results.iprev, results.spf, results.dmarc) if one is not None]
    assert set(made) == {Result.TEMPERROR}
    for reply, expected in ((found.at_rcpt, at_rcpt), (found.at_end, at_end)):
        assert (f"{reply.code} {reply.enhanced}" if reply else None) == expected
    assert found.disposition == "deliver"


async def test_a_slow_dns():
    """What answers late has answered: nobody is refused for it."""
    slow = {name: [*values, ("SLOW", None)] for name, values in HONEST.items()}
    checks = {"spf": {"mode": "Reject"}, "dmarc": {"mode": "Reject"}}
    with dns_server(slow) as server:
        found = await checked(checks, server.port)

    assert found.at_end is None or found.at_end.code == 451


def _many(count: int) -> Asking[int]:
    failed = 0
    for number in range(count):
        answer = yield Question(f"n{number}.example", RecordType.A)
        failed += answer.failed
    return failed


async def test_a_message_asks_so_much_and_no_more():
    """The questions beyond the 200th are a time-out, and are not asked; SPF leaves some of them to the others."""
    with dns_server({}) as server:
        resolver = Resolver([Server("127.0.0.1", server.port)])
        account = Questions(resolver)
        of_spf = await account.start("spf", _many(MAX_QUESTIONS)).result()
        of_dmarc = await account.start("dmarc", _many(MAX_QUESTIONS)).result()  # those that SPF asked cost nothing
        await resolver.close()

    assert of_spf == LEAVES["spf"][1]
    assert of_dmarc == 0
    assert server.asked.total() == MAX_QUESTIONS


@pytest.mark.parametrize("mode", ["Quarantine", "Reject"])
async def test_the_sender_does_not_decide_whether_the_author_is_asked(monkeypatch, mode):
    """A sender's SPF record that leads to silent servers takes no time from DMARC, whose domain is another's."""
    monkeypatch.setattr(questions, "MAX_SECONDS", 1.5)
    monkeypatch.setattr(questions, "LEAVES", {name: (left / 20, few) for name, (left, few) in LEAVES.items()})
    silent = [f"s{number}.evil.example" for number in range(9)]
    zone = {
        "evil.example": [("TXT", f"v=spf1 {' '.join(f'include:{name}' for name in silent)} -all")],
        **{name: [("TIMEOUT", None)] for name in silent},
        "_dmarc.bank.example": [("TXT", "v=DMARC1; p=reject")],
    }
    message = MESSAGE.replace(b"anna@example.org", b"ceo@bank.example")
    with dns_server(zone) as server:
        found = await checked({"dmarc": {"mode": mode}}, server.port, message, sender="x@evil.example", seconds=1.4)

    assert found.authentication.spf.result is Result.TEMPERROR
    assert found.authentication.dmarc.result is Result.FAIL
    assert found.disposition == "quarantine"
    assert (found.at_end is None) is (mode == "Quarantine")


async def test_a_message_waits_so_long_and_no_longer(monkeypatch):
    """The seconds are those in which somebody waits, whether one check does or three."""
    monkeypatch.setattr(questions, "MAX_SECONDS", 0.5)
    with dns_server(_Everything("TIMEOUT")) as server:
        server.zone = _Everything("TIMEOUT")
        resolver = Resolver([Server("127.0.0.1", server.port)], seconds=20.0)
        account = Questions(resolver)
        began = time.monotonic()
        running = [account.start(name, _many(3)) for name in ("spf", "dkim", "dmarc")]
        failed = await asyncio.gather(*(one.result() for one in running))
        await resolver.close()

    assert failed == [3, 3, 3]
    assert 0.4 < time.monotonic() - began < 2


def test_known_answers_need_no_task():
    """What is remembered is answered at once: no event loop is needed."""
    resolver = Resolver([])
    resolver._cache.put(Question("n0.example", RecordType.A), Answer(Status.NXDOMAIN), 60, time.monotonic())

    assert run(_many(1), resolver.known) == 0
    assert Questions(resolver).start("spf", _many(1))._task is None


def test_the_dns_server_of_the_tests_serves():
    """The fixture is what it says it is."""
    with dns_server({}) as server:
        assert isinstance(server, DnsServer)
        assert server.port > 0
