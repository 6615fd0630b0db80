"""PURE. The ports of running pods: the Service and the NetworkPolicy have to reach them during a rollout, too.

The Service is written before the Deployment, and old pods serve until new ones are ready, which may be never.
"""

from __future__ import annotations

from mailport.contract.model import Spec
from mailport.operator.children.pod import CONTAINER
from mailport.operator.kinds import NETWORK_POLICY, SERVICE
from mailport.operator.metadata import Manifest
from mailport.operator.watch.observe import Seen


def numeric_target_ports(spec: Spec, seen: Seen) -> frozenset[int]:
    """Return the ports of listeners that pods have under another name, and none has under theirs on another port.

    By name both are reached where the number changes, and by number where the name does.
    """
    pods = [_ports(pod) for pod in seen.served_by]
    return frozenset(
        listener.port
        for listener in spec.listeners
        if any(listener.port in ports.values() and listener.name not in ports for ports in pods)
        and not any(ports.get(listener.name, listener.port) != listener.port for ports in pods)
    )


def numeric_target_ports_now(seen: Seen) -> frozenset[int]:
    """Return the ports to which the Service that is there leads by number."""
    service = seen.ours(SERVICE, seen.key.name) or {"spec": {}}
    targets = (port.get("targetPort") for port in service["spec"].get("ports") or ())
    return frozenset(target for target in targets if isinstance(target, int))


def of_pods(seen: Seen) -> frozenset[int]:
    """Return the ports that pods have, the admin port too."""
    return frozenset(port for pod in seen.served_by for port in _ports(pod).values())


def admitted_ports_now(seen: Seen) -> frozenset[int]:
    """Return the ports that the NetworkPolicy which is there lets in."""
    policy = seen.ours(NETWORK_POLICY, seen.key.name) or {"spec": {}}
    ports = (port.get("port") for rule in policy["spec"].get("ingress") or () for port in rule.get("ports") or ())
    return frozenset(port for port in ports if isinstance(port, int))


def _ports(pod: Manifest) -> dict[str, int]:
    """Return the ports of the listener's container, by name."""
    container: Manifest = next((one for one in pod["containers"] if one["name"] == CONTAINER), {})
    return {port.get("name", ""): port["containerPort"] for port in container.get("ports", ())}
