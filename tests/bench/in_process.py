"""A session without a socket: what a small message costs in Python alone, by CPU time.

    python tests/bench/in_process.py [--beside CHECKOUT] [--messages N] [--rounds N]

The transport is played here: it answers each reply with the client's next command, at the next turn of the event loop,
as smtp-source would over a connection that it reuses. So there is no kernel in it, and little else varies: each round
is a process, in turns with those of `--beside`, an earlier version's checkout with a .venv of its own. What is measured
is the source; with `PYTHONPATH=$(tools/compiled.sh)`, the compiled build.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mailport.listener.credentials import PasswordChecks
from mailport.listener.load import Loader, Places
from mailport.listener.proxy import Client
from mailport.listener.server import Server
from mailport.listener.session import Session
from mailport.listener.wire import Wire

try:
    from mailport.process import log, loop
except ImportError:  # where they were in November 2026
    from mailport import log, loop

SESSIONS = 20
MESSAGE = b"From: <a@example.net>\r\nTo: <b@example.org>\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\n"
MESSAGE += (
    b"Message-Id: <1.2.3@example.net>\r\nSubject: a small message\r\n\r\n" + (b"X" * 78 + b"\r\n") * 10 + b".\r\n"
)
COMMANDS = (b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<b@example.org>\r\n", b"DATA\r\n", MESSAGE)
SPEC: dict[str, Any] = {
    "hostname": "mx.example.org",
    "listeners": [{"name": "smtp", "port": 2525}],
    "limits": {"minDataRate": 0},
    "access": {"policy": "DenyListed", "addresses": ["203.0.113.*", "2001:db8:bad::/48"]},
    "routes": [
        {"name": "gone", "recipients": ["old@example.org"], "deliver": {"refuse": {"text": "moved"}}},
        {"name": "mail", "recipients": ["*@example.org"], "deliver": {"discard": {}}},
    ],
}


class Played(asyncio.Transport):
    """A transport whose other side sends MAIL, RCPT, DATA and a message, again and again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wire: Any, messages: int) -> None:
        super().__init__()
        self._loop = loop
        self._wire = wire
        self._left = messages
        self._next = -1  # EHLO

    def write(self, data: bytes) -> None:
        if self._next >= 0 and data[:1] not in b"23":
            raise SystemExit(f"not taken: {data!r}")
        if self._next == len(COMMANDS):
            self._left -= 1
            self._next = 0
        if self._left:
            command = COMMANDS[self._next] if self._next >= 0 else b"EHLO client.example.net\r\n"
            self._next += 1
            self._loop.call_soon(self._wire.data_received, command)
        else:
            self._loop.call_soon(self._wire.connection_lost, None)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None: ...

    abort = close


def seconds(messages: int, folder: Path) -> float:
    """Return the CPU seconds that so many messages took in this process."""
    log.configure(fd=os.open(os.devnull, os.O_WRONLY), console=False)
    file = folder / "inboundsmtp.json"
    document = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": "bench"},
        "spec": SPEC,
    }
    file.write_text(json.dumps(document))

    async def serve(server: Server, each: int) -> None:
        running = asyncio.get_running_loop()
        sessions = []
        for port in range(SESSIONS):
            wire = Wire(running)
            wire.connection_made(Played(running, wire, each))
            sessions.append(Session(server, "smtp", wire, Client.of("192.0.2.1", 20000 + port)).run())
        await asyncio.gather(*sessions)

    async def run() -> float:
        config = Loader(Places((file,), mail=folder / "mail")).load()
        passwords = PasswordChecks()
        server = Server(config, passwords)
        await serve(server, 50)
        began = time.process_time()
        await serve(server, messages // SESSIONS)
        took = time.process_time() - began
        passwords.close()
        return took

    with asyncio.Runner(loop_factory=loop.factory()) as runner:
        return runner.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, action="append", default=[], metavar="CHECKOUT")
    parser.add_argument("--messages", type=int, default=20_000, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--once", action="store_true", help="one round in this process, for a profiler")
    options = parser.parse_args()
    if options.once:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(f"{seconds(options.messages, Path(folder)) / options.messages * 1e6:.2f}\n")
        return
    pythons = {"this": sys.executable} | {str(one): str(one / ".venv/bin/python") for one in options.beside}
    taken: dict[str, list[float]] = {name: [] for name in pythons}
    for _ in range(options.rounds):
        for name, python in pythons.items():
            command = [python, __file__, "--once", f"--messages={options.messages}"]
            ours = name == "this"  # PYTHONPATH leads to this version's
            environment = {key: value for key, value in os.environ.items() if ours or key != "PYTHONPATH"}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            taken[name].append(float(done.stdout))
    first = statistics.median(next(iter(taken.values())))
    for name, rounds in taken.items():
        median = statistics.median(rounds)
        sys.stdout.write(
            f"{median:6.1f} µs a message ({min(rounds):.1f} to {max(rounds):.1f}), {first / median:.2f}: {name}\n"
        )


if __name__ == "__main__":
    main()
