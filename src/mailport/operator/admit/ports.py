"""PURE. The ports of running pods: the Service and the NetworkPolicy have to reach them during a rollout, too.

The Service is written before the Deployment, and old pods serve until new ones are ready, which may be never.
"""

from __future__ import annotations

from mailport.contract.model import Spec
from mailport.operator.children.pod import ADMIN, CONTAINER
from mailport.operator.kinds import NETWORK_POLICY, SERVICE
from mailport.operator.metadata import Manifest
from mailport.operator.watch.observe import Seen


def numeric_target_ports(spec: Spec, seen: Seen) -> frozenset[int]:
    """Return the ports of listeners to which the Service leads by number, while pods have them under another name."""
    pods = [_listeners(pod) for pod in seen.served_by]
    return frozenset(
        listener.port for listener in spec.listeners if _is_led_to_by_number(listener.name, listener.port, pods)
    )


def _is_led_to_by_number(name: str, number: int, pods: list[dict[str, int]]) -> bool:
    """Whether the Service leads to a port by its number, and not by its name.

    The number reaches pods that have the port under another name, the name pods that have the listener on another port.
    Where there are both, the name is taken, unless a pod that has the number has another listener of that name.
    """
    renamed = [ports for ports in pods if number in ports.values() and ports.get(name) != number]
    is_of_another = any(name in ports for ports in renamed)
    moved = [ports for ports in pods if name in ports and number not in ports.values()]
    return is_of_another or (bool(renamed) and not moved)


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


def _listeners(pod: Manifest) -> dict[str, int]:
    return {name: number for name, number in _ports(pod).items() if name != ADMIN}


def _ports(pod: Manifest) -> dict[str, int]:
    """Return the ports of the listener's container, by name."""
    container: Manifest = next((one for one in pod["containers"] if one["name"] == CONTAINER), {})
    return {port.get("name", ""): port["containerPort"] for port in container.get("ports", ())}
