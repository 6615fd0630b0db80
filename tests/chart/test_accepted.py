"""Every object that the chart renders, put to a real API server."""

from pathlib import Path

import pytest

from tests.chart.charts import NAMESPACE, VALUES, documents, find
from tests.kube.cluster import ROOT

HERE = Path(__file__).parent
CRDS_OF_PROMETHEUS = HERE / "prometheus-operator.yaml"


@pytest.fixture(scope="module")
def server(cluster):
    """An API server that knows ServiceMonitors and the like, and has the namespaces of the values files."""
    for namespace in ("mail", "lists"):
        cluster.create_namespace(namespace)
    cluster.kubectl("apply", "-f", str(CRDS_OF_PROMETHEUS))
    names = [crd["metadata"]["name"] for crd in documents(CRDS_OF_PROMETHEUS.read_text())]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names))
    yield cluster
    cluster.kubectl("delete", "crd", *names)


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_api_server_takes_every_object(helm, server, values):
    """Hooks and all; not even a warning."""
    text = helm.text(f"--values={values}")
    give_accounts(server, NAMESPACE, *(each for each in documents(text) if each["kind"] == "Pod"))
    said = server.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-", stdin=text
    )

    assert len(said.splitlines()) == len(documents(text))


def give_accounts(cluster, namespace, *pods):
    """Make the ServiceAccounts, without which no pod is taken, even where nothing is stored."""
    for name in {pod["spec"]["serviceAccountName"] for pod in pods}:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        answer = cluster.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
        assert answer.status in (201, 409)


def put(cluster, namespace, pod):
    """Create a pod where nothing runs it; it is not stored."""
    return cluster.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod, fieldValidation="Strict", dryRun="All")


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_its_pods_are_within_the_restricted_standard(helm, cluster, values):
    """The operator's and the test's, in a namespace that enforces it."""
    namespace = cluster.new_namespace()
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    path = f"/api/v1/namespaces/{namespace}"
    cluster.ask("PATCH", path, enforce, content_type="application/merge-patch+json").expect_accepted()
    manifests = helm.render(f"--values={values}", namespace=namespace)
    template = find(manifests, "Deployment")["spec"]["template"]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": template["spec"]}]
    pods += (each for each in manifests if each["kind"] == "Pod")  # of helm test, where there is one
    give_accounts(cluster, namespace, *pods)

    assert {put(cluster, namespace, pod).expect_accepted().status for pod in pods} == {201}


def test_kustomize_installs_the_same(cluster):
    """`kubectl apply -k deploy/`, and a second time nothing changes."""
    base = ROOT / "deploy"
    try:
        first = cluster.kubectl("apply", "-k", str(base))
        again = cluster.kubectl("apply", "-k", str(base))
        deployment = cluster.kubectl("get", "deployment", "mailport-operator", f"--namespace={NAMESPACE}", "-o", "name")
    finally:  # but for the namespace, which other tests use
        for name in ("operator.yaml", "admission-policy.yaml", "inboundsmtp.yaml"):
            cluster.kubectl("delete", "-f", str(base / name), "--ignore-not-found")

    # kubectl patches a PodDisruptionBudget's selector each time (patchStrategy: replace), to the same
    changed = [line for line in again.splitlines() if not line.endswith(" unchanged")]
    assert [line for line in changed if not line.startswith("poddisruptionbudget")] == []
    assert len(first.splitlines()) == len(again.splitlines()) > 10
    assert deployment.strip() == "deployment.apps/mailport-operator"
