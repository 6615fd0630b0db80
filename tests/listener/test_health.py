"""The checks of a process: what they come to, what is said of it, and that nothing holds them up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from mailport.deliver.destination import Connections, Refused, Unavailable
from mailport.deliver.health import Finding, Health, State
from mailport.listener import health, metrics
from mailport.listener.config import Route
from mailport.listener.health import DestinationChecks, check
from mailport.listener.slots import Slots
from mailport.policy.rcpt import RouteFacts
from tests.listener.transactions import Box
from tests.tables import table


@dataclass
class Checked(Box):
    """A destination whose check does as it is told."""

    come_to: Callable[[], Awaitable[None]] = field(default=lambda: asyncio.sleep(0))
    checks: int = 0

    async def check(self) -> None:
        self.checks += 1
        await self.come_to()

    def connections(self, now: float) -> Connections:
        del now
        return Connections(2, 1, breaker_open=True)


def fails(error: Exception) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


def route(name: str, destination: Any) -> Route:
    return Route(name, RouteFacts(0, False, False), destination, Health(), Slots(1), timeout=None)


@pytest.mark.parametrize(
    "error, found",
    table(
        {
            "it is down": (Unavailable("port 24: refused"), (State.UNREACHABLE, "port 24: refused")),
            "its login is wrong": (
                Unavailable("AUTH: 535", reason="destination_misconfigured"),
                (State.MISCONFIGURED, "AUTH: 535"),
            ),
            "it refuses": (Refused("no", detail="never"), (State.UNREACHABLE, "never")),
            "what it says has lines": (Unavailable("one\r\ntwo\tthree"), (State.UNREACHABLE, "one two three")),
            "what it says names somebody": (
                Unavailable("RCPT: 554 5.7.1 <anna@example.org>: denied, ask it@example.org"),
                (State.UNREACHABLE, "RCPT: 554 5.7.1 <…>: denied, ask <…>"),
            ),
            "what it says has no end": (Unavailable("x" * 9999), (State.UNREACHABLE, "x" * 299 + "…")),
            "a fault of ours": (RuntimeError("the password is 1234"), (State.UNREACHABLE, "internal error")),
        }
    ),
)
async def test_what_a_check_comes_to(error: Exception, found: tuple[State, str]):
    assert await check(Checked(come_to=fails(error))) == found
    assert await check(Checked()) == (State.REACHABLE, "")


async def test_a_check_that_hangs_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    hangs = Checked(come_to=asyncio.Event().wait)  # type: ignore[arg-type] - it never comes to its result

    assert await check(hangs) == Finding(State.UNREACHABLE, "no answer in 0 s")


async def followed(checks: DestinationChecks, until: Callable[[], bool]) -> None:
    task = asyncio.create_task(checks.follow())
    async with asyncio.timeout(5):
        while not until():  # noqa: ASYNC110 - a check has no event for tests
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_that_hangs_holds_up_no_other_and_ends_with_the_process():
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    hanging, there = Checked(come_to=hang), Checked()
    routes = [route("hangs", hanging), route("there", there), route("down", Checked(come_to=fails(Unavailable("no"))))]
    checks = DestinationChecks(lambda: routes)
    with capture_logs() as logged:
        await followed(checks, lambda: routes[2].health.finding.state is not State.UNKNOWN)

    assert checks.report() == [
        {"route": "hangs", "state": "Unknown", "error": None},
        {"route": "there", "state": "Reachable", "error": None},
        {"route": "down", "state": "Unreachable", "error": "no"},
    ]
    assert (hanging.checks, there.checks) == (1, 1)
    assert ended.is_set()
    assert routes[0].health.due(0.0)
    assert {(line["route"], str(line["state"]), line.get("detail")) for line in logged} == {
        ("there", "Reachable", None),
        ("down", "Unreachable", "no"),
    }


async def test_what_a_reload_brings_is_checked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "_LOOK_SECONDS", 0.01)
    routes = [route("first", Checked())]
    checks = DestinationChecks(lambda: routes)
    second = route("second", Checked())

    def reloads() -> bool:
        if routes[0].health.finding.state is State.REACHABLE:
            routes[:] = [second]
        return second.health.finding.state is State.REACHABLE

    await followed(checks, reloads)


# --- metrics


def samples() -> dict[str, float]:
    """Return what a scrape shows of destinations."""
    lines = metrics.exposition()[0].decode().splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("mailport_destination_")]
    left_out = ("_bucket", "_sum", "_created")
    return {name: float(value) for name, _, value in found if not name.partition("{")[0].endswith(left_out)}


async def test_metrics_are_of_the_routes_that_serve():
    """What is not known is not there, and a route that is gone takes all of its metrics along, also what comes late."""
    routes = [route("a", Checked()), route("b", Box()), route("new", Box())]
    checks = DestinationChecks(lambda: routes)
    routes[0].health.checked(Finding(State.UNREACHABLE, "no"), 0.0)
    routes[1].health.delivered(0.0)
    for one in routes:
        metrics.destination_seconds(one.name).observe(0.1)
    checks.expose()

    assert samples() == {
        'mailport_destination_seconds_count{route="a"}': 1.0,
        'mailport_destination_seconds_count{route="b"}': 1.0,
        'mailport_destination_seconds_count{route="new"}': 1.0,
        'mailport_destination_up{route="a"}': 0.0,
        'mailport_destination_up{route="b"}': 1.0,
        'mailport_destination_breaker_open{route="a"}': 1.0,
        'mailport_destination_connections{route="a",state="idle"}': 2.0,
        'mailport_destination_connections{route="a",state="in_use"}': 1.0,
    }

    routes[:] = [replace(routes[1], destination=Checked())]
    checks.expose()
    metrics.destination_seconds("a").observe(0.1)  # of a delivery that was under way
    checks.expose()

    assert set(samples()) == {
        'mailport_destination_seconds_count{route="b"}',
        'mailport_destination_up{route="b"}',
        'mailport_destination_breaker_open{route="b"}',
        'mailport_destination_connections{route="b",state="idle"}',
        'mailport_destination_connections{route="b",state="in_use"}',
    }

    routes.clear()
    checks.expose()

    assert samples() == {}
