"""Tests against a real API server. Every one here is slow, and needs what `make kube` builds."""

from pathlib import Path

import pytest

from tests.kube.fixtures import cluster, controllers, gateways, namespace, operator, rights

__all__ = ["cluster", "controllers", "gateways", "namespace", "operator", "rights"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kube)
            item.add_marker(pytest.mark.slow)
