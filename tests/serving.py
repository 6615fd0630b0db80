"""A real `mailport serve`, in a process of its own, on free ports of loopback, for as long as a `with` lasts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailport.listener.hashes import hash_password
from mailport.listener.tls import self_signed
from tests.ports import free_port

HOSTNAME = "mx.example.org"
USER, PASSWORD = "anna@example.org", "correct horse"
READY_SECONDS = 20

_htpasswd: list[str] = []  # made once a run: a hash is meant to be slow


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return base with change on top; lists are replaced whole, None takes a key away."""
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def document(change: dict[str, Any]) -> dict[str, Any]:
    """Return an InboundSmtp on loopback with `change` on top of its spec; a listener without a port gets a free one."""
    spec = {
        "hostname": HOSTNAME,
        "listeners": [{"name": "smtp"}],
        "network": {"bindAddresses": ["127.0.0.1"]},
        "routes": [{"name": "mail", "recipients": ["*@example.org"], "deliver": {"maildir": {}}}],
    }
    spec = merge(spec, change)
    spec["listeners"] = [{"port": free_port(), **listener} for listener in spec["listeners"]]
    return {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}, "spec": spec}


@dataclass
class Serving:
    """What a test needs of it."""

    process: subprocess.Popen[bytes]
    folder: Path
    ports: dict[str, int]
    admin: int
    spec: dict[str, Any] = field(repr=False)

    @property
    def port(self) -> int:
        """The first listener's."""
        return next(iter(self.ports.values()))

    @property
    def file(self) -> Path:
        return self.folder / "inboundsmtp.json"

    @property
    def mail(self) -> Path:
        return self.folder / "data" / "mail" / "default"

    def secret(self, name: str) -> Path:
        return self.folder / "secrets" / name

    def messages(self, address: str) -> list[bytes]:
        """Return what lies in a mailbox, oldest first."""
        local, _, domain = address.rpartition("@")
        new = self.mail / domain / local / "new"
        return [path.read_bytes() for path in sorted(new.glob("*"), key=lambda path: path.stat().st_mtime_ns)]

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log so far."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines() if line.startswith("{")]

    def logged(self, **fields: Any) -> dict[str, Any]:
        """Wait for a line with these fields, and return it."""
        return eventually(lambda: next((x for x in self.log() if x | fields == x), None), f"a log line with {fields}")

    def get(self, path: str) -> tuple[int, str]:
        """Ask the admin port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/status")[1]))

    def change(self, change: dict[str, Any]) -> None:
        """Change the document and wait until it serves."""
        before = self.status()["hash"]
        self.spec = merge(self.spec, change)
        self.write()
        eventually(lambda: self.status()["hash"] != before, "another hash in /status")

    def write(self) -> None:
        """Write the document as Kubernetes does: whole, and in one step."""
        whole = document({}) | {"spec": self.spec}
        new = self.folder / "new"
        new.write_text(json.dumps(whole))
        new.rename(self.file)

    def stop(self, sign: signal.Signals = signal.SIGTERM, timeout: float = 30) -> int:
        """Tell it to stop; return the exit status."""
        self.process.send_signal(sign)
        return self.process.wait(timeout)


def eventually(check: Any, what: str, seconds: float = READY_SECONDS) -> Any:
    """Return what `check` returns once that is true; fail where it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        if result := check():
            return result
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.02)


def write_secrets(folder: Path) -> None:
    """Make the Secrets that tests name: `tls` for mx.example.org, `users` with anna."""
    if not _htpasswd:
        _htpasswd.append(f"{USER}:{hash_password(PASSWORD)}\n")
    chain, key = self_signed(HOSTNAME, datetime.now(UTC))
    for name, values in {
        "tls": {"tls.crt": chain, "tls.key": key},
        "users": {"htpasswd": _htpasswd[0].encode()},
    }.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for secret_key, value in values.items():
            (folder / name / secret_key).write_bytes(value)


@contextmanager
def serving(folder: Path, spec: dict[str, Any], *arguments: str, ready: bool = True) -> Iterator[Serving]:
    """Serve a document; it has ended when the `with` ends, and its log then holds no traceback."""
    whole = document(spec)
    write_secrets(folder / "secrets")
    admin = free_port()
    command = [
        *(sys.executable, "-m", "mailport", "serve", "-f", str(folder / "inboundsmtp.json")),
        *("--data", str(folder / "data"), "--secrets", str(folder / "secrets"), "--admin", f"127.0.0.1:{admin}"),
        *arguments,
    ]
    (folder / "inboundsmtp.json").write_text(json.dumps(whole))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, "PYTHONWARNINGS": "error"})
    running = Serving(
        process, folder, {one["name"]: one["port"] for one in whole["spec"]["listeners"]}, admin, whole["spec"]
    )
    ended = True
    try:
        if ready:
            eventually(lambda: _answers(running), "ready")
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                ended = False
                process.kill()
                process.wait()
    assert ended, "it has not ended within 20 s: has the test left a client connected?"
    assert "Traceback" not in (folder / "log").read_text(), (folder / "log").read_text()[-4000:]


def _answers(running: Serving) -> bool:
    assert running.process.poll() is None, (running.folder / "log").read_text()[-4000:]
    try:
        return running.get("/readyz")[0] == 200
    except OSError:
        return False
