"""Tests against a real API server. Every one here is slow, and needs what `make kube` builds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.cluster import Cluster, NotBuiltError

HERE = Path(__file__).parent

# The user that the chart's RBAC is for: tests of the operator run as it
OPERATOR = "system:serviceaccount:mailport-system:mailport-operator"
OPERATOR_GROUPS = "system:serviceaccounts,system:serviceaccounts:mailport-system,system:authenticated"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kube)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without controllers, with the CustomResourceDefinition in it."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        try:
            cluster.start({OPERATOR: OPERATOR_GROUPS})
        except NotBuiltError as missing:
            if os.environ.get("CI"):
                raise  # nothing may pass by being left out
            pytest.skip(str(missing))
        cluster.install_crd()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def controllers(cluster: Cluster) -> Cluster:
    """The same, with the real kube-controller-manager from the first test on that asks for it."""
    cluster.start_controllers()
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace that nothing is in."""
    return cluster.new_namespace()
