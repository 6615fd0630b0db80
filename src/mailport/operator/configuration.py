"""PURE. The listener's configuration: what it needs of an InboundSmtp, as the bytes of a ConfigMap's one key.

These bytes are an InboundSmtp too, read by the same model and rules. So what rules.py compares with another field goes
along with it (`pod.adminPort`), or stays behind with it (`nodePort`, which needs `service.type`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from mailport import quantity
from mailport.model import InboundSmtp
from mailport.operator import metadata
from mailport.operator.metadata import Manifest

KEY = "inboundsmtp.json"
MAX_BYTES = quantity.MI  # of a ConfigMap's data: MaxSecretSize, which the API server holds ConfigMaps to as well

SPEC_FIELDS = (
    "hostname",
    "postmaster",
    "listeners",  # without nodePort
    "tls",
    "auth",
    "limits",
    "messageSize",
    "content",
    "access",
    "network",
    "routes",
    "pod",  # adminPort only: no listener may have it
)


def render(gateway: InboundSmtp, version: int) -> bytes:
    """Return the configuration in one of FORMATS: the same bytes for the same document, always."""
    # Indented, as it is read by people with kubectl; ASCII, as then no YAML or JSON on the way can write it otherwise.
    return (json.dumps(FORMATS[version](gateway), indent=2) + "\n").encode("ascii")


def config_map(gateway: InboundSmtp, version: int, owner_uid: str | None) -> Manifest:
    """Return the ConfigMap with the configuration in one of FORMATS."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata.of_child(gateway, owner_uid, name=metadata.config_map_name(gateway, version)),
        "data": {KEY: render(gateway, version).decode("ascii")},
    }


def digest(content: bytes) -> str:
    """Return the hash by which `/status` and `status.configHash` name a configuration."""
    return hashlib.sha256(content).hexdigest()


def _format_1(gateway: InboundSmtp) -> dict[str, object]:
    """Write every default out: what was validated is what is served, also by a listener of another version."""
    document = gateway.dump()
    spec = document["spec"]
    spec["listeners"] = [
        {field: value for field, value in listener.items() if field != "nodePort"} for listener in spec["listeners"]
    ]
    spec["pod"] = {"adminPort": gateway.spec.pod.admin_port}
    document["spec"] = {field: spec[field] for field in SPEC_FIELDS if field in spec}
    return document


# By number. A shape that the listener before could not read gets a new one, and the one before stays for a version.
FORMATS: dict[int, Callable[[InboundSmtp], dict[str, object]]] = {1: _format_1}
FORMAT = max(FORMATS)
