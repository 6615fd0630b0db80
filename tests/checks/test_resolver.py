"""The resolver, on a real server that serves, fails, is silent, truncates and lies, by name."""

from __future__ import annotations

import asyncio
from collections import Counter
from ipaddress import ip_address

import pytest

from mailport.authentication.dns import Answer, Question, RecordType, Status
from mailport.checks import resolver
from mailport.checks.cache import Cache
from mailport.checks.resolver import Resolver, Server, _is_of
from mailport.outward.allowed import Allowed
from tests.checks.dns_server import dns_server
from tests.ports import free_port
from tests.tables import table

LONG = "x" * 2000
ZONE = {
    "a.example": [("A", "192.0.2.1"), ("A", "192.0.2.2")],
    "aaaa.example": [("AAAA", "2001:db8::1")],
    "mx.example": [("MX", (20, "b.example")), ("MX", (10, "A.example"))],
    "null.example": [("MX", (0, "."))],
    "1.2.0.192.in-addr.arpa": [("PTR", "Host.example")],
    "txt.example": [("TXT", ["one ", "record"]), ("TXT", "other")],
    "odd.example": [("TXT", "one record"), ("MALFORMED", None)],
    "nonsense.example": [("MALFORMED", None)],
    "octets.example": [("TXT", b'\x00\xff"\\')],
    "long.example": [("TXT", LONG), ("TRUNCATED", None)],
    "many.example": [("A", f"192.0.{n // 250}.{n % 250 + 1}") for n in range(500)],
    "more.example": [("A", f"10.{n // 250}.1.{n % 250 + 1}") for n in range(600)],
    "alias.example": [("CNAME", "a.example")],
    "far.example": [("CNAME", "alias.example")],
    "dangling.example": [("CNAME", "gone.example")],
    "loop.example": [("CNAME", "loop.example")],
    "foo:bar/b az.example": [("A", "192.0.2.3")],
    "servfail.example": [("SERVFAIL", None)],
    "refused.example": [("REFUSED", None)],
    "referral.example": [("REFERRAL", None)],
    "silent.example": [("TIMEOUT", None)],
    "lies.example": [("LIES", None)],
    "old.example": [("A", "192.0.2.4"), ("OLD", None)],
    "slow.example": [("A", "192.0.2.5"), ("SLOW", None)],
    **{f"c{n}.example": [("CNAME", f"c{n + 1}.example")] for n in range(20)},
}
A, TXT = RecordType.A, RecordType.TXT


@pytest.fixture(scope="module")
def server():
    with dns_server(ZONE) as serving:
        yield serving


@pytest.fixture
async def resolving(server):
    server.asked.clear()
    made = Resolver([Server("127.0.0.1", server.port)], seconds=2.0)
    yield made
    await made.close()


