"""What authors ask for and administrators allow, on a node: NetworkPolicies that are enforced, users that the platform
chooses, further volumes and variables."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.machine import HOST
from tests.e2e.release import SYSTEM, Gateway, answers, gateway, send
from tests.kube.cluster import ROOT

CLOSED = 2999  # where nobody listens
OUTCOME = (
    "import socket, sys\n"
    "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()\n"
    "except ConnectionRefusedError: print('refused')\n"
    "except TimeoutError: print('dropped')\n"
    "else: print('open')\n"
)


@pytest.fixture
def mx(release, tmp_path: Path) -> Iterator[Gateway]:
    """A namespace of the restricted standard, for a gateway."""
    with gateway(release.node, tmp_path / "mail") as made:
        yield made


def outcome(address: str, port: int, *, inside: list[str] | None = None) -> str:
    """Say what becomes of a connection: open, refused by the other side itself, or dropped on the way."""
    command = [*(inside or []), sys.executable, "-c", OUTCOME, address, str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def test_a_managed_network_policy_lets_in_the_listeners_ports_and_the_admin_port(mx):
    """From anywhere, in both families. What goes elsewhere is dropped, that the pod itself answered before.

    The admin port is open at the pod's first address, and there alone.
    """
    mx.apply()
    mx.wait()
    (pod,) = mx.pods()
    addresses = [each["ip"] for each in pod["status"]["podIPs"]]

    def outcomes(*ports: int) -> list[list[str]]:
        return [[outcome(address, port) for port in ports] for address in addresses]

    before = outcomes(25, 8080, CLOSED)
    mx.apply(networkPolicy="Managed")
    mx.wait()
    for address in addresses:
        mx.node.wait_for("it is enforced", lambda address=address: outcome(address, CLOSED) == "dropped", 30)

    assert before == [["open", "open", "refused"], ["open", "refused", "refused"]]
    assert outcomes(25, 8080) == [["open", "open"], ["open", "refused"]]
    assert [each["metadata"]["uid"] for each in mx.pods()] == [pod["metadata"]["uid"]]
    send((addresses[0], 25), "behind-a-policy@example.org")
    assert len(mx.messages("behind-a-policy@example.org")) == 1


def test_a_managed_network_policy_holds_for_pods_of_the_same_node(release, mx):
    """The operator's, say, whose connections never leave the bridge."""
    mx.apply(networkPolicy="Managed")
    mx.wait()
    (pod,) = mx.pods()
    address = pod["status"]["podIP"]
    inside = mx.node.inside_pod(SYSTEM, release.pods()[0])
    mx.node.wait_for("it is enforced", lambda: outcome(address, CLOSED, inside=inside) == "dropped", 30)

    assert [outcome(address, port, inside=inside) for port in (25, 8080)] == ["open", "open"]


def test_the_operator_works_behind_the_charts_own_network_policy(release, mx):
    """It reaches the API server and the listeners' admin ports, and nothing else of its reaches out."""
    port = release.node.url.rpartition(":")[2]
    with socket.create_server((HOST, 0)) as elsewhere:

        def reaches_out(pod: str) -> str:
            inside = release.node.inside_pod(SYSTEM, pod)
            return outcome(HOST, elsewhere.getsockname()[1], inside=inside)

        before = [reaches_out(pod) for pod in release.pods()]
        release.install("networkPolicy.enabled=true", f"networkPolicy.apiServerPorts={{443,{port}}}")
        try:
            pods = release.pods()
            for pod in pods:
                release.node.wait_for("it is enforced", lambda pod=pod: reaches_out(pod) == "dropped", 30)
            mx.apply()
            mx.wait()
            mx.until("ConfigLive", "Live")
            mx.apply(limits={"maxErrors": 7})
            mx.wait()
            mx.until("ConfigLive", "Live")

            assert set(before) == {"open"}
            assert release.pods() == pods
        finally:
            release.install("networkPolicy.enabled=false")


def test_a_user_that_the_platform_chose_takes_mail_by_way_of_another_port(release, mx):
    """As the chart's README has it for OpenShift: a Service of one's own leads 25 to a port that any user may bind."""
    page = (ROOT / "helm/mailport/README.md").read_text()
    block = re.search(r"```yaml\n(  apiVersion: mailport.dev.+?kind: Service.+?)  ```", page, re.DOTALL)[1]
    document, service = yaml.safe_load_all(re.sub("^  ", "", block, flags=re.MULTILINE))
    service["spec"] |= {"type": "ClusterIP"}  # nobody hands out addresses here
    del service["spec"]["externalTrafficPolicy"]
    release.install("openshift=true")
    try:
        mx.node.apply(json.dumps(document), json.dumps(service), namespace=mx.namespace)
        mx.until("Ready", "Ready")
        (pod,) = mx.pods()
        place = mx.node.cluster_ip(mx.namespace, "mx-public"), 25
        mx.node.wait_for("kube-proxy has heard of it", lambda: answers(place), 10)
        send(place, "anna@example.org")

        assert "runAsUser" not in pod["spec"]["securityContext"]
        assert "sysctls" not in pod["spec"]["securityContext"]
        assert len(mx.messages("anna@example.org")) == 1
    finally:
        release.install("openshift=false")


def test_variables_and_volumes_that_are_allowed_are_in_the_pod(release, mx):
    """Within the restricted standard, and beside what the listener has; the root stays read-only."""
    release.install("allow={nodePort,env,volumes,volumeMounts,dnsConfig}")
    try:
        mx.apply(
            pod={
                "env": [
                    {"name": "TZ", "value": "Europe/Berlin"},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                ],
                "volumes": [
                    {"name": "room", "emptyDir": {"sizeLimit": "1Mi"}},
                    {
                        "name": "identity",
                        "projected": {
                            "sources": [{"serviceAccountToken": {"audience": "sts.example.org", "path": "token"}}]
                        },
                    },
                ],
                "volumeMounts": [
                    {"name": "room", "mountPath": "/srv/room"},
                    {"name": "identity", "mountPath": "/var/run/secrets/tokens", "readOnly": True},
                ],
                "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
            }
        )
        mx.wait()
        (pod,) = mx.pods()
        program = (
            "import os, pathlib\n"
            "pathlib.Path('/srv/room/x').write_text('x')\n"
            "print(os.environ['TZ'], os.environ['NODE'], len(open('/var/run/secrets/tokens/token').read()) > 100,"
            " 'ndots:1' in open('/etc/resolv.conf').read(), os.access('/srv', os.W_OK))\n"
        )
        said = mx.node.exec(mx.namespace, pod["metadata"]["name"], "python3", "-c", program)

        assert said.split() == ["Europe/Berlin", pod["spec"]["nodeName"], "True", "True", "False"]
    finally:
        release.install()
