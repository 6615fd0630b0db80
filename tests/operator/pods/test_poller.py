"""Asking pods, apart from the work. Those here answer on real sockets, or drop what is sent to them."""

import asyncio
import json
import socket
import time
from contextlib import AsyncExitStack
from itertools import count
from statistics import median

import pytest

from mailport.operator.pods.ask import Pods
from mailport.operator.pods.observed import Report
from mailport.operator.pods.poke import Poked
from mailport.operator.pods.poller import Poller
from mailport.operator.pods.schedule import Target
from mailport.operator.watch.store import Key
from tests.dropped import dropped_packets

MX = Key("mail", "mx")
LIVE = Report("new", 1)


async def answering(stack, said=LIVE):
    """A listener; return its address, and the list of when it was asked."""
    asked = []

    async def answer(reader, writer):
        asked.append(time.monotonic())
        await reader.readuntil(b"\r\n\r\n")
        content = json.dumps({"hash": said.hash, "generation": said.generation}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    stack.push_async_callback(server.wait_closed)
    stack.callback(server.close)
    return server.sockets[0].getsockname(), asked


def target(address, uid="1", **facts):
    facts = {"ready": True, "starting": False, "expected": "new", "poked": Poked(), "may_poke": True} | facts
    return Target(uid=uid, name=f"mx-{uid}", ip=address[0], port=address[1], **facts)


async def nothing(key, pod):
    return ""


async def until(happens, seconds=10.0):
    """Wait for what no event tells."""
    async with asyncio.timeout(seconds):
        while not happens():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class News:
    """What the poller tells, and a way to wait for it."""

    def __init__(self):
        self.keys = []
        self._came = asyncio.Event()

    def __call__(self, keys):
        self.keys += sorted(keys)
        self._came.set()

    async def about(self, key, seconds=5.0):
        async with asyncio.timeout(seconds):
            while key not in self.keys:
                self._came.clear()
                await self._came.wait()


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


async def run(stack, poller):
    task = asyncio.create_task(poller.run())

    async def stop():
        task.cancel()
        await asyncio.wait({task})

    stack.push_async_callback(stop)


async def polling(stack, look_up=nothing):
    """A poller that runs, on real connections."""
    pods, news = await stack.enter_async_context(Pods()), News()
    poller = Poller(pods.ask, look_up, news)
    await run(stack, poller)
    return poller, news


async def test_what_a_pod_says_is_news_once(stack):
    """The next answer, a minute later, is none; nor is anything asked again in between."""
    poller, news = await polling(stack)
    address, asked = await answering(stack)
    poller.follow(MX, [target(address)])
    await news.about(MX)
    poller.follow(MX, [target(address)])
    await asyncio.sleep(0.3)

    assert poller.looks(MX)["1"].report == LIVE
    assert (news.keys, len(asked)) == ([MX], 1)


async def test_a_pod_whose_packets_are_dropped_is_asked_less_and_less(stack, monkeypatch):
    """Nobody waits for it but its own turn: for a second each time (here a fifth), and then for one, two, four …"""
    monkeypatch.setattr("mailport.operator.pods.ask._CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("mailport.operator.pods.schedule._SILENT_READY", 0.2)
    poller, news = await polling(stack)
    with dropped_packets() as address:
        began = time.monotonic()
        poller.follow(MX, [target(address)])
        await until(lambda: poller.looks(MX)["1"].silences == 2)
        took = time.monotonic() - began

    assert 0.6 <= took < 2
    assert news.keys == [MX], "that it was asked at all, and no more"


async def test_a_pod_that_is_ready_at_last_is_asked_at_once(stack):
    """The kubelet gets an answer, so we may; whatever pause we had come to."""
    poller, news = await polling(stack)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
        poller.follow(MX, [target(address, ready=False)])
        await until(lambda: poller.looks(MX)["1"].silences == 1)
    other, asked = await answering(stack)
    poller.follow(MX, [target(other, ready=True)])
    await news.about(MX, 1)

    assert len(asked) == 1


async def test_a_pod_that_was_poked_is_asked_soon(stack):
    poller, news = await polling(stack)
    address, asked = await answering(stack)
    poller.follow(MX, [target(address)])
    await news.about(MX)
    poked = time.monotonic()
    poller.follow(MX, [target(address, expected="newer", poked=Poked("newer", 1, poked))])
    await until(lambda: len(asked) == 2)

    assert 0.4 < asked[1] - poked < 1


async def test_five_hundred_silent_gateways_do_not_hold_up_one_that_answers(stack):
    """Not even while all are asked for the first time: behind them it would wait for eight seconds, on a quick machine.

    How long a change takes beside them is in the bench.
    """
    poller, news = await polling(stack)
    address, asked = await answering(stack)
    poller.follow(MX, [target(address)])
    await news.about(MX)
    with dropped_packets() as nowhere:
        for number in range(500):
            poller.follow(Key("mail", f"silent-{number}"), [target(nowhere, str(uid)) for uid in range(2)])
        await asyncio.sleep(0.5)  # in the midst of it
        waited = []
        other, asked_first = await answering(stack)
        began = time.monotonic()
        poller.follow(MX, [target(address), target(other, "2")])  # a new pod, as in each rollout
        await until(lambda: len(asked_first) == 1)
        waited.append(time.monotonic() - began)
        for attempt in range(5):
            before, began = len(asked), time.monotonic()
            poller.follow(MX, [target(address, expected=f"{attempt}", poked=Poked(f"{attempt}", 1, began - 0.5))])
            await until(lambda before=before: len(asked) > before)
            waited.append(time.monotonic() - began)

    assert median(waited) < 3, waited  # one may have met a moment in which this process did not run


async def test_gateways_take_turns(stack):
    """One with a hundred pods that do not answer has one turn, and then the others have theirs."""
    numbers = count(1)
    asked = []

    async def ask(ip, port):
        asked.append(ip)
        await asyncio.sleep(0.01)

    poller = Poller(ask, nothing, lambda keys: None)
    poller.follow(MX, [target(("large", 1), str(next(numbers))) for _ in range(100)])
    for other in range(100):
        poller.follow(Key("mail", f"small-{other}"), [target(("small", 1), str(next(numbers)))])
    await run(stack, poller)
    await until(lambda: asked.count("small") == 100)

    assert asked.count("large") < 20


async def test_of_a_pod_that_is_gone_nothing_is_known(stack):
    """Nor does an answer that comes late bring it back."""
    answered = asyncio.Event()

    async def ask(ip, port):
        await answered.wait()
        return LIVE

    news = News()
    poller = Poller(ask, nothing, news)
    await run(stack, poller)
    poller.follow(MX, [target(("192.0.2.1", 1))])
    await asyncio.sleep(0.05)
    poller.follow(MX, [])
    answered.set()
    await asyncio.sleep(0.05)

    assert poller.looks(MX) == {}
    assert news.keys == []


async def test_what_keeps_a_pod_from_starting_is_looked_up(stack, monkeypatch):
    """After half a minute, for then it is more than a start; and forgotten when it has started."""
    monkeypatch.setattr("mailport.operator.pods.schedule._STARTING", 0.1)

    async def look_up(key, pod):
        return f"FailedMount: {pod.name} of {key}"

    poller, news = await polling(stack, look_up)
    poller.follow(MX, [target(("", 0), ready=False, starting=True)])
    assert poller.hindrances(MX) == {"1": ""}
    await news.about(MX)
    assert poller.hindrances(MX) == {"1": "FailedMount: mx-1 of mail/mx"}

    address, _ = await answering(stack)
    news.keys.clear()
    poller.follow(MX, [target(address)])
    await news.about(MX)
    assert poller.hindrances(MX) == {"1": ""}