def addresses(*texts: str) -> tuple:
    return tuple(map(ip_address, texts))


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    table(
        {
            "addresses": ("a.example", A, Answer(Status.NOERROR, addresses("192.0.2.1", "192.0.2.2"))),
            "IPv6 addresses": ("aaaa.example", RecordType.AAAA, Answer(Status.NOERROR, addresses("2001:db8::1"))),
            "mail exchangers by their preference": (
                "mx.example",
                RecordType.MX,
                Answer(Status.NOERROR, names=("a.example", "b.example")),
            ),
            "a null MX": ("null.example", RecordType.MX, Answer(Status.NOERROR, names=("",))),
            "a name of an address": (
                "1.2.0.192.in-addr.arpa",
                RecordType.PTR,
                Answer(Status.NOERROR, names=("host.example",)),
            ),
            "texts, each in one": ("txt.example", TXT, Answer(Status.NOERROR, texts=(b"other", b"one record"))),
            "a record that cannot be read, and one that can": (
                "odd.example",
                TXT,
                Answer(Status.NOERROR, texts=(b"one record",)),
            ),
            "nothing that can be read": ("nonsense.example", TXT, Answer(Status.SERVFAIL)),
            "a text of any octets": ("octets.example", TXT, Answer(Status.NOERROR, texts=(b'\x00\xff"\\',))),
            "a long text, by TCP": ("long.example", TXT, Answer(Status.NOERROR, texts=(LONG.encode(),))),
            "hundreds of addresses, by TCP": (
                "many.example",
                A,
                Answer(Status.NOERROR, addresses(*(f"192.0.{n // 250}.{n % 250 + 1}" for n in range(500)))),
            ),
            "more addresses than anybody needs": ("more.example", A, Answer(Status.SERVFAIL)),
            "a name with any characters": (
                "foo:bar/b az.example",
                A,
                Answer(Status.NOERROR, addresses("192.0.2.3")),
            ),
            "behind two aliases": (
                "far.example",
                A,
                Answer(Status.NOERROR, addresses("192.0.2.1", "192.0.2.2"), alias=True),
            ),
            "an alias of nothing": ("dangling.example", A, Answer(Status.NXDOMAIN, alias=True)),
            "an alias of itself": ("loop.example", A, Answer(Status.SERVFAIL)),
            "too many aliases": ("c0.example", A, Answer(Status.SERVFAIL)),
            "no such name": ("gone.example", A, Answer(Status.NXDOMAIN)),
            "no record of this type": ("a.example", TXT, Answer(Status.NODATA)),
            "a server that fails": ("servfail.example", A, Answer(Status.SERVFAIL)),
            "a server that refuses": ("refused.example", A, Answer(Status.SERVFAIL)),
            "a server that does not look further": ("referral.example", A, Answer(Status.SERVFAIL)),
            "a server that is silent": ("silent.example", A, Answer(Status.TIMEOUT)),
            "a server that lies": ("lies.example", A, Answer(Status.TIMEOUT)),
            "a server from before EDNS": ("old.example", A, Answer(Status.NOERROR, addresses("192.0.2.4"))),
            "a label that is too long": ("x" * 64 + ".example", A, Answer(Status.NXDOMAIN)),
        }
    ),
)
@pytest.mark.both_loops
async def test_answers(resolving, name, kind, answer):
    """What a server says, or does not say."""
    if answer.status is Status.TIMEOUT:
        resolving.seconds = 0.3
    found = await resolving.ask(Question(name, kind))

    if kind in (A, TXT):  # in any order: servers turn them round
        found = found._replace(addresses=tuple(sorted(found.addresses)), texts=tuple(sorted(found.texts, reverse=True)))
    assert found == answer


async def test_names_are_absolute(resolving, server):
    """A name is asked for as it is, once: no search list."""
    await resolving.ask(Question("gone.example", A))

    assert server.asked == Counter({Question("gone.example", A): 1})


async def test_asked_once(resolving, server):
    """Who asks the same at the same time gets the same answer; who asks later gets what is remembered."""
    question = Question("a.example", A)
    answers = await asyncio.gather(*(resolving.ask(question) for _ in range(20)))

    assert len(set(answers)) == 1
    assert await resolving.ask(question) == answers[0]
    assert server.asked[question] == 1


async def test_nothing_is_remembered_too(resolving, server):
    """That there is nothing, and that a server failed, is not asked again at once."""
    for name in ("gone.example", "servfail.example"):
        for _ in range(3):
            await resolving.ask(Question(name, A))

        assert server.asked[Question(name, A)] == 1


async def test_one_gives_up_and_the_other_has_its_answer(resolving):
    """Of two that wait for one answer, one may leave."""
    question = Question("slow.example", A)
    first = asyncio.create_task(resolving.ask(question))
    second = asyncio.create_task(resolving.ask(question))
    await asyncio.sleep(0.05)
    first.cancel()

    assert (await second).status is Status.NOERROR
    assert first.cancelled() or first.done()


async def test_who_gives_up_leaves_nothing_behind(resolving, server):
    """A client may begin many transactions and end none: what nobody waits for is not asked for any longer."""
    waiting = [
        asyncio.create_task(resolving.ask(Question("silent.example", kind))) for kind in RecordType for _ in range(3)
    ]
    await asyncio.sleep(0)
    assert len(resolving._under_way) == len(RecordType)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await asyncio.gather(*(look_up.task for look_up in resolving._under_way.values()), return_exceptions=True)

    assert not resolving._under_way
    assert (await resolving.ask(Question("a.example", A))).addresses


async def test_so_many_sockets_and_no_more(monkeypatch, server):
    """Of many questions at once some wait; each has its answer."""
    monkeypatch.setattr(resolver, "MAX_UNDER_WAY", 5)
    made, open_at_once, most = Resolver([Server("127.0.0.1", server.port)]), 0, 0
    ask_servers = made._ask_servers

    async def counted(question: Question):
        nonlocal open_at_once, most
        open_at_once += 1
        most = max(most, open_at_once)
        try:
            return await ask_servers(question)
        finally:
            open_at_once -= 1

    monkeypatch.setattr(made, "_ask_servers", counted)
    answers = await asyncio.gather(*(made.ask(Question(f"n{number}.slow.example", A)) for number in range(40)))
    await made.close()

    assert {answer.status for answer in answers} == {Status.NXDOMAIN}
    assert most == 5


