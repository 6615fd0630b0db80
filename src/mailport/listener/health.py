"""Checks the destinations of the configuration that serves, one by one as they are due: deliver/health.py says when.

Readiness does not depend on it: a destination that is down is the same for all pods, and a Service without pods would
turn away the mail of the other routes too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mailport.deliver.destination import Destination, NotDelivered, ReportsConnections, ReportsDurability
from mailport.deliver.health import Finding, State, of_failure
from mailport.listener import metrics
from mailport.listener.config import Route
from mailport.listener.metrics import DestinationNow
from mailport.process import log

CHECK_SECONDS = 30.0  # for one check, whatever hangs
_LOOK_SECONDS = 0.5  # between two looks at what is due: a destination that was loaded is checked within this

_log = log.get()


async def check(destination: Destination) -> Finding:
    """Check a destination, in bounded time; whatever goes wrong is part of the answer."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await destination.check()
    except NotDelivered as failure:
        return of_failure(failure)
    except TimeoutError:
        return Finding(State.UNREACHABLE, f"no answer in {CHECK_SECONDS:.0f} s")
    except Exception:  # noqa: BLE001 - a fault of ours is one destination's, and ends nothing
        _log.exception("internal error", kind=destination.kind)
        return Finding(State.UNREACHABLE, "internal error")
    return Finding(State.REACHABLE)


def _metrics(route: Route, now: float) -> DestinationNow:
    state = route.health.finding.state
    up = None if state is State.UNKNOWN else state is State.REACHABLE
    if not isinstance(route.destination, ReportsConnections):
        return DestinationNow(up, None, None, None)
    found = route.destination.connections(now)
    return DestinationNow(up, found.breaker_open, found.idle, found.in_use)


class DestinationChecks:
    """The checks of a process."""

    def __init__(self, routes: Callable[[], Sequence[Route]]) -> None:
        """`routes` are those that serve now."""
        self._routes = routes
        self._under_way: set[asyncio.Task[None]] = set()

    def report(self) -> list[dict[str, str | None]]:
        """Return what /status shows of each route's destination."""
        return [
            {"route": route.name, "state": route.health.finding.state, "error": route.health.finding.error or None}
            for route in self._routes()
        ]

    def not_durable(self) -> list[dict[str, str]]:
        """Return what /status shows of routes whose destination may not keep what it took."""
        return [
            {"route": route.name, "reason": one.reason, "message": one.message}
            for route in self._routes()
            if isinstance(route.destination, ReportsDurability)
            for one in route.destination.not_durable
        ]

    def expose(self) -> None:
        """Say to the metrics how the destinations are now."""
        now = asyncio.get_running_loop().time()
        metrics.destinations({route.name: _metrics(route, now) for route in self._routes()})

    async def follow(self) -> None:
        """Check what is due, until cancelled."""
        try:
            while True:
                self._begin(asyncio.get_running_loop().time())
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _begin(self, now: float) -> None:
        for route in self._routes():
            if route.health.due(now):
                route.health.begin()
                task = asyncio.create_task(self._check(route))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _check(self, route: Route) -> None:
        health = route.health
        try:
            found = await check(route.destination)
        except asyncio.CancelledError:
            health.cancelled()
            raise
        before = health.finding
        health.checked(found, asyncio.get_running_loop().time())
        now = health.finding
        if now.state is State.REACHABLE and before.state is not State.REACHABLE:
            _log.info("destination is reachable", route=route.name, state=now.state)
        elif now.state is not State.REACHABLE and now != before:
            _log.warning("destination is not reachable", route=route.name, state=now.state, detail=now.error)
