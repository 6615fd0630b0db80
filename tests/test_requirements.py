"""The locks in requirements/ are what pip needs, and nothing of the machine that made them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?P<marker> ; [^\\]+)?(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)$"
)


def pins(lock: Path) -> dict[str, str]:
    """name -> version; every statement of the file has to be a pin with its hashes."""
    without_comments = "\n".join(line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#"))
    statements = re.split(r"\n(?=\S)", without_comments.strip())
    matches = [PIN.match(statement.strip()) for statement in statements]

    assert None not in matches, [s for s, match in zip(statements, matches, strict=True) if not match]
    return {match["name"]: match["version"] for match in matches if match}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_machine(lock):
    """No registry, address, option or path of the machine that wrote it: pins, hashes and who asked for them."""
    text = lock.read_text()

    assert pins(lock)
    assert "://" not in text
    assert not re.search(r"(^|\s)/\w", text)


def test_the_lock_satisfies_pyproject():
    """Each dependency that pyproject.toml declares is locked at a version that it allows: else `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins(ROOT / "requirements/runtime.txt")
    extras = project["optional-dependencies"].values()  # the image has them all
    wanted = [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]

    assert [str(want) for want in wanted if not want.specifier.contains(locked.get(want.name, "0"))] == []


def test_the_tests_run_what_is_served():
    """dev.txt pins what runtime.txt and build.txt pin, at the same versions."""
    dev = pins(ROOT / "requirements/dev.txt")

    assert pins(ROOT / "requirements/runtime.txt").items() <= dev.items()
    assert pins(ROOT / "requirements/build.txt").items() <= dev.items()
