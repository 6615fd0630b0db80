"""Tries the destinations of a document from this machine, before anybody serves it: `mailport validate --connect`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mailport.contract.faults import Invalid
from mailport.contract.model import Deliver, Spec
from mailport.deliver.destination import Destination
from mailport.deliver.health import Finding, State
from mailport.deliver.registry import not_installed
from mailport.listener.destinations import Destinations
from mailport.listener.health import check
from mailport.listener.secrets import Secrets
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer

_HERE = ("maildir", "discard", "refuse")  # kinds that go nowhere


@dataclass(frozen=True, slots=True)
class Tried:
    """What was found of one route."""

    route: str
    where: str  # its kind, and the other side
    finding: Finding | None  # None: there is no other side

    @property
    def failed(self) -> bool:
        """Whether mail for the route would be put off."""
        return self.finding is not None and self.finding.state is not State.REACHABLE

    def __str__(self) -> str:
        if self.finding is None:
            return f"route {self.route}: {self.where}: nowhere to connect to"
        error = f": {self.finding.error}" if self.finding.error else ""
        return f"route {self.route}: {self.where}: {self.finding.state}{error}"


def try_destinations(spec: Spec, secrets: Secrets, *, local: bool, denied: Iterable[str]) -> list[Tried]:
    """Try each route's destination, all at once and each in bounded time; return what was found in their order.

    `local` and `denied` are those of outward/allowed.py. Raises Invalid, and has tried nothing, for routes that this
    installation cannot serve: another image may.
    """
    if faults := [*not_installed(spec)]:
        raise Invalid(faults)
    dialer = Dialer(Allowed(local=local, denied=denied))
    loaded = Destinations(Path(), None, dialer).load(spec, secrets, lambda _: True)
    routes = [(route.name, route.deliver, loaded.by_route[route.name][0]) for route in spec.routes]

    async def try_one(deliver: Deliver, destination: Destination) -> Finding | None:
        finding = None if deliver.kind in _HERE else await check(destination)
        await destination.close()
        return finding

    async def try_all() -> list[Finding | None]:
        findings = await asyncio.gather(*(try_one(deliver, destination) for _, deliver, destination in routes))
        await dialer.close()
        return findings

    found = asyncio.run(try_all())
    return [Tried(name, _where(deliver), one) for (name, deliver, _), one in zip(routes, found, strict=True)]


def _where(deliver: Deliver) -> str:
    next_hop = deliver.lmtp or deliver.smtp
    if next_hop is not None:
        return f"{deliver.kind} {next_hop.host} port {next_hop.port}"
    by_url = deliver.webhook or deliver.nats
    if by_url is not None:
        return f"{deliver.kind} {by_url.url}"
    if deliver.s3 is not None:
        return f"s3 bucket {deliver.s3.bucket}"
    return deliver.kind
