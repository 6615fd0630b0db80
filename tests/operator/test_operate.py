"""What the workers do about a look that fails: whether and when they look again. Looks are the test's own."""

import asyncio
import os
import signal

import aiohttp
import pytest

from mailport.operator import kinds
from mailport.operator.admit.options import Options
from mailport.operator.api_error import ApiError, NotOurTurnError
from mailport.operator.lease import LeaseLostError
from mailport.operator.operate import OperateOptions, _Operator, _run
from mailport.operator.watch.store import Key
from mailport.operator.watch.streams import Watches
from tests.operator.making import GIVEN
from tests.tables import table

MX = Key("mail", "mx")


@pytest.fixture
async def operator():
    return _Operator(OperateOptions(Options(GIVEN)))


class Failing:
    """A look that fails, as often as it is taken."""

    def __init__(self, error):
        self.error = error

    async def reconcile(self, key):
        raise self.error


class Well:
    async def reconcile(self, key):
        return 7.0


@pytest.mark.parametrize(
    "error, first, fifth",
    table(
        {
            "nobody answers: doubled each time": (ApiError(0, "no answer"), 0.5, 8),
            "as the API server asks, where that is longer": (ApiError(429, "no", retry_after=30), 30, 30),
            "another wrote it meanwhile: soon": (ApiError(409, "modified"), 0.1, 1.6),
            "it has gone meanwhile: soon": (ApiError(404, "not found"), 0.1, 1.6),
            "another leads, or may: the process ends by itself": (NotOurTurnError("x"), 0.5, 0.5),
            "a fault of ours, which is no other gateway's": (ZeroDivisionError(), 0.5, 8),
        }
    ),
)
async def test_a_look_that_failed_is_taken_again_later(operator, error, first, fifth):
    pauses = [await operator._look_at(Failing(error), MX) for _ in range(5)]

    assert pauses[0] == pytest.approx(first, rel=0.21)
    assert pauses[4] == pytest.approx(fifth, rel=0.21)


async def test_the_longest_pause_is_bounded(operator):
    pauses = [await operator._look_at(Failing(ApiError(0, "no answer")), MX) for _ in range(30)]

    assert max(pauses) <= 360


async def test_a_look_that_succeeds_is_as_if_none_had_failed(operator):
    for _ in range(5):
        await operator._look_at(Failing(ApiError(0, "no answer")), MX)
    assert await operator._look_at(Well(), MX) == 7.0

    assert await operator._look_at(Failing(ApiError(0, "no answer")), MX) < 1


async def test_who_does_not_lead_keeps_what_it_sees_and_looks_at_nothing(operator):
    """Its store is warm when its turn comes; then all gateways are looked at."""
    metadata = {"name": "mx", "namespace": "mail", "resourceVersion": "1"}
    operator._observe(kinds.INBOUND_SMTP, "ADDED", {"metadata": metadata, "spec": {}})
    kept, waiting = operator._store.keys(), operator._queue.depth
    operator._working = True
    operator._observe(
        kinds.INBOUND_SMTP, "MODIFIED", {"metadata": metadata | {"resourceVersion": "2"}, "spec": {"a": 1}}
    )

    assert (kept, waiting) == ([MX], 0)
    assert operator._queue.depth == 1


async def test_the_pages_ask_what_the_operator_is_made_of(monkeypatch):
    """Its own watches and lists, not others: /livez of a process that will not see anything any more is 503."""
    operator = _Operator(OperateOptions(Options(GIVEN), admin=("127.0.0.1", 0)))
    pages = await operator._start_admin()
    host, port = pages.addresses[0][:2]

    async def livez():
        async with client.get(f"http://{host}:{port}/livez") as answer:
            return answer.status, await answer.text()

    try:
        async with aiohttp.ClientSession() as client:
            well = await livez()
            monkeypatch.setattr(Watches, "failing_for", lambda watches: 121.0 if watches is operator._watches else 0.0)
            blind = await livez()
    finally:
        await pages.cleanup()

    assert well == (200, "ok\n")
    assert blind == (503, "no watches\n")


async def stopped():
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(10)


async def lost():
    raise LeaseLostError("another holds it")


async def broken():
    raise ZeroDivisionError


async def ended():
    """No work ends by itself."""


@pytest.mark.parametrize(
    "work, status",
    table(
        {
            "told to stop": (stopped, 0),
            "the Lease is lost: whoever started it starts it again": (lost, 1),
            "a fault of ours": (broken, 1),
            "it ends, and was not told to": (ended, 1),
        }
    ),
)
async def test_it_ends_well_only_when_it_is_told_to(monkeypatch, work, status):
    class Replica:
        def __init__(self, options):
            self.run = work

    monkeypatch.setattr("mailport.operator.operate._Operator", Replica)

    assert await _run(OperateOptions(Options(GIVEN))) == status
