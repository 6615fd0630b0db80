"""Tests of the chart: with helm, and with an API server of their own. `make kube` builds both."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.charts import NAMESPACE, Helm
from tests.kube.cluster import Cluster, NotBuiltError
from tests.kube.fixtures import running

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and {"helm", "cluster"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kube)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The pinned helm."""
    try:
        return Helm(tmp_path_factory.mktemp("helm"))
    except NotBuiltError as missing:
        if os.environ.get("CI"):
            raise  # nothing may pass by being left out
        pytest.skip(str(missing))


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without controllers, and without anything of ours but the namespace."""
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.create_namespace(NAMESPACE)
        yield cluster


@pytest.fixture(scope="module")
def controllers(cluster: Cluster) -> Iterator[Cluster]:
    """The same with the real kube-controller-manager, for the tests of one file: the others play its part."""
    cluster.start_controllers()
    yield cluster
    cluster.kill("kube-controller-manager")
