"""PURE. How many pods there are: the PodDisruptionBudget and the HorizontalPodAutoscaler."""

from __future__ import annotations

from mailport.model import Autoscaling, DisruptionBudget, InboundSmtp, Spec
from mailport.operator import metadata
from mailport.operator.metadata import Manifest

_CPU_PERCENT = 70


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


def autoscaler(gateway: InboundSmtp, wanted: Autoscaling, owner_uid: str | None) -> Manifest:
    """Return the HorizontalPodAutoscaler."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata.of_child(gateway, owner_uid),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": gateway.metadata.name},
            "minReplicas": wanted.min_replicas,
            "maxReplicas": wanted.max_replicas,
            "metrics": wanted.model_dump(mode="json")["metrics"] or [_cpu()],
        },
    }


def _cpu() -> Manifest:
    target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
