"""Which tests run one after the other where several workers of pytest-xdist run them: `make test`."""

from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

# Folders whose tests share a control plane or a node, but for files that have one of their own
SHARING = ("tests/e2e", "tests/kube", "tests/chart", "tests/gitops")
APART = (
    "tests/kube/test_drift.py",
    "tests/kube/test_lease.py",
    "tests/kube/test_random_operations.py",
    "tests/kube/test_recovery.py",
)
# What waits for the longest begins first; what computes fills the pauses
LONGEST_FIRST = ("tests/e2e", "tests/kube", "tests/load", "tests/clients", "tests/gitops", "tests/chart")


def group(nodeid: str) -> str:
    """Return the name of a test's group: its file, or the folder that it shares something with."""
    file = nodeid.partition("::")[0]
    folder = str(PurePosixPath(file).parent)
    return folder if folder in SHARING and file not in APART else file


def order(item: pytest.Item) -> int:
    """Return the place of a test's folder among those that begin first."""
    places = (place for place, folder in enumerate(LONGEST_FIRST) if item.nodeid.startswith(f"{folder}/"))
    return next(places, len(LONGEST_FIRST))


class Groups(LoadScopeScheduling):
    """Hands whole groups to workers, in the order in which tests are collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
