"""The node that the other tests stand on: who reaches whom."""

import json
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.configuration import API_SERVER
from tests.e2e.machine import HOST, HOST_6
from tests.e2e.node import Node

# One that the restricted standard takes
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "tests"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "python",
                "command": ["python3", "-c", "import signal; signal.pause()"],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def place(node: Node) -> Iterator[str]:
    """The namespace of a pod that waits."""
    pod = json.loads(json.dumps(POD))
    pod["spec"]["containers"][0]["image"] = node.image
    with node.namespace() as namespace:
        node.wait_for_service_account(namespace)
        node.apply(pod, namespace=namespace)
        node.kubectl("wait", "pod/tests", "--for=condition=Ready", f"--namespace={namespace}", "--timeout=50s")
        yield namespace


def python(node: Node, namespace: str, program: str) -> str:
    return node.exec(namespace, "tests", "python3", "-c", program).strip()


def test_it_refuses_a_pod_that_may_become_root(node, namespace):
    """So what runs in the namespaces of these tests runs within the restricted standard."""
    node.wait_for_service_account(namespace)
    pod = json.loads(json.dumps(POD))
    pod["spec"]["securityContext"]["runAsNonRoot"] = False
    pod["spec"]["containers"][0]["image"] = node.image

    with pytest.raises(AssertionError, match='violates PodSecurity "restricted:latest"'):
        node.apply(pod, namespace=namespace)


def test_a_pod_reaches_the_api_server_as_its_service_account(node, place):
    """By the address in its environment, and trusting the certificate in its token's volume."""
    said = python(
        node,
        place,
        "import json, os, ssl, urllib.request\n"
        "folder = '/var/run/secrets/kubernetes.io/serviceaccount'\n"
        "host = os.environ['KUBERNETES_SERVICE_HOST']\n"
        "request = urllib.request.Request(f'https://{host}/version',"
        " headers={'Authorization': 'Bearer ' + open(f'{folder}/token').read()})\n"
        "context = ssl.create_default_context(cafile=f'{folder}/ca.crt')\n"
        "print(host, json.load(urllib.request.urlopen(request, context=context))['gitVersion'])\n",
    )

    assert said.split() == [API_SERVER, node.ask("GET", "/version").body["gitVersion"]]


@pytest.mark.parametrize("family, address", [(socket.AF_INET, HOST), (socket.AF_INET6, HOST_6)], ids=["IPv4", "IPv6"])
def test_a_pod_reaches_what_a_test_serves(node, place, family, address):
    """Under the pod's own address, so a test can tell who came."""
    with socket.create_server((address, 0), family=family) as serving:
        serving.settimeout(30)
        port = serving.getsockname()[1]
        python(node, place, f"import socket; socket.create_connection(({address!r}, {port}), 20).close()")
        connection, (peer, *_) = serving.accept()
        connection.close()

    assert {"ip": peer} in node.get("pod", "tests", place)["status"]["podIPs"]


def test_what_is_not_its_own_is_out_of_reach(node, place):
    """At once, and not after a time-out: what asks a name server or the world does not hang here."""
    said = python(
        node,
        place,
        "import socket, time\n"
        "begin = time.monotonic()\n"
        "for what in (lambda: socket.create_connection(('203.0.113.1', 80), 20),"
        " lambda: socket.getaddrinfo('example.org', 25)):\n"
        "    try: what()\n"
        "    except OSError as error: print(type(error).__name__)\n"
        "print(time.monotonic() - begin < 5)\n",
    )

    assert said.split() == ["OSError", "gaierror", "True"]


def test_a_pods_network_can_be_entered(node, place):
    """By programs of this machine, of which the image has none."""
    inside = node.inside_pod(place, "tests", "ip", "-oneline", "address")
    said = subprocess.run(inside, capture_output=True, text=True, check=True).stdout

    for each in node.get("pod", "tests", place)["status"]["podIPs"]:
        assert f" {each['ip']}/" in said


def test_a_second_tag_is_the_same_image(node):
    """Which a pod can be rolled to."""
    other = node.tag_image("e2e-same")
    digests = {row.split()[0]: row.split()[2] for row in node.ctr("images", "list").splitlines()[1:]}

    assert digests[other] == digests[node.image]
