"""A control plane for one file of tests, which may do to it what would disturb others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kube.cluster import Cluster
from tests.kube.fixtures import running
from tests.kube.operating import grant


@contextmanager
def control_plane(folder: Path) -> Iterator[Cluster]:
    """Run one with all controllers, the definition of InboundSmtps, and what the chart grants to the operator."""
    with running(folder) as cluster:
        cluster.install_crd()
        grant(cluster)
        cluster.start_controllers()
        wait_for_controllers(cluster)
        yield cluster
        cluster.kill("kube-apiserver")  # which else would wait for the controllers to end


def wait_for_controllers(cluster: Cluster) -> None:
    """Wait until garbage is collected: one that starts does not bear that the API server goes away."""
    path = f"/api/v1/namespaces/{cluster.new_namespace()}/configmaps"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "garbage", "ownerReferences": [owner]}}
    cluster.ask("POST", path, body).expect_accepted()
    cluster.wait_for("garbage is collected", lambda: cluster.ask("GET", f"{path}/garbage").status == 404, 60)
