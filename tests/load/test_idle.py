"""Ten thousand clients that are connected and say nothing, or begin a message and say no more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.load.server import KIB, connections, descriptors, memory, others_served
from tests.serving import Serving, eventually, serving

MANY = 10_000
PROMPTLY = 1.0  # seconds
MEMORY = 16 * KIB  # an idle connection's, of ours: the kernel has its own for it

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@contextmanager
def held(server: Serving, count: int, *octets: int) -> Iterator[None]:
    """Hold connections; with `octets` each has sent so many of a message."""
    command = [sys.executable, str(Path(__file__).with_name("hold.py")), *map(str, (server.port, count, *octets))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin
        assert holder.stdout
        try:
            assert holder.stdout.readline() == b"held\n"
            yield
            assert holder.poll() is None
        finally:
            holder.stdin.close()
            holder.wait(30)


def test_ten_thousand_idle_connections_are_held(tmp_path: Path) -> None:
    """They cost little memory, new mail is taken promptly beside them, and nothing is left of them."""
    with serving(tmp_path, {"limits": {"maxConnections": 0, "maxConnectionsPerClient": 0}}) as server:
        with held(server, 100):  # what the first connections load, stays
            pass
        eventually(lambda: connections(server) == 0, "no session")
        memory_before, descriptors_before = memory(server), descriptors(server)

        with held(server, MANY):
            each = (memory(server) - memory_before) / MANY
            sys.stdout.write(f"{MANY:,} idle connections: {each / KIB:.1f} KiB each\n")
            with others_served(server, within=PROMPTLY) as seconds:
                eventually(lambda: len(seconds) >= 20, "twenty mails")

            assert connections(server) == MANY
            assert each < MEMORY

        eventually(lambda: connections(server) == 0, "no session left")
        eventually(lambda: descriptors(server) <= descriptors_before, f"{descriptors_before} descriptors")


def test_ten_thousand_begun_messages_stay_within_the_budget(tmp_path: Path) -> None:
    """Each has sent a kilobyte: it costs that and an idle connection, and mail beside them is taken promptly."""
    with serving(tmp_path, {"limits": {"maxConnections": 0, "maxConnectionsPerClient": 0}}) as server:
        with held(server, 100, KIB):
            pass
        eventually(lambda: connections(server) == 0, "no session")
        memory_before, descriptors_before = memory(server), descriptors(server)

        with held(server, MANY, KIB):
            each = (memory(server) - memory_before) / MANY
            sys.stdout.write(f"{MANY:,} messages of which 1 KiB has come: {each / KIB:.1f} KiB each\n")
            with others_served(server, within=PROMPTLY) as seconds:
                eventually(lambda: len(seconds) >= 20, "twenty mails")

            assert each < MEMORY + KIB

        eventually(lambda: connections(server) == 0, "no session left")
        eventually(lambda: descriptors(server) <= descriptors_before, f"{descriptors_before} descriptors")