async def test_another_server(server):
    """Where one server is dead, the next one answers, and is asked first from then on."""
    made = Resolver([Server("127.0.0.1", free_port()), Server("127.0.0.1", server.port)], seconds=2.0)

    assert (await made.ask(Question("a.example", A))).status is Status.NOERROR
    assert (await made.ask(Question("txt.example", TXT))).status is Status.NOERROR
    await made.close()


async def test_no_server():
    """Without a server nothing can be asked."""
    made = Resolver([], seconds=1.0)

    assert (await made.ask(Question("a.example", A))).status is Status.SERVFAIL
    await made.close()


async def test_ports_and_ids_are_by_chance(server):
    """Each question has its own port and id: they are hard to guess."""
    made = Resolver([Server("127.0.0.1", server.port)], seconds=1.0)
    server.ports.clear()
    server.ids.clear()
    for number in range(30):
        await made.ask(Question(f"n{number}.example", A))
    await made.close()

    assert len(set(server.ids)) > 25
    assert len(set(server.ports)) > 15


async def test_outcomes_are_counted(server):
    """Each question that is asked is counted by its type and outcome; what is remembered is not."""
    seen: list[tuple[str, str]] = []
    made = Resolver(
        [Server("127.0.0.1", server.port)], seconds=1.0, observe=lambda kind, outcome: seen.append((kind, outcome))
    )
    for name in ("a.example", "a.example", "gone.example", "servfail.example"):
        await made.ask(Question(name, A))
    await made.close()

    assert seen == [("A", "noerror"), ("A", "nxdomain"), ("A", "servfail")]


@pytest.mark.parametrize(
    "server, sender, is_of",
    table(
        {
            "the server": (("192.0.2.1", 53), ("192.0.2.1", 53), True),
            "another port": (("192.0.2.1", 53), ("192.0.2.1", 5353), False),
            "another address": (("192.0.2.1", 53), ("192.0.2.2", 53), False),
            "written otherwise": (("2001:db8:0::1", 53), ("2001:db8::1", 53, 0, 0), True),
            "on a link, of resolv.conf": (("fe80::1%eth0", 53), ("fe80::1", 53, 0, 2), True),
            "on a link, as some event loops name it": (("fe80::1%eth0", 53), ("fe80::1%2", 53, 0, 2), True),
        }
    ),
)
def test_whose_answer_it_is(server, sender, is_of):
    """An answer of anybody else is none."""
    assert _is_of(Server(*server), sender) is is_of


def test_which_servers_may_be_asked():
    """A server that a document names is held to what connections are; those of resolv.conf are not."""
    server = Server("169.254.20.10")

    assert "link-local" in resolver.why_not(server, Allowed())
    assert not resolver.why_not(server, Allowed(local=True))


def test_cache_keeps_what_is_used():
    """Past its bound the cache forgets what was used the longest ago."""
    cache = Cache(max_octets=10_000)
    for number in range(50):
        cache.put(Question(f"{number}.example", A), Answer(Status.NXDOMAIN), 60, now=0)
        cache.get(Question("0.example", A), now=0)

    assert cache.octets <= 10_000
    assert len(cache) < 15
    assert cache.get(Question("0.example", A), now=0) is not None
    assert cache.get(Question("1.example", A), now=0) is None


def test_cache_takes_nothing_that_is_too_large():
    """One answer takes a quarter of the cache at most."""
    cache = Cache(max_octets=10_000)
    cache.put(Question("a.example", TXT), Answer(Status.NOERROR, texts=(b"x" * 5000,)), 60, now=0)

    assert len(cache) == 0


@pytest.mark.parametrize(("ttl", "kept"), [(0, 5), (60, 60), (1_000_000, 3600)])
def test_cache_bounds(ttl, kept):
    """A record is kept for its TTL, between 5 seconds and an hour."""
    cache, question = Cache(), Question("a.example", A)
    cache.put(question, Answer(Status.NODATA), ttl, now=100)

    assert cache.get(question, now=100 + kept - 1) is not None
    assert cache.get(question, now=100 + kept) is None
    assert cache.octets == 0
