"""How long the 250 of a plain session takes beside as many TLS handshakes as the server can do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from contenders import Contender
from smtp_load import Sender, load

TLS_SESSIONS = 64  # at a time, each for one message
PLAIN_RATE = 200  # messages a second of the plain session
TO_REACH = 20.0  # ms of p99, of a server that does not wait for a disk
MEASURED_BY = "Mailport discard"


@dataclass(frozen=True)
class Beside:
    server: str
    key: str
    handshakes: float  # a second
    p50: float  # milliseconds of the plain session, as is the next
    p99: float


def measure_handshakes(running: Sequence[Contender], key: str, rounds: int, seconds: float) -> list[Beside]:
    """Let the servers take turns; return every round of each."""
    return [_beside(contender, key, seconds) for _ in range(rounds) for contender in running]


def _beside(contender: Contender, key: str, seconds: float) -> Beside:
    crowd = Sender(contender.port, starttls=True, sessions=TLS_SESSIONS, seconds=seconds + 1)
    try:
        crowd.begin()
        time.sleep(0.5)  # all of them have begun
        plain = load(contender.port, reuse=True, sessions=1, rate=PLAIN_RATE, seconds=seconds)
        encrypted = crowd.result()
    finally:
        crowd.close()
    contender.rest(plain.messages + encrypted.messages)
    return Beside(contender.name, key, encrypted.rate, plain.p50, plain.p99)


def table(measured: Sequence[Beside]) -> str:
    """Return Markdown: medians of the rounds."""
    lines = [
        "| a plain session beside handshakes | server | handshakes/s | p50 ms | p99 ms | |",
        "|---|---|--:|--:|--:|---|",
    ]
    for key, server in dict.fromkeys((one.key, one.server) for one in measured):
        rounds = [one for one in measured if (one.key, one.server) == (key, server)]
        p99 = median(one.p99 for one in rounds)
        verdict = ""
        if server == MEASURED_BY:
            verdict = f"under {TO_REACH:g}: {'reached' if p99 < TO_REACH else 'short'}"
        rate, p50 = median(one.handshakes for one in rounds), median(one.p50 for one in rounds)
        lines.append(f"| {key} | {server} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {verdict} |")
    return "\n".join(lines)
