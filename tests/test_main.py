"""How a process ends in which obstore was loaded: at once, with its status, and with all that was said and logged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.serving import document, serving

pytest.importorskip("obstore")

# What a Python that is taken apart would still do
RUN = """\
import atexit, sys
atexit.register(print, "taken apart")
import obstore
from mailport.__main__ import run
run()
"""


def store() -> dict[str, Any]:
    """Return a route to a store that nobody serves."""
    s3 = {"bucket": "mail", "endpoint": f"http://127.0.0.1:{free_port()}", "credentialsSecretRef": {"name": "s3"}}
    return {"routes": [{"name": "archive", "recipients": ["*@example.org"], "deliver": {"s3": s3}}]}


def write(folder: Path, spec: dict[str, Any]) -> str:
    """Write a document, and the Secret that its route names; return its path."""
    (folder / "mx.json").write_text(json.dumps(document(spec)))
    (folder / "secrets" / "s3").mkdir(parents=True)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (folder / "secrets" / "s3" / key).write_text("any")
    return str(folder / "mx.json")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_was_valid_is_said(tmp_path: Path):
    """Status 0, and stdout, which is a pipe and so is written at the end."""
    file = write(tmp_path, store())
    ended = run("validate", "-f", file)

    assert ended.returncode == 0
    assert ended.stdout == f"{file}: InboundSmtp mx is valid\n"


def test_what_was_tried_in_vain_is_said(tmp_path: Path):
    """Status 1: obstore has connected, and its threads are there when the process ends."""
    file = write(tmp_path, store())
    secrets = ("--secrets", str(tmp_path / "secrets"))
    ended = run("validate", "--connect", "--allow-local-destinations", "-f", file, *secrets)

    assert ended.returncode == 1, ended.stderr
    valid, tried = ended.stdout.splitlines()
    assert valid.endswith("is valid")
    assert tried.startswith(f"{file}: route archive: s3 bucket mail: Unreachable")


def test_what_was_wrong_is_said(tmp_path: Path):
    """Status 2."""
    file = write(tmp_path, {"hostname": "x"})
    ended = run("validate", "-f", file)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{file}: spec.hostname: ")


def test_a_fault_of_ours_is_said():
    """Status 1 with its traceback, as without obstore."""
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN.replace("\nrun()", "\nimport mailport.__main__ as m; m.main = lambda: 1 / 0\nrun()"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_the_last_lines_of_the_log_are_written(tmp_path: Path):
    """Status 0 of `serve` after a drain; the thread that writes the log ends with the process."""
    write(tmp_path, store())
    with serving(tmp_path, store(), "--allow-local-destinations") as server:
        status = server.stop()

    assert status == 0
    assert "drained" in [line["event"] for line in server.log()[-2:]]  # a check that was under way may say its word
