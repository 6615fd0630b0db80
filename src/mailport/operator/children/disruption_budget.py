"""PURE. The PodDisruptionBudget: how many pods a node's drain may take at a time."""

from __future__ import annotations

from mailport.contract.model import DisruptionBudget, InboundSmtp, Spec
from mailport.operator import metadata
from mailport.operator.metadata import Manifest


def budget(spec: Spec) -> DisruptionBudget | None:
    """Return the budget that was asked for, else the default where more than one replica can be."""
    most = spec.autoscaling.max_replicas if spec.autoscaling is not None else spec.replicas
    return spec.disruption_budget or (DisruptionBudget() if most > 1 else None)


def disruption_budget(gateway: InboundSmtp, wanted: DisruptionBudget, owner_uid: str | None) -> Manifest:
    """Return the PodDisruptionBudget."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata.of_child(gateway, owner_uid),
        "spec": {
            "maxUnavailable": wanted.max_unavailable,
            "selector": {"matchLabels": metadata.selector(gateway)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # else a pod that is broken anyway stops a node's drain
        },
    }
