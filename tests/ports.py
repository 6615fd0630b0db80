"""Ports for servers that tests start."""

import os
import random
import socket
from contextlib import suppress
from itertools import cycle

_FIRST, _END = 10_000, 32_768  # from there on the kernel gives them to clients, of which some tests have thousands
_WORKERS = 16  # of pytest-xdist; each has ports of its own, since a port is nobody's until a server listens
_OURS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_ports = range(_FIRST + _OURS, _END, _WORKERS)
_in_turn = cycle(random.sample(_ports, len(_ports)))  # so that none comes twice while nobody listens to it yet


def free_port() -> int:
    """Return a port that nobody has on any address, another one each time."""
    while True:
        port = next(_in_turn)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
