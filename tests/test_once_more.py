"""tools/tests.sh: what fails beside others runs once more, and fails where it fails again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.tables import table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FAILS_ONCE = """
    import pathlib
    came_before = pathlib.Path(__file__).with_suffix(f".{request.node.name}")
    assert came_before.exists() or came_before.touch()
"""
FAILS = "    assert False"
PASSES = "    pass"
BROKEN_FIXTURE = "    request.getfixturevalue('broken')"
BEGINNING = """
import pytest

@pytest.fixture
def broken():
    yield
    assert False

"""


@pytest.mark.parametrize(
    ("bodies", "passes", "runs"),
    table(
        {
            "all pass": ([PASSES, PASSES], True, 1),
            "one fails, and passes alone": ([PASSES, FAILS_ONCE], True, 2),
            "three fail, and pass alone": ([FAILS_ONCE] * 3, True, 2),
            "four fail: it is not the machine": ([FAILS_ONCE] * 4, False, 1),
            "one fails again": ([FAILS_ONCE, FAILS], False, 2),
            "a fixture fails: what it saw may have been another test's doing": ([FAILS_ONCE, BROKEN_FIXTURE], False, 1),
            "nothing can be collected": (["    )"], False, 1),
        }
    ),
)
def test_once_more(tmp_path: Path, bodies: list[str], passes: bool, runs: int):
    source = BEGINNING + "\n".join(f"def test_{n}(request):\n{body}\n" for n, body in enumerate(bodies))
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -p tests.conftest\nasyncio_default_fixture_loop_scope = function\n"
    )
    ended = subprocess.run(
        [ROOT / "tools/tests.sh", "--numprocesses=2"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {"PYTHONPATH": str(ROOT)},
    )

    assert (ended.returncode == 0) is passes, ended.stdout + ended.stderr
    assert ended.stdout.count("test session starts") == runs
    assert ended.stdout.count("FAILED BESIDE OTHERS") == (sum("assert" in body for body in bodies) if runs == 2 else 0)
