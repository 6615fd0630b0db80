"""What GitOps tools make of InboundSmtps: on an API server of their own, with the operator at work."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gitops import judges
from tests.kube.cluster import ROOT, Cluster, NotBuiltError
from tests.kube.conftest import OPERATOR, running
from tests.kube.operating import Operator, helm, stopped_at_the_end

HERE = Path(__file__).parent
OF_KUBERNETES = {"cluster", "kstatus"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ())) if item.path.is_relative_to(HERE) else set()
        if fixtures & OF_KUBERNETES:
            item.add_marker(pytest.mark.kube)
        if fixtures & {*OF_KUBERNETES, "argo_cd"}:
            item.add_marker(pytest.mark.slow)


def tried(judge: judges.Judge) -> judges.Judge:
    """Return it if it is there; else skip what needs it."""
    try:
        judge()
    except NotBuiltError as missing:
        if os.environ.get("CI"):
            raise  # nothing may pass by being left out
        pytest.skip(str(missing))
    return judge


@pytest.fixture(scope="session")
def argo_cd() -> judges.Judge:
    """The health of objects as deploy/argocd/health.lua has it."""
    return tried(judges.argo_cd)


@pytest.fixture(scope="session")
def kstatus() -> judges.Judge:
    """The status of objects as Flux has it."""
    return tried(judges.kstatus)


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without controllers, with the CustomResourceDefinition in it."""
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.install_crd()
        yield cluster


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
    """The same cluster, where the operator's user may do what the chart grants, and no more."""
    cluster.create_namespace("mailport-system")
    chart = ("template", "mailport", str(ROOT / "helm/mailport"), "--namespace=mailport-system")
    cluster.kubectl("apply", "-f", "-", stdin=helm(*chart, "--show-only=templates/rbac.yaml"))
    return cluster


@pytest.fixture(scope="module")
def operator(
    rights: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[None]:
    """An operator of all namespaces, for all tests of a file; with the options that the file asks for."""
    options = getattr(request.module, "OPERATOR_OPTIONS", ())
    operator = Operator(rights, OPERATOR, *options, folder=tmp_path_factory.mktemp("operator"))
    with stopped_at_the_end(operator):
        yield operator.start()
        assert operator.stop() == 0
