"""PURE. The HorizontalPodAutoscaler."""

from __future__ import annotations

from mailport.contract.model import Autoscaling, InboundSmtp
from mailport.operator import metadata
from mailport.operator.metadata import Manifest

_CPU_PERCENT = 70


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
