"""What an InboundSmtp on a cluster stands on: Secrets, and a volume for its mail; and the mail that lies there."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailport.listener.hashes import hash_password
from mailport.listener.tls import self_signed
from mailport.operator.children.pod import GROUP_ID, USER_ID
from tests.e2e.node import Node

HOSTNAME = "mx.example.org"
_SIZE = {"storage": "1Gi"}
USER, PASSWORD = "anna@example.org", "correct horse"


def secrets() -> list[dict[str, Any]]:
    """Return the Secrets `mx-tls`, a new certificate for HOSTNAME, and `mx-users`, with USER in it."""
    chain, key = self_signed(HOSTNAME, datetime.now(UTC))
    pair = {"tls.crt": chain.decode(), "tls.key": key.decode()}
    users = {"htpasswd": f"{USER}:{hash_password(PASSWORD)}\n"}
    return [_secret("mx-tls", "kubernetes.io/tls", pair), _secret("mx-users", "Opaque", users)]


def _secret(name: str, kind: str, values: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": values}


def provide_volume(node: Node, namespace: str, claim: str, folder: Path, access_mode: str = "ReadWriteOnce") -> None:
    """Make a volume, which is a folder of this machine, and a claim that a controller binds to it."""
    both = {"accessModes": [access_mode], "storageClassName": namespace}
    # First: a claim that comes before its volume is looked at again after 15 s
    _provide(node, "PersistentVolume", f"{namespace}-{claim}", _volume(folder) | both, "Available")
    claimed = {**both, "resources": {"requests": _SIZE}}
    _provide(node, "PersistentVolumeClaim", claim, claimed, "Bound", namespace)


def provide_default_volume(node: Node, name: str, folder: Path) -> None:
    """Make a volume for the next claim that names no StorageClass."""
    _provide(node, "PersistentVolume", name, _volume(folder) | {"accessModes": ["ReadWriteOnce"]}, "Available")


def _volume(folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    # The kubelet sees to these on volumes of most kinds, but not on this
    os.chown(folder, USER_ID, GROUP_ID)
    folder.chmod(0o2775)
    return {"capacity": _SIZE, "hostPath": {"path": str(folder), "type": "Directory"}}


def _provide(node: Node, kind: str, name: str, spec: dict[str, Any], phase: str, namespace: str = "default") -> None:
    node.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}, namespace=namespace)
    until = f"--for=jsonpath={{.status.phase}}={phase}"
    node.kubectl("wait", f"{kind}/{name}", until, f"--namespace={namespace}", "--timeout=50s")


def messages(folder: Path, address: str) -> list[bytes]:
    """Return what lies in a mailbox of a volume, oldest first."""
    local, _, domain = address.rpartition("@")
    new = folder / domain / local / "new"
    return [path.read_bytes() for path in sorted(new.glob("*"), key=lambda path: path.stat().st_mtime_ns)]
