"""PURE. How far a Deployment has come with replacing its pods, out of its status."""

from __future__ import annotations

from mailport.operator.metadata import Manifest

_COMPLETE = "NewReplicaSetAvailable"  # k8s.io/kubectl, deployment/util: the reason of Progressing


def count(deployment: Manifest, field: str) -> int:
    """Return a number of its status, which leaves out those that are 0."""
    number: int = (deployment.get("status") or {}).get(field) or 0
    return number


def is_seen_by_its_controller(deployment: Manifest) -> bool:
    """Whether the status is of what is written in it now."""
    return count(deployment, "observedGeneration") >= int(deployment["metadata"].get("generation", 0))


def unfinished(deployment: Manifest) -> str:
    """Say what is left of a rollout, as `kubectl rollout status` judges; empty where nothing is."""
    wanted = int(deployment["spec"].get("replicas", 1))
    replicas, updated, available = (
        count(deployment, field) for field in ("replicas", "updatedReplicas", "availableReplicas")
    )
    if not is_seen_by_its_controller(deployment):
        return "the Deployment has changed, and its controller has not looked yet"
    if updated < wanted:
        return f"{updated} of {wanted} replicas are up to date"
    if replicas > updated:
        return f"{replicas - updated} replicas of before are still to go"
    if available < updated:
        return f"{available} of {updated} replicas are available"
    return ""


def was_completed(deployment: Manifest) -> bool:
    """Whether its controller has called the last rollout complete, whatever has become of the pods since."""
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    is_said = any((one["type"], one.get("reason")) == ("Progressing", _COMPLETE) for one in conditions)
    no_old = count(deployment, "replicas") == count(deployment, "updatedReplicas")
    return is_said and no_old and is_seen_by_its_controller(deployment)
