"""PURE. The listener's configuration: what it needs of an InboundSmtp, as the bytes of a ConfigMap's one key.

These bytes are an InboundSmtp too, read by the same model and rules. So what rules.py compares with another field goes
along with it (`pod.adminPort`), or stays behind with it (`nodePort`, which needs `service.type`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from mailport.contract import quantity
from mailport.contract.faults import Fault
from mailport.contract.model import InboundSmtp
from mailport.operator import metadata
from mailport.operator.children import format_1
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
    "checks",
    "routes",
    "pod",  # adminPort only: no listener may have it
)


def render(gateway: InboundSmtp, version: int) -> bytes:
    """Return the configuration in one of FORMATS: the same bytes for the same document, always."""
    # Indented, as it is read by people with kubectl; ASCII, as then no YAML or JSON on the way can write it otherwise.
    return (json.dumps(FORMATS[version](gateway), indent=2) + "\n").encode("ascii")


def not_carried(gateway: InboundSmtp, version: int) -> tuple[Fault, ...]:
    """Return the fields that this format would lose. They are the reason not to write it: nothing is ever dropped."""
    if version != format_1.NUMBER:
        return ()
    return tuple(format_1.not_carried(gateway, _for_listener(_spec(gateway, exclude_defaults=True))))


def config_map(gateway: InboundSmtp, version: int, owner_uid: str | None) -> Manifest:
    """Return the ConfigMap with the configuration in one of FORMATS."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata.of_child(gateway, owner_uid, name=metadata.config_map_name(gateway, version)),
        "data": {KEY: render(gateway, version).decode("ascii")},
    }


def too_large(config_map: Manifest) -> Fault | None:
    """Say that the API server would refuse it for its size; None where it fits."""
    size = sum(len(content) for content in config_map["data"].values())  # ASCII: octets
    if size <= MAX_BYTES:
        return None
    return Fault("spec", f"the listener's configuration is {size} bytes, and a ConfigMap holds {MAX_BYTES}")


def digest(content: bytes) -> str:
    """Return the hash by which `/status` and `status.configHash` name a configuration."""
    return hashlib.sha256(content).hexdigest()


def generation(content: str | None) -> int | None:
    """Return the generation of the InboundSmtp that a configuration was made of; None where it does not say."""
    try:
        return None if content is None else int(json.loads(content)["metadata"]["generation"])
    except (ValueError, KeyError, TypeError):  # somebody has changed it
        return None


def _format_1(gateway: InboundSmtp) -> dict[str, object]:
    return _document(gateway, format_1.carried(_for_listener(_spec(gateway))))


def _format_2(gateway: InboundSmtp) -> dict[str, object]:
    """Write every default out: what was validated is what is served, also by a listener of another version."""
    spec = _for_listener(_spec(gateway))
    spec["limits"]["drainSeconds"] = gateway.spec.drain_seconds
    return _document(gateway, spec)


def _spec(gateway: InboundSmtp, *, exclude_defaults: bool = False) -> dict[str, Any]:
    return gateway.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=exclude_defaults)


def _for_listener(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a spec that the listener reads."""
    listeners = [{field: value for field, value in one.items() if field != "nodePort"} for one in spec["listeners"]]
    pod = {field: value for field, value in spec.get("pod", {}).items() if field == "adminPort"}
    spec = spec | {"listeners": listeners, "pod": pod}
    return {field: spec[field] for field in SPEC_FIELDS if field in spec}


def _document(gateway: InboundSmtp, spec: dict[str, Any]) -> dict[str, object]:
    return gateway.dump() | {"spec": spec}


# By number. A shape that the listener before could not read gets a new one, and the one before stays for a version.
FORMATS: dict[int, Callable[[InboundSmtp], dict[str, object]]] = {format_1.NUMBER: _format_1, 2: _format_2}
FORMAT = max(FORMATS)
