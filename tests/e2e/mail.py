"""What an InboundSmtp on a cluster stands on: Secrets, and a volume for its mail; and the mail that lies there."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailport.listener.hashes import hash_password
from mailport.listener.tls import self_signed
from mailport.operator.pod import GROUP_ID, USER_ID
from tests.e2e.node import Node

HOSTNAME = "mx.example.org"
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
    folder.mkdir(exist_ok=True)
    # The kubelet sees to these on volumes of most kinds, but not on this
    os.chown(folder, USER_ID, GROUP_ID)
    folder.chmod(0o2775)
    size = {"storage": "1Gi"}
    both = {"accessModes": [access_mode], "storageClassName": namespace}
    volume = {**both, "capacity": size, "hostPath": {"path": str(folder), "type": "Directory"}}
    claimed = {**both, "resources": {"requests": size}}
    for kind, name, spec, phase in (
        # In this order: a claim that comes before its volume is looked at again after 15 s
        ("PersistentVolume", f"{namespace}-{claim}", volume, "Available"),
        ("PersistentVolumeClaim", claim, claimed, "Bound"),
    ):
        node.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}, namespace=namespace)
        until = f"--for=jsonpath={{.status.phase}}={phase}"
        node.kubectl("wait", f"{kind}/{name}", until, f"--namespace={namespace}", "--timeout=50s")


def messages(folder: Path, address: str) -> list[bytes]:
    """Return what lies in a mailbox of a volume, oldest first."""
    local, _, domain = address.rpartition("@")
    new = folder / domain / local / "new"
    return [path.read_bytes() for path in sorted(new.glob("*"), key=lambda path: path.stat().st_mtime_ns)]
