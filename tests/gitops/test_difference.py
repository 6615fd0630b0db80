"""What is read back is what was applied: no GitOps tool sees a difference, and none has to be told to ignore one."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mailport.contract import yaml_text
from tests.kube.cluster import Cluster, program
from tests.operator.making import CORPUS, EVERYTHING_ALLOWED, MINIMAL, ROOT
from tests.tables import table

DOCUMENTS = {
    path.stem: path for path in (*CORPUS, *sorted((ROOT / "tests/operator/children/documents").glob("*.yaml")))
}
OPERATOR_OPTIONS = (f"--allow={EVERYTHING_ALLOWED}",)  # else it would have nothing to do with some of them

WAYS = table({"client-side": ((),), "server-side": (("--server-side", "--force-conflicts"),)})  # by force as Flux does
OF_THE_SERVER = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}  # in metadata
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # of a client that works out what has changed
QUIET_SECONDS = 1


class Applied(NamedTuple):
    """InboundSmtps of one file, as kubectl applies it."""

    cluster: Cluster
    options: tuple[str, ...]
    documents: dict[str, dict[str, Any]]
    file: Path

    def apply(self) -> None:
        self.cluster.kubectl("apply", *self.options, f"--filename={self.file}")

    def delete(self) -> None:
        self.cluster.kubectl("delete", "--wait=false", f"--filename={self.file}")

    def diff(self) -> str:
        """Return what an `apply` would change, as kubectl has it from the API server."""
        command = [program("kubectl"), f"--kubeconfig={self.cluster.kubeconfig}", "diff", *self.options]
        done = subprocess.run(
            [*command, f"--cache-dir={self.cluster.folder / 'kubectl'}", f"--filename={self.file}"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        assert (done.returncode == 1) == bool(done.stdout)
        return done.stdout

    def read(self, name: str) -> dict[str, Any]:
        metadata = self.documents[name]["metadata"]
        path = "/apis/mailport.dev/v1alpha1/namespaces/{namespace}/inboundsmtps/{name}".format(**metadata)
        return self.cluster.ask("GET", path).expect_accepted().body

    def versions(self) -> dict[str, str]:
        return {name: self.read(name)["metadata"]["resourceVersion"] for name in self.documents}

    def wait_until_settled(self) -> None:
        """Wait until the operator has looked at each, and has written nothing more for a moment."""
        self.cluster.wait_for("all have been looked at", lambda: all(map(self._was_looked_at, self.documents)), 60)
        seen, since = self.versions(), time.monotonic()

        def nothing_changes() -> bool:
            nonlocal seen, since
            if (now := self.versions()) != seen:
                seen, since = now, time.monotonic()
            return time.monotonic() - since > QUIET_SECONDS

        self.cluster.wait_for("nothing changes any more", nothing_changes, 60)

    def _was_looked_at(self, name: str) -> bool:
        conditions = self.read(name).get("status", {}).get("conditions", ())
        return any(each["type"] == "Ready" and each["reason"] != "Pending" for each in conditions)


def applied(
    cluster: Cluster, folder: Path, options: tuple[str, ...], documents: dict[str, dict[str, Any]]
) -> Iterator[Applied]:
    """Apply documents, each in a namespace of its own as two of them may have one name, for as long as it is needed."""
    placed = {
        name: document | {"metadata": document["metadata"] | {"namespace": cluster.new_namespace()}}
        for name, document in documents.items()
    }
    file = folder / "gateways.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(placed.values())}))
    found = Applied(cluster, options, placed, file)
    found.apply()
    found.wait_until_settled()
    yield found
    found.delete()


@pytest.fixture(scope="module", params=WAYS)
def all_documents(request, operator, cluster, tmp_path_factory):
    documents = {name: next(iter(yaml_text.read(path.read_bytes()))) for name, path in DOCUMENTS.items()}
    # The contract's example has one. It is not taken from there, and a second server-side apply makes a version of that
    documents["contract"].pop("status")
    yield from applied(cluster, tmp_path_factory.mktemp("documents"), request.param, documents)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_read_back_is_what_was_applied(all_documents, name):
    """But for the status, what the API server writes into metadata, and replicas, which the scale subresource needs."""
    document, found = all_documents.documents[name], all_documents.read(name)
    metadata = {field: value for field, value in found["metadata"].items() if field not in OF_THE_SERVER}
    annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key != LAST_APPLIED}

    assert metadata | ({"annotations": annotations} if annotations else {}) == document["metadata"]
    assert found["spec"] == {"replicas": 1} | document["spec"]
    assert found.keys() == {"apiVersion", "kind", "metadata", "spec", "status"}


def test_nothing_differs_while_the_operator_runs(all_documents):
    """`kubectl diff`, which asks the API server, and so what Argo CD and Flux find who ask it likewise."""
    assert all_documents.diff() == ""


def test_applying_again_changes_nothing(all_documents):
    """Not a resourceVersion: nobody who watches is told of anything."""
    before = all_documents.versions()
    all_documents.apply()

    assert all_documents.versions() == before


@pytest.fixture(params=WAYS)
def two(request, operator, cluster, tmp_path):
    """One that says how many replicas it wants, and one that does not."""
    minimal = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": "mx"},
        "spec": MINIMAL,
    }
    documents = {"said": minimal | {"spec": MINIMAL | {"replicas": 2}}, "left out": minimal}
    yield from applied(cluster, tmp_path, request.param, documents)


def test_replicas_that_are_left_out_belong_to_whoever_scales(two):
    """A HorizontalPodAutoscaler of your own, say, or KEDA; those that are said are a difference, and are put back."""
    for name, document in two.documents.items():
        namespace = document["metadata"]["namespace"]
        two.cluster.kubectl("scale", "inboundsmtp/mx", "--replicas=3", f"--namespace={namespace}")
        assert two.read(name)["spec"]["replicas"] == 3
    two.wait_until_settled()

    changes = [line for line in two.diff().splitlines() if line[:1] in "+-" and "replicas" in line]
    assert changes == ["-  replicas: 3", "+  replicas: 2"]
