"""What GitOps tools make of InboundSmtps: on an API server of their own, with the operator at work."""

import os
from pathlib import Path

import pytest

from tests.gitops import judges
from tests.kube.cluster import NotBuiltError, program
from tests.kube.fixtures import cluster, controllers, gateways, namespace, operator, rights

__all__ = ["cluster", "controllers", "gateways", "namespace", "operator", "rights"]

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
def kubectl() -> Path:
    """For what asks no API server."""
    try:
        return program("kubectl")
    except NotBuiltError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def argo_cd() -> judges.Judge:
    """The health of objects as deploy/argocd/health.lua has it."""
    return tried(judges.argo_cd)


@pytest.fixture(scope="session")
def kstatus() -> judges.Judge:
    """The status of objects as Flux has it."""
    return tried(judges.kstatus)
