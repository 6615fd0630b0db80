"""PURE. The pods of a gateway, out of what was seen: whose they are, and what they are to run."""

from __future__ import annotations

from mailport.operator.children import configuration, volumes
from mailport.operator.children.pod import ADMIN, CONTAINER
from mailport.operator.metadata import Manifest
from mailport.operator.pods.observed import ObservedPod
from mailport.operator.pods.schedule import Look
from mailport.operator.pods.trouble import trouble
from mailport.operator.watch.observe import Seen


def applied_hash(seen: Seen) -> str | None:
    """Return the hash of the configuration that new pods mount; None where there is none yet."""
    deployment = seen.deployment
    return None if deployment is None else expected_hash(seen, deployment["spec"]["template"]["spec"])


def expected_hash(seen: Seen, spec: Manifest) -> str | None:
    """Return the hash of what a pod mounts as its configuration."""
    content = seen.mounted(spec, volumes.CONFIG_VOLUME, configuration.KEY)
    return None if content is None else configuration.digest(content.encode())


def is_ready(found: Manifest) -> bool:
    """Whether the kubelet says so."""
    conditions = found["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def is_starting(found: Manifest) -> bool:
    """Whether it has its place, and its container has never been started there."""
    scheduled = any(
        condition["type"] == "PodScheduled" and condition["status"] == "True"
        for condition in found["status"].get("conditions", ())
    )
    states = [container.get("state", {}) for container in found["status"].get("containerStatuses", ())]
    return scheduled and not any("running" in state or "terminated" in state for state in states)


def admin_port(spec: Manifest) -> int:
    """Return the port where a pod says what it runs."""
    ports = _container(spec).get("ports", ())
    return next((int(port["containerPort"]) for port in ports if port.get("name") == ADMIN), 0)


def observed(found: Manifest, expected: str | None, look: Look, hindrance: str) -> ObservedPod:
    """Put together what is known of a pod."""
    its_status = found["status"]
    addresses = [entry["ip"] for entry in its_status.get("hostIPs", ())] or [its_status.get("hostIP")]
    return ObservedPod(
        name=found["metadata"]["name"],
        ready=is_ready(found),
        host_ips=tuple(address for address in addresses if address),
        expected_hash=expected,
        report=look.report,
        ports=frozenset(port["containerPort"] for port in _container(found["spec"]).get("ports", ())),
        trouble=trouble(its_status, hindrance),
        loses_mail=volumes.is_mail_lost_with(found["spec"]),
    )


def _container(spec: Manifest) -> Manifest:
    return next((container for container in spec["containers"] if container["name"] == CONTAINER), {})
