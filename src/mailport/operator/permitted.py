"""PURE. What authors of InboundSmtps may ask of this cluster: the operator's `--allow`."""

from __future__ import annotations

from collections.abc import Iterator

from mailport.faults import Fault
from mailport.model import ServiceType, Spec

HOST_NETWORK = "hostNetwork"
NODE_PORT = "nodePort"
LOAD_BALANCER = "loadBalancer"
LOCAL_DESTINATIONS = "localDestinations"  # of no field: whether pods may connect to loopback, link-local and the like
TOLERATIONS = "tolerations"
PRIORITY_CLASS = "priorityClass"
SERVICE_ACCOUNT = "serviceAccount"
IMAGE = "image"

ALLOWANCES = (
    HOST_NETWORK,
    NODE_PORT,
    LOAD_BALANCER,
    LOCAL_DESTINATIONS,
    TOLERATIONS,
    PRIORITY_CLASS,
    SERVICE_ACCOUNT,
    IMAGE,
)
DEFAULT = frozenset({LOAD_BALANCER, NODE_PORT})
"""How mail comes in from outside. The rest gives a pod more than a pod of the author's own namespace has as a rule."""


def parse(text: str) -> frozenset[str]:
    """Read names with commas between; an empty text allows nothing. Raises ValueError, which has the unknown ones."""
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    unknown = [name for name in names if name not in ALLOWANCES]
    if unknown:
        raise ValueError(f"{', '.join(map(repr, unknown))}: not one of {', '.join(ALLOWANCES)}")
    return frozenset(names)


def not_permitted(spec: Spec, allow: frozenset[str]) -> Iterator[Fault]:
    """Yield each field that asks for what is not allowed."""
    for path, allowance in _asked_for(spec):
        if allowance not in allow:
            yield Fault(path, f"this operator does not allow it: --allow {allowance}")


def _asked_for(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield each field that needs an allowance, with its path, in the order of the document."""
    for index, listener in enumerate(spec.listeners):
        if listener.node_port is not None:
            yield f"spec.listeners[{index}].nodePort", NODE_PORT
    if spec.network.host_network:
        yield "spec.network.hostNetwork", HOST_NETWORK
    if spec.service.type is ServiceType.NODE_PORT:
        yield "spec.service.type", NODE_PORT
    if spec.service.type is ServiceType.LOAD_BALANCER:
        yield "spec.service.type", LOAD_BALANCER
    if spec.pod.image is not None:
        yield "spec.pod.image", IMAGE
    if spec.pod.service_account_name is not None:
        yield "spec.pod.serviceAccountName", SERVICE_ACCOUNT
    if spec.pod.tolerations:
        yield "spec.pod.tolerations", TOLERATIONS
    if spec.pod.priority_class_name is not None:
        yield "spec.pod.priorityClassName", PRIORITY_CLASS
