"""What tests on a real API server begin with. A package's conftest.py that imports these has a cluster of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kube.cluster import ROOT, Cluster, NotBuiltError
from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, OPERATOR_GROUPS, Operator, helm, stopped_at_the_end
from tests.kube.rights import asked, refused


@contextmanager
def running(folder: Path, kind: type[Cluster] = Cluster) -> Iterator[Cluster]:
    """Run a control plane without controllers, and skip the tests where it has not been built."""
    cluster = kind(folder)
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


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without controllers, with the CustomResourceDefinition in it."""
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.install_crd()
        yield cluster
        assert refused(asked(cluster)) == set(), "the chart's roles are not enough for what the tests had operators do"


@pytest.fixture(scope="package")
def controllers(cluster: Cluster) -> Cluster:
    """The same, with the real kube-controller-manager from the first test on that asks for it."""
    cluster.start_controllers()
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace that nothing is in."""
    return cluster.new_namespace()


@pytest.fixture(scope="package")
def rights(cluster: Cluster) -> Cluster:
    """The same, where the operator's user may do what the chart grants, and no more."""
    cluster.create_namespace("mailport-system")
    chart = (
        "template",
        "mailport",
        str(ROOT / "helm/mailport"),
        "--namespace=mailport-system",
        "--set=image.registry=",
    )
    cluster.kubectl("apply", "-f", "-", stdin=helm(*chart, "--show-only=templates/rbac.yaml"))
    return cluster


@pytest.fixture(scope="module")
def operator(
    rights: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Operator]:
    """An operator of all namespaces, for all tests of a file; with the options that the file asks for."""
    options = getattr(request.module, "OPERATOR_OPTIONS", ())
    operator = Operator(rights, OPERATOR, *options, folder=tmp_path_factory.mktemp("operator"))
    with stopped_at_the_end(operator):
        yield operator.start()
        assert operator.stop() == 0


@pytest.fixture
def gateways(operator: Operator, rights: Cluster, namespace: str) -> Iterator[Gateways]:
    """The InboundSmtps of a namespace, all gone in the end: else an operator would go on with them."""
    gateways = Gateways(rights, namespace)
    yield gateways
    gateways.delete_all()
