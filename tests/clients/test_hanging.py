"""A disk that hangs keeps no process. None here can be made to hang: fsync is replaced by one that never ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import document, eventually
from tests.tables import table

pytestmark = pytest.mark.slow

HANGING = """
import os, sys, time
os.fsync = lambda fd: time.sleep(600)
from mailport.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "drain_seconds, signals, status",
    table({"after drainSeconds, with 0": (1, 1, 0), "at the second signal, with 1": (600, 2, 1)}),
)
def test_it_ends_all_the_same(tmp_path: Path, drain_seconds: int, signals: int, status: int):
    """A delivery that hangs is given up; the client has not heard 250."""
    whole = document({"limits": {"drainSeconds": drain_seconds}})
    (tmp_path / "mx.json").write_text(json.dumps(whole))
    command = [
        sys.executable,
        "-c",
        HANGING,
        "serve",
        "-f",
        str(tmp_path / "mx.json"),
        "--data",
        str(tmp_path / "data"),
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            eventually(lambda: "listening" in (tmp_path / "log").read_text(), "listening")
            with socket.create_connection(("127.0.0.1", whole["spec"]["listeners"][0]["port"]), timeout=20) as client:
                client.sendall(
                    b"EHLO c\r\nMAIL FROM:<b@example.net>\r\nRCPT TO:<anna@example.org>\r\nBDAT 2 LAST\r\n\r\n"
                )
                eventually((tmp_path / "data").exists, "the delivery, whose first folder is then to be synced")
                for _ in range(signals):
                    process.send_signal(signal.SIGTERM)
                    eventually(lambda: "draining" in (tmp_path / "log").read_text(), "draining")
                ended = process.wait(20)
                heard = client.makefile("rb").read()
        finally:
            process.kill()

    assert ended == status
    assert b"queued as" not in heard
