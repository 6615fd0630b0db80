"""The control plane that the other tests stand on: it is the real one, it can be asked as anyone, and it goes away."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube.cluster import ROOT
from tests.kube.operating import OPERATOR


def test_it_is_the_version_that_go_mod_names(cluster):
    version = cluster.ask("GET", "/version").expect_accepted().body["gitVersion"]

    assert f"k8s.io/kubernetes {version} " in (ROOT / "tools/kubernetes/go.mod").read_text()


def test_the_operators_service_account_may_do_what_rbac_grants_and_no_more(cluster, namespace):
    """A token for it needs no pod; until the chart's roles are applied that is nothing."""
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    said = cluster.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", who, user=OPERATOR)

    assert said.expect_accepted().body["status"]["userInfo"]["username"] == OPERATOR
    assert cluster.ask("GET", f"/api/v1/namespaces/{namespace}/secrets", user=OPERATOR).status == 403


def test_what_was_asked_stands_in_the_audit_log(cluster, namespace):
    """With who asked and what became of it: so writes can be counted, and verbs compared with those granted."""
    cluster.ask("GET", f"/api/v1/namespaces/{namespace}/configmaps", user=OPERATOR)

    def found() -> list[tuple[str, str, int]]:
        return [
            (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
            for event in cluster.audit(OPERATOR)
            if event.get("objectRef", {}).get("namespace") == namespace
        ]

    cluster.wait_for("the log has it", lambda: bool(found()))
    assert found() == [("list", "configmaps", 403)]


def test_controllers_collect_what_an_owner_leaves_behind(controllers, namespace):
    """The real kube-controller-manager: deleting an owner deletes what it owns."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    uid = controllers.ask("POST", path, owner).expect_accepted().body["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [reference]}}
    controllers.ask("POST", path, owned).expect_accepted()

    controllers.ask("DELETE", f"{path}/owner").expect_accepted()

    controllers.wait_for("it is collected", lambda: controllers.ask("GET", f"{path}/owned").status == 404)


def test_a_crash_of_the_api_server_loses_nothing(cluster, namespace):
    """It comes back under the same address, with what was there."""
    cluster.kill("kube-apiserver")
    with pytest.raises(OSError, match="refused"):
        cluster.ask("GET", "/readyz")

    cluster.run_again("kube-apiserver")

    cluster.ask("GET", f"/api/v1/namespaces/{namespace}").expect_accepted()


# Starts a control plane, says who its processes are, and waits
STARTING = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background shell has ignored
from pathlib import Path
from tests.kube.cluster import Cluster

cluster = Cluster(Path(sys.argv[1]))
try:
    cluster.start({})
    print(json.dumps(cluster.process_ids), flush=True)
    signal.pause()
finally:
    cluster.stop()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_process_is_left_behind(cluster, tmp_path, name):
    """Ctrl-C, and what gives nobody time to clear up."""
    with subprocess.Popen([sys.executable, "-c", STARTING, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as starting:
        try:
            pids = json.loads(starting.stdout.readline())
            assert len(pids) == 2
            assert all(is_running(pid) for pid in pids)
        finally:
            starting.send_signal(getattr(signal, name))
        starting.wait(30)

    cluster.wait_for("they are gone", lambda: not any(is_running(pid) for pid in pids))


def is_running(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_missing_program_is_named_with_what_makes_it(tmp_path):
    """One line, which a developer without them sees as the reason of the skip."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("KUBEBUILDER_ASSETS", None)
    found = subprocess.run(
        [ROOT / "tools/kube.sh", "--where", "etcd"], env=environment, capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout) == (1, "")
