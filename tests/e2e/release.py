"""The operator, installed by the chart, and InboundSmtps that it serves."""

import os
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import mail
from tests.e2e.node import Node
from tests.kube.cluster import ROOT, program

CHART = ROOT / "helm/mailport"
RELEASE = "mailport"
SYSTEM = "mailport-system"
OPERATOR = f"{RELEASE}-operator"
NAME = "mx"
LIVE_SECONDS = 5  # from `kubectl apply` to what clients see


class Release:
    """The chart, installed once for all tests, and upgraded by some."""

    def __init__(self, node: Node) -> None:
        self.node = node
        repository, _, tag = node.image.rpartition(":")
        self._values = [
            "image.registry=",  # the node has it
            f"image.repository={repository}",
            f"image.tag={tag}",
            "allow={loadBalancer,nodePort}",
        ]

    def install(self, *values: str) -> None:
        """Install or upgrade it with these values beside those of all tests, and wait until it runs."""
        settings = [f"--set={value}" for value in (*self._values, *values)]
        options = [f"--namespace={SYSTEM}", "--create-namespace", "--wait", "--timeout=120s"]
        self.helm("upgrade", "--install", RELEASE, str(CHART), *options, *settings)

    def uninstall(self) -> None:
        self.helm("uninstall", RELEASE, f"--namespace={SYSTEM}", "--wait")

    def helm(self, *arguments: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.node.kubeconfig)}
        done = subprocess.run(
            [program("helm"), *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{self._state()}"
        return done.stdout

    def pods(self) -> list[str]:
        """Return the operator's pods that are not on their way out."""
        found = self.node.pods(SYSTEM, "app.kubernetes.io/component=operator")
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def _state(self) -> str:
        told = [self.node.kubectl("get", "all,events", f"--namespace={SYSTEM}", "--output=wide")]
        told += [self.node.logs(SYSTEM, pod, "--tail=30") for pod in self.pods()]
        return "\n".join(told)


@dataclass
class Gateway:
    """An InboundSmtp in a namespace, its mail on a volume."""

    node: Node
    namespace: str
    folder: Path

    def apply(self, **spec: Any) -> float:
        """Apply the smallest one that takes mail, with these fields; return when (monotonic)."""
        document = {
            "apiVersion": "mailport.dev/v1alpha1",
            "kind": "InboundSmtp",
            "metadata": {"name": NAME},
            "spec": {
                "hostname": mail.HOSTNAME,
                "listeners": [{"name": "smtp", "port": 25}],
                "service": {"type": "NodePort"},
                "limits": {"shutdownDelaySeconds": 5, "drainSeconds": 30},
                "routes": [
                    {
                        "name": "mailboxes",
                        "recipients": ["*@example.org"],
                        "deliver": {"maildir": {"claimName": "mail"}},
                    }
                ],
                **spec,
            },
        }
        self.node.apply(document, namespace=self.namespace)
        return time.monotonic()

    def wait(self, condition: str = "Ready", seconds: int = 90) -> None:
        """Wait with kubectl, as a person would, for the generation that is there now."""
        generation = self.get()["metadata"]["generation"]
        self.node.wait_for(
            f"{condition} is known for generation {generation}: {self.conditions()}",
            lambda: self.condition(condition).get("observedGeneration") == generation,
            seconds,
        )
        self.kubectl("wait", f"inboundsmtp/{NAME}", f"--for=condition={condition}", f"--timeout={seconds}s")
        if self.get()["spec"].get("service", {}).get("type") != "None":
            self.node.wait_for("kube-proxy has heard of it", lambda: answers(self.service()), 10)

    def get(self) -> dict[str, Any]:
        return self.node.get("inboundsmtp", NAME, self.namespace)

    def conditions(self) -> dict[str, str]:
        found = self.get().get("status", {}).get("conditions", ())
        return {each["type"]: f"{each['status']} {each['reason']}: {each['message']}" for each in found}

    def condition(self, kind: str) -> dict[str, Any]:
        found = self.get().get("status", {}).get("conditions", ())
        return next((each for each in found if each["type"] == kind), {})

    def until(self, kind: str, reason: str, seconds: float = 60) -> None:
        self.node.wait_for(
            f"{kind} is {reason}: {self.conditions()}", lambda: self.condition(kind).get("reason") == reason, seconds
        )

    def pods(self) -> list[dict[str, Any]]:
        """Return its pods that are not on their way out."""
        found = self.node.pods(self.namespace, f"mailport.dev/inboundsmtp={NAME}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def starts(self) -> dict[str, int]:
        """Return which pods have begun, and how often each has anew."""
        begun = (pod for pod in self.pods() if "containerStatuses" in pod["status"])
        return {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in begun}

    def service(self, port: int = 25) -> tuple[str, int]:
        return self.node.cluster_ip(self.namespace, NAME), port

    def node_port(self, name: str = "smtp") -> tuple[str, int]:
        return self.node.address, self.node.node_port(self.namespace, NAME, name)

    def messages(self, address: str) -> list[bytes]:
        return mail.messages(self.folder, address)

    def kubectl(self, *arguments: str) -> str:
        return self.node.kubectl(*arguments, f"--namespace={self.namespace}")


@contextmanager
def gateway(
    node: Node, folder: Path, *, access_mode: str = "ReadWriteMany", privileged: bool = False
) -> Iterator[Gateway]:
    """Make a namespace with Secrets and a volume in it, for a gateway."""
    with node.namespace() as namespace:
        if privileged:
            label = "pod-security.kubernetes.io/enforce=privileged"
            node.kubectl("label", "--overwrite", "namespace", namespace, label)
        mail.provide_volume(node, namespace, "mail", folder, access_mode)
        node.apply(*mail.secrets(), namespace=namespace)
        yield Gateway(node, namespace, folder)


def answers(place: tuple[str, int]) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(place, 2).close()
    except OSError:
        return False
    return True


def connect(place: tuple[str, int], *, tls: bool = False) -> smtplib.SMTP:
    """Connect to a listener, and begin TLS by STARTTLS where asked."""
    server = smtplib.SMTP(*place, timeout=20)
    server.ehlo()
    if tls:
        server.starttls(context=anybody())
        server.ehlo()
    return server


def anybody() -> ssl.SSLContext:
    """Return a context that trusts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def send(place: tuple[str, int], recipient: str, text: str = "hello", *, tls: bool = False) -> None:
    """Send a message. An error where anything of it is refused."""
    with connect(place, tls=tls) as server:
        refused = server.sendmail("sender@example.net", [recipient], f"Subject: {text}\r\n\r\n{text}\r\n")
        assert refused == {}


def seconds_until(what: str, happens: Any, begin: float, bound: float = LIVE_SECONDS) -> float:
    """Wait until something is so that was asked for at `begin`; return the seconds. An error after the bound."""
    while not happens():
        assert time.monotonic() - begin < bound, f"not within {bound} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begin
