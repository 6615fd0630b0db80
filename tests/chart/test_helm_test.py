"""What `helm test` runs in a pod, run here: with the ServiceAccount's token, on a real API server, to a real listener.

The operator's part is played by the test: it says of the InboundSmtp what the test wants it to say. tests/e2e run all
of it in the cluster.
"""

import ast
import importlib.util
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mailport.operator.kinds import INBOUND_SMTP
from tests.chart.charts import CHART, NAMESPACE, find
from tests.serving import free_port, serving

SCRIPT = CHART / "files/send_a_message.py"
NAME = "mailport-test"
WATCHED = "test-of-the-chart"  # where the operator looks; the release is elsewhere
SECONDS = 10


@pytest.fixture(scope="module")
def account(helm, cluster, tmp_path_factory):
    """The test's rights as the chart gives them, and a token as a pod gets it."""
    cluster.install_crd()
    cluster.create_namespace(WATCHED)
    values = f"watchNamespaces={{{WATCHED}}},imagePullSecrets[0].name=registry,openshift=true"
    manifests = helm.render("--show-only=templates/tests/send-a-message.yaml", f"--set={values}")
    text = yaml.safe_dump_all(manifest for manifest in manifests if manifest["kind"] != "Pod")
    cluster.kubectl("apply", "-f", "-", stdin=text)
    folder = tmp_path_factory.mktemp("account")
    (folder / "token").write_text(cluster.kubectl("create", "token", NAME, f"--namespace={NAMESPACE}").strip())
    (known,) = json.loads(cluster.kubeconfig.read_text())["clusters"]
    (folder / "ca.crt").write_bytes(Path(known["cluster"]["certificate-authority"]).read_bytes())
    yield SimpleNamespace(folder=folder, arguments=find(manifests, "Pod")["spec"]["containers"][0]["args"])
    cluster.kubectl("delete", "-f", "-", stdin=text)
    cluster.kubectl("delete", "crd", INBOUND_SMTP.plural + "." + INBOUND_SMTP.group)


@pytest.fixture
def script(account, cluster, monkeypatch):
    """The script, as it is in the pod but for where it finds what a kubelet gives it."""
    spec = importlib.util.spec_from_file_location("send_a_message", SCRIPT)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    monkeypatch.setattr(loaded, "CREDENTIALS", account.folder)
    host, _, port = cluster.url.removeprefix("https://").rpartition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    before = signal.getsignal(signal.SIGTERM)
    yield loaded
    signal.signal(signal.SIGTERM, before)


@contextmanager
def operator_that_says(cluster, **condition) -> Iterator[list[dict]]:
    """Write a condition into the InboundSmtp as soon as it is there; collect what was applied."""
    seen, stopping = [], threading.Event()
    path = INBOUND_SMTP.path(WATCHED, NAME)

    def run():
        while not stopping.wait(0.05):
            found = cluster.ask("GET", path)
            if not found.accepted or "status" in found.body:
                continue
            seen.append(found.body)
            ready = {"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z", **condition}
            status = {"status": {"conditions": [{"type": "Ready", **ready}]}}
            cluster.ask("PATCH", f"{path}/status", status, content_type="application/merge-patch+json")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        stopping.set()
        thread.join()


READY = {"status": "True", "reason": "Ready", "message": "1 of 1 replicas serve"}


def is_gone(cluster):
    return cluster.ask("GET", INBOUND_SMTP.path(WATCHED, NAME)).status == 404


@pytest.fixture
def listener(script, tmp_path):
    with serving(tmp_path, {"routes": script.SPEC["routes"]}) as running:
        yield running


def test_a_message_is_taken_and_nothing_stays(script, account, cluster, listener, capfd):
    """With the arguments that the pod has, but for the name of the Service, which no DNS here knows."""
    _, namespace, name, server, seconds, pod = account.arguments
    with operator_that_says(cluster, **READY) as seen:
        status = script.main(namespace, name, f"127.0.0.1:{listener.port}", seconds, pod)
    applied = script.gateway(f"127.0.0.1:{listener.port}", {"imagePullSecrets": [{"name": "registry"}]})

    assert (namespace, name, server, seconds) == (WATCHED, NAME, f"{NAME}.{WATCHED}.svc:2525", "120")
    assert status == 0, capfd.readouterr().out
    assert listener.logged(event="message", result="accepted", recipients=["test@example.org"])
    assert [each["spec"] for each in seen] == [applied]
    assert applied["pod"]["imagePullSecrets"] == [{"name": "registry"}]
    assert is_gone(cluster)


def test_what_a_test_that_was_killed_left_behind_is_replaced(script, cluster, listener):
    """Its status too: of another object, it says nothing."""
    applied = script.gateway(f"127.0.0.1:{listener.port}", {})
    document = {**script.KIND, "metadata": {"name": NAME}, "spec": {**applied, "replicas": 2}}
    cluster.ask("POST", INBOUND_SMTP.path(WATCHED), document).expect_accepted()
    with operator_that_says(cluster, **READY) as seen:
        status = script.main(WATCHED, NAME, f"127.0.0.1:{listener.port}", str(SECONDS), "{}")

    assert status == 0
    assert seen[-1]["spec"] == applied
    assert is_gone(cluster)


def test_a_gateway_that_does_not_get_ready_fails_with_what_the_operator_says(script, cluster, capfd):
    """And is deleted all the same."""
    why = {"status": "False", "reason": "NoReplicaReady", "message": "ImagePullBackOff"}
    with operator_that_says(cluster, **why):
        status = script.main(WATCHED, NAME, "127.0.0.1:1", "2", "{}")

    assert status == 1
    assert (
        "failed: not ready in time; last seen: Ready=False, NoReplicaReady: ImagePullBackOff" in capfd.readouterr().out
    )
    assert is_gone(cluster)


def test_the_status_of_an_older_generation_is_not_believed(script, cluster, capfd):
    """It may say Ready of what was before."""
    with operator_that_says(cluster, **READY, observedGeneration=0):
        status = script.main(WATCHED, NAME, "127.0.0.1:1", "2", "{}")

    assert status == 1
    assert "last seen: no status yet" in capfd.readouterr().out


def test_a_message_that_is_not_taken_fails_with_the_conversation(script, cluster, capfd):
    """After as many tries as there is time for."""
    with operator_that_says(cluster, **READY):
        status = script.main(WATCHED, NAME, f"127.0.0.1:{free_port()}", "3", "{}")

    assert status == 1
    assert "failed: not taken in time; last seen: mailport send: 127.0.0.1:" in capfd.readouterr().out
    assert is_gone(cluster)


def test_it_may_do_no_more_than_it_needs(script):
    """Not even look at another InboundSmtp."""
    for path in (INBOUND_SMTP.path(WATCHED, "mx"), INBOUND_SMTP.path(NAMESPACE, NAME), "/api/v1/namespaces/default"):
        with pytest.raises(script.Failed, match="403"):
            script.ask("GET", path)


def test_the_image_has_all_that_it_needs():
    """Python's own library, and mailport as a command."""
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in ([ast.alias(node.module)] if isinstance(node, ast.ImportFrom) else node.names)
    }

    assert imported <= sys.stdlib_module_names
