"""PURE. What ties children to their InboundSmtp: names, labels, owner references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailport.contract.model import InboundSmtp

Manifest = dict[str, Any]  # an object of Kubernetes, or a part of one, as its JSON has it

SELECTOR_LABEL = "mailport.dev/inboundsmtp"
OPERATOR = "mailport-operator"
POKE = "mailport.dev/poke"
"""An annotation of pods: a change of it makes the kubelet refresh the volumes. <hash>.<attempt>"""

INSTANCE = "mailport.dev/operator"
"""An annotation of Deployments: which installation of the operator applies them."""

REPLACED = "mailport.dev/replaced"
"""An annotation of Deployments: the operator has replaced the pods by itself, for another image or default, and not for
a change of the InboundSmtp, which was of this generation then."""

# A Service's name is a DNS label of 63 characters, and so are ours; `-listener` leaves 54 for the gateway's own, and
# `-c` with a format of four digits 57. GatewayName takes 50.


def config_map_name(gateway: InboundSmtp, version: int) -> str:
    """Return the name of the ConfigMap that holds this format."""
    return f"{gateway.metadata.name}-c{version}"


def service_account_name(gateway: InboundSmtp) -> str:
    """Return the name of the ServiceAccount that pods run as: ours, unless the author names one."""
    return gateway.spec.pod.service_account_name or f"{gateway.metadata.name}-listener"


def selector(gateway: InboundSmtp) -> dict[str, str]:
    """Return the one label that selectors, `status.selector` and watches go by; nothing else carries it."""
    return {SELECTOR_LABEL: gateway.metadata.name}


def labels(gateway: InboundSmtp) -> dict[str, str]:
    """Return the labels of every child and every pod. Fixed: nothing of the parent's is copied.

    Copied labels make Argo CD take children for what it tracks itself, and prune them.
    """
    return {
        "app.kubernetes.io/name": "mailport",
        "app.kubernetes.io/instance": gateway.metadata.name,
        "app.kubernetes.io/component": "listener",
        "app.kubernetes.io/managed-by": OPERATOR,
        **selector(gateway),
    }


def of_child(
    gateway: InboundSmtp, owner_uid: str | None, *, name: str = "", annotations: Mapping[str, str] | None = None
) -> Manifest:
    """Return a child's metadata; it has the gateway's name unless another is given."""
    metadata: Manifest = {"name": name or gateway.metadata.name}
    if gateway.metadata.namespace is not None:
        metadata["namespace"] = gateway.metadata.namespace
    metadata["labels"] = labels(gateway)
    if annotations:
        metadata["annotations"] = dict(annotations)
    if owner_uid is not None:
        metadata["ownerReferences"] = [_owner_reference(gateway, owner_uid)]
    return metadata


def _owner_reference(gateway: InboundSmtp, uid: str) -> Manifest:
    return {
        "apiVersion": gateway.api_version,
        "kind": gateway.kind,
        "name": gateway.metadata.name,
        "uid": uid,
        "controller": True,
        # True would need a verb on inboundsmtps/finalizers, and gain nothing: nothing waits for the children's end
        "blockOwnerDeletion": False,
    }
