"""tools/smtp-load as the benches use it: started, made to begin, and read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders import DOMAIN, built


@dataclass(frozen=True)
class Result:
    messages: int
    rate: float  # messages a second
    p50: float  # milliseconds from the end of the content to the 250, as are the next
    p99: float
    p999: float


class Sender:
    """A process of smtp-load. Its connections are open, where it keeps them, when this is made; `begin` has it send."""

    def __init__(self, port: int, **options: Any) -> None:
        """`options` are smtp-load's: `sessions=20, reuse=True`."""
        named = {"to": f"user@{DOMAIN}", **options, "address": f"127.0.0.1:{port}", "held": True}
        command = [built("smtp-load"), *(f"-{name}={_said(value)}" for name, value in named.items())]
        pipe = subprocess.PIPE
        self._running = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self._running.stderr is not None
        if (heard := self._running.stderr.readline()) != "connected\n":
            raise SystemExit(heard)

    def begin(self) -> None:
        assert self._running.stdin is not None
        self._running.stdin.close()

    def result(self) -> Result:
        """Wait for the last 250. The connections may be open for a while yet."""
        assert self._running.stdout is not None
        assert self._running.stderr is not None
        if not (line := self._running.stdout.readline()):
            raise SystemExit(self._running.stderr.read())
        said = json.loads(line)
        return Result(int(said["messages"]), said["rate"], said["p50"], said["p99"], said["p99.9"])

    def close(self) -> None:
        """Wait until it has taken leave of the server."""
        self.begin()
        self._running.wait(300)
        for pipe in (self._running.stdout, self._running.stderr):
            assert pipe is not None
            pipe.close()


def load(port: int, **options: Any) -> Result:
    """Send, and wait for the last 250."""
    sender = Sender(port, **options)
    try:
        sender.begin()
        return sender.result()
    finally:
        sender.close()


@contextmanager
def idle(port: int, connections: int) -> Iterator[None]:
    """Hold connections that have said EHLO, and say nothing more."""
    command = [sys.executable, str(Path(__file__).parents[1] / "load/hold.py"), str(port), str(connections)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.readline() != b"held\n":
            raise SystemExit(f"{connections} connections were not held")
        try:
            yield
        finally:
            holder.stdin.close()


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
