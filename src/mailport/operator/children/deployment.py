"""PURE. The Deployment, and how it goes from one set of pods to the next."""

from __future__ import annotations

from mailport.contract.model import InboundSmtp, Spec
from mailport.operator import metadata
from mailport.operator.children import pod, volumes
from mailport.operator.children.inputs import Inputs
from mailport.operator.metadata import Manifest

_MIN_READY_SECONDS = 5  # a pod that dies of its first connections must not count as an improvement on the one before
_PROGRESS_SECONDS = 600  # Kubernetes' own
_REVISIONS = 2  # that `kubectl rollout history` shows; to undo one is to apply the InboundSmtp of before


def deployment(gateway: InboundSmtp, given: Inputs) -> Manifest:
    """Return the Deployment."""
    spec = gateway.spec
    applied_by = {metadata.INSTANCE: given.operator} if given.operator is not None else {}
    replicas = spec.replicas if spec.autoscaling is None else given.live_replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata.of_child(gateway, given.owner_uid, annotations=applied_by),
        "spec": {
            **({"replicas": replicas} if replicas is not None else {}),
            "selector": {"matchLabels": metadata.selector(gateway)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _rolling_update(spec, given)},
            "minReadySeconds": _MIN_READY_SECONDS,
            "revisionHistoryLimit": _REVISIONS,
            # Where the next pod waits for the last one's place, that one's drain is no lack of progress
            "progressDeadlineSeconds": _PROGRESS_SECONDS + pod.grace_seconds(spec, given.format_of(gateway)),
            "template": pod.template(gateway, given),
        },
    }


def _rolling_update(spec: Spec, given: Inputs) -> Manifest:
    """Return the new pod before the old one goes, unless it would wait for the old one's ports or volume for ever."""
    surges = not spec.network.host_network and volumes.claims(spec).isdisjoint(given.exclusive_claims)
    return {"maxUnavailable": 0, "maxSurge": 1} if surges else {"maxUnavailable": 1, "maxSurge": 0}
