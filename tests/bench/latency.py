"""How long a durable 250 takes from the end of the content, at parts of the highest rate, and beside idle clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contenders import SESSIONS, Contender
from smtp_load import idle, load

SHARES = (0.1, 0.5, 0.9)  # of the highest rate
TAKING_PART = ("Postfix", "Mailport maildir")
WITH_IDLE = "Mailport maildir"  # Postfix would have a process for each of them


@dataclass(frozen=True)
class Latency:
    server: str
    share: float
    rate: float  # messages a second, as they were sent
    p50: float  # milliseconds, as are the next
    p99: float
    p999: float


def measure_latencies(running: Sequence[Contender], seconds: float, least: int, connections: int) -> list[Latency]:
    """Send small messages over 20 connections, as fast as they are taken and then at parts of that rate.

    Each part takes so many seconds, and as many more as `least` messages take. `connections` are idle ones.
    """
    found = []
    for contender in running:
        name = contender.name.removesuffix(" before")
        if name not in TAKING_PART:
            continue
        result = load(contender.port, reuse=True, sessions=SESSIONS, seconds=seconds / 2)
        contender.rest(result.messages)
        found += [_at(contender, contender.name, share, result.rate, seconds, least) for share in SHARES]
        if name == WITH_IDLE and connections:
            title = f"{contender.name}, {connections:,} idle beside"
            with idle(contender.port, connections):
                found += [_at(contender, title, share, result.rate, seconds, least) for share in SHARES]
    return found


def _at(contender: Contender, title: str, share: float, highest: float, seconds: float, least: int) -> Latency:
    rate = share * highest
    messages = max(least, int(rate * seconds))
    result = load(contender.port, reuse=True, sessions=SESSIONS, messages=messages, rate=rate)
    contender.rest(messages)
    return Latency(title, share, result.rate, result.p50, result.p99, result.p999)


def table(latencies: Sequence[Latency]) -> str:
    """Return Markdown."""
    lines = ["| of its highest rate | server | messages/s | p50 ms | p99 ms | p99.9 ms |", "|--:|---|--:|--:|--:|--:|"]
    for one in sorted(latencies, key=lambda one: one.share):
        figures = f"{one.rate:,.0f} | {one.p50:.1f} | {one.p99:.1f} | {one.p999:.1f}"
        lines.append(f"| {one.share:.0%} | {one.server} | {figures} |")
    return "\n".join(lines)
