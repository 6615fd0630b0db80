"""Mail to a program in the cluster: the receiver of examples/webhook in a pod, behind a Service, signed."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deliver.webhook.test_document import VALIDATOR
from tests.e2e.release import Gateway, Release, gateway, send
from tests.e2e.test_destinations import SECRET_SECONDS, SHOWS_SECONDS, put, put_off, route, shows
from tests.kube.cluster import ROOT

OLD, NEW = (f"whsec_{b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
PORT = 8080
NAME = "tickets"


@pytest.fixture
def mx(release: Release, tmp_path: Path) -> Iterator[Gateway]:
    """A namespace of the restricted standard, for a gateway."""
    with gateway(release.node, tmp_path / "mail") as made:
        yield made


def receiver(mx: Gateway, key: str) -> list[dict[str, Any]]:
    """Return what a program that takes mail is in a cluster."""
    names = {"metadata": {"name": NAME, "labels": {"app": NAME}}}
    container = {
        "name": "receiver",
        "image": mx.node.image,  # for the Python in it
        "command": ["python3", "/program/receiver.py", str(PORT), "/received"],
        "env": [{"name": "WEBHOOK_KEY", "value": key}],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "program", "mountPath": "/program"}, {"name": "received", "mountPath": "/received"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": NAME}}, {"name": "received", "emptyDir": {}}],
    }
    program = (ROOT / "examples/webhook/receiver.py").read_text()
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", **names, "data": {"receiver.py": program}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            **names,
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": PORT}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            **names,
            "spec": {
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": {"app": NAME}},
                "template": {"metadata": {"labels": {"app": NAME}}, "spec": pod},
            },
        },
    ]


def received(mx: Gateway) -> list[dict[str, Any]]:
    """Return the documents that lie in the receiver's pod."""
    (pod,) = (pod for pod in mx.node.pods(mx.namespace, f"app={NAME}") if "deletionTimestamp" not in pod["metadata"])
    read = "import glob, json; print(json.dumps([json.load(open(one)) for one in glob.glob('/received/*.json')]))"
    return list(json.loads(mx.node.exec(mx.namespace, pod["metadata"]["name"], "python3", "-c", read)))


def test_a_program_in_the_cluster_takes_mail(mx: Gateway):
    """By its Service's name. While it is away that is said, and mail waits; a key is changed without a restart."""
    put(mx, "Secret", "hook", key=OLD)
    url = f"http://{NAME}.{mx.namespace}.svc/inbound"
    begin = mx.apply(
        **route(webhook={"url": url, "format": "JSON", "signingSecretRef": {"name": "hook", "key": "key"}})
    )
    shows(mx, "route onward:", begin, SHOWS_SECONDS)
    mx.wait()
    assert mx.condition("DestinationsReachable")["reason"] == "Unreachable"
    assert put_off(mx)

    mx.node.apply(*receiver(mx, OLD), namespace=mx.namespace)
    mx.node.wait_until_available(mx.namespace, NAME)
    mx.node.wait_for("mail goes through", lambda: not put_off(mx), 90)
    mx.until("DestinationsReachable", "Reachable", 90)
    send(mx.service(), "anna@example.org", "by-webhook")
    document = next(one for one in received(mx) if one["subject"] == "by-webhook")
    VALIDATOR.validate(document)
    assert document["envelope"]["recipients"] == ["anna@example.org"]

    before = mx.starts()
    mx.node.apply(*receiver(mx, NEW), namespace=mx.namespace)
    mx.node.wait_until_available(mx.namespace, NAME)
    mx.node.wait_for("the old key is turned away", lambda: put_off(mx), 60)
    put(mx, "Secret", "hook", key=f"{NEW}\n{OLD}\n")
    mx.node.wait_for("the new key signs", lambda: not put_off(mx), SECRET_SECONDS)
    assert mx.starts() == before
    for pod in mx.pods():
        log = mx.node.logs(mx.namespace, pod["metadata"]["name"])
        assert OLD.removeprefix("whsec_") not in log
        assert NEW.removeprefix("whsec_") not in log
