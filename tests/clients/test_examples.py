"""`make example NAME=…`: each runs beside its real other side, brings one message through and shows it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import needs_root
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
NAMES = sorted(script.parent.name for script in (ROOT / "examples").glob("*/run"))

pytestmark = pytest.mark.slow


def make(name: str, folder: Path, **ports: str) -> subprocess.CompletedProcess[str]:
    """Run an example on free ports, with a folder of the test's for what it writes."""
    environment = {
        **os.environ,
        "PORT": str(free_port()),
        "NEXT_PORT": str(free_port()),
        "TMPDIR": str(folder),
        **ports,
    }
    return subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT, "example", f"NAME={name}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the servers' users can get into, as pytest's are closed to all but root."""
    with tempfile.TemporaryDirectory(prefix="examples-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
@pytest.mark.parametrize("name", NAMES)
def test_a_message_goes_through(name: str, folder: Path):
    """The last that is shown is the message at its destination; no file and no process stays."""
    done = make(name, folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert ": Reachable\n" in done.stdout
    shown = done.stdout.rpartition("\n--- ")[2]
    assert "A test by mailport send" in shown, done.stdout  # its subject
    assert list(folder.iterdir()) == []
    assert str(folder) not in processes()


@needs_root
@pytest.mark.parametrize("taken", ["PORT", "NEXT_PORT"])
@pytest.mark.parametrize("name", NAMES)
def test_a_port_that_is_in_use(name: str, taken: str, folder: Path):
    """One line, and no message goes to whatever is there."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = make(name, folder, **{taken: str(port)})
        other.settimeout(0)
        connection, _ = other.accept()  # which the example looked at, and nobody else
        connection.close()
        with pytest.raises(BlockingIOError):
            other.accept()

    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == f"example: port {port} is in use: make example NAME={name} PORT=… NEXT_PORT=…"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("ports", [("2525", "2526"), ("25261", "12526"), ("2526", "2525"), ("25250", "25260")])
def test_ports(tmp_path: Path, ports: tuple[str, str]):
    """Each is put in its own place, also where its digits are those of the other one."""
    done = subprocess.run(
        [
            "sh",
            "-c",
            '. examples/lib.sh; fill gateway.yaml; grep -E "port|endpoint" "$work/gateway.yaml"',
            "examples/s3/run",
        ],
        cwd=ROOT,
        env={**os.environ, "PORT": ports[0], "NEXT_PORT": ports[1], "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert re.findall(r"port: (\d+)", done.stdout) == [ports[0]]
    assert re.findall(r"127\.0\.0\.1:(\d+)", done.stdout) == [ports[1]]


def processes() -> str:
    """Return the command lines of all processes."""
    return "\n".join(
        (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and (folder / "cmdline").exists()
    )


def test_an_example_that_is_not_there(tmp_path: Path):
    """Says which there are."""
    done = make("pigeon", tmp_path)

    assert done.returncode == 2
    assert " ".join(NAMES) in done.stdout
