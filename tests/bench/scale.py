"""How rate, memory and CPU grow with the connections that send at a time, and with the processes that serve them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from contenders import STARTS, Contender
from smtp_load import Sender

CONNECTIONS = (10, 100, 1_000, 10_000)
REPLICAS = (1, 2)
CONNECTIONS_OF_REPLICAS = 40  # of all of them together
# One process each. Postfix has one for each connection, and smtp-sink is no server for ten thousand.
GROWS = ("go-smtp", "aiosmtpd", "discard", "maildir")
REPLICATED = ("discard", "maildir")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Scale:
    server: str
    replicas: int
    connections: int  # of all replicas together
    rate: float  # messages a second
    cpu: float  # seconds of the servers', a message
    memory: float  # MiB that their processes had at most so far, the kernel's part of a connection not included


def measure_connections(
    folder: Path, names: Collection[str], rounds: int, seconds: float, counts: Sequence[int], say: Callable[[str], None]
) -> list[Scale]:
    """Have each server new in each round, and give it more and more connections. Return every round."""
    found = []
    for number in range(rounds):
        for name in (name for name in GROWS if name in names):
            say(f"more connections: {name}, round {number + 1} of {rounds}")
            found += _servers(folder / f"{name}-{number}", name, 1, counts, seconds)
    return found


def measure_replicas(
    folder: Path, names: Collection[str], rounds: int, seconds: float, say: Callable[[str], None]
) -> list[Scale]:
    """Have one process, and two, each with a port and a folder of its own. Return every round."""
    found = []
    for number in range(rounds):
        for name in (name for name in REPLICATED if name in names):
            for replicas in REPLICAS:
                say(f"replicas: {name}, {replicas}, round {number + 1} of {rounds}")
                place = folder / f"{name}-{replicas}-{number}"
                found += _servers(place, name, replicas, [CONNECTIONS_OF_REPLICAS], seconds)
    return found


def _servers(folder: Path, name: str, replicas: int, counts: Sequence[int], seconds: float) -> list[Scale]:
    with ExitStack() as stack:
        running = []
        for number in range(replicas):
            own = folder / str(number)
            own.mkdir(parents=True)
            running.append(stack.enter_context(STARTS[name](own)))
        return [_send(running, connections, seconds) for connections in counts]


def _send(running: Sequence[Contender], connections: int, seconds: float) -> Scale:
    """Send from connections that are open before, and closed after what is counted."""
    sessions = connections // len(running)
    senders = [Sender(one.port, reuse=True, sessions=sessions, seconds=seconds) for one in running]
    cpu = sum(one.cpu for one in running)
    try:
        for sender in senders:
            sender.begin()
        results = [sender.result() for sender in senders]
        cpu = sum(one.cpu for one in running) - cpu
        memory = sum(one.memory for one in running)
    finally:
        for sender in senders:
            sender.close()
    for one, result in zip(running, results, strict=True):
        one.rest(result.messages)
    messages = sum(result.messages for result in results)
    rate = sum(result.rate for result in results)
    return Scale(running[0].name, len(running), connections, rate, cpu / messages, memory / _MIB)


def medians(measured: Sequence[Scale]) -> list[Scale]:
    """Return one for each server, number of replicas and number of connections."""
    found = []
    for what in dict.fromkeys((one.server, one.replicas, one.connections) for one in measured):
        rounds = [one for one in measured if (one.server, one.replicas, one.connections) == what]
        columns = zip(*((one.rate, one.cpu, one.memory) for one in rounds), strict=True)
        found.append(Scale(*what, *map(median, columns)))
    return found


_FIGURES: dict[str, Callable[[Scale], float]] = {
    "messages/s": lambda one: one.rate,
    "CPU µs a message": lambda one: one.cpu * 1e6,
    "memory, MiB": lambda one: one.memory,
}


def table(title: str, measured: Sequence[Scale], over: Callable[[Scale], int]) -> str:
    """Return Markdown: medians of the rounds, a column for each value of `over`."""
    of_all = medians(measured)
    columns = sorted({over(one) for one in of_all})
    lines = [f"| {title} | | {' | '.join(f'{column:,}' for column in columns)} |", "|---|---|" + "--:|" * len(columns)]
    for server in dict.fromkeys(one.server for one in of_all):
        of_server = {over(one): one for one in of_all if one.server == server}
        for figure, value in _FIGURES.items():
            cells = [f"{value(of_server[column]):,.0f}" if column in of_server else "" for column in columns]
            lines.append(f"| {server} | {figure} | {' | '.join(cells)} |")
    return "\n".join(lines)
