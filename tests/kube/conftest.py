"""Tests against a real API server. Every one here is slow, and needs what `make kube` builds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kube.cluster import ROOT, Cluster, NotBuiltError
from tests.kube.operating import Operator, helm, stopped_at_the_end

HERE = Path(__file__).parent

# The user that the chart's RBAC is for: tests of the operator run as it
OPERATOR = "system:serviceaccount:mailport-system:mailport-operator"
OPERATOR_GROUPS = "system:serviceaccounts,system:serviceaccounts:mailport-system,system:authenticated"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kube)
            item.add_marker(pytest.mark.slow)


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Run a control plane without controllers, and skip the tests where it has not been built."""
    cluster = Cluster(folder)
    try:
        try:
            cluster.start({OPERATOR: OPERATOR_GROUPS})
        except NotBuiltError as missing:
            if os.environ.get("CI"):
                raise  # nothing may pass by being left out
            pytest.skip(str(missing))
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without controllers, with the CustomResourceDefinition in it."""
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.install_crd()
        yield cluster


@pytest.fixture(scope="session")
def controllers(cluster: Cluster) -> Cluster:
    """The same, with the real kube-controller-manager from the first test on that asks for it."""
    cluster.start_controllers()
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace that nothing is in."""
    return cluster.new_namespace()


@pytest.fixture(scope="session")
def rights(cluster: Cluster) -> Cluster:
    """The same, where the operator's user may do what the chart grants, and no more."""
    cluster.create_namespace("mailport-system")
    chart = ("template", "mailport", str(ROOT / "helm/mailport"), "--namespace=mailport-system")
    cluster.kubectl("apply", "-f", "-", stdin=helm(*chart, "--show-only=templates/rbac.yaml"))
    return cluster


@pytest.fixture(scope="module")
def operator(rights: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator of all namespaces, for all tests of a file."""
    operator = Operator(rights, OPERATOR, folder=tmp_path_factory.mktemp("operator"))
    with stopped_at_the_end(operator):
        yield operator.start()
        assert operator.stop() == 0
