"""PURE. An InboundSmtp becomes its children."""

from __future__ import annotations

from collections.abc import Iterator

from mailport.model import InboundSmtp, NetworkPolicyMode, ServiceType
from mailport.operator import configuration, metadata, scaling
from mailport.operator.circumstances import Circumstances
from mailport.operator.deployment import deployment
from mailport.operator.metadata import Manifest
from mailport.operator.network_policy import network_policy
from mailport.operator.service import service


def children(gateway: InboundSmtp, given: Circumstances) -> tuple[Manifest, ...]:
    """Return the children in the order in which they are applied: first what a pod needs to start."""
    return tuple(_children(gateway, given))


def config_hash(gateway: InboundSmtp, given: Circumstances) -> str:
    """Return the hash of the configuration that the pods mount: what `/status` has once it is live."""
    version = gateway.spec.pod.config_format or given.listener_format
    return configuration.digest(configuration.render(gateway, version))


def _children(gateway: InboundSmtp, given: Circumstances) -> Iterator[Manifest]:
    spec, uid = gateway.spec, given.owner_uid
    if spec.pod.service_account_name is None:
        yield _service_account(gateway, uid)
    for version in sorted(configuration.FORMATS):  # an old pod that restarts in an upgrade finds what it understands
        yield configuration.config_map(gateway, version, uid)
    if spec.service.type is not ServiceType.NONE:
        yield service(gateway, uid)
    yield deployment(gateway, given)
    if (budget := scaling.budget(spec)) is not None:
        yield scaling.disruption_budget(gateway, budget, uid)
    if spec.autoscaling is not None:
        yield scaling.autoscaler(gateway, spec.autoscaling, uid)
    if spec.network_policy is NetworkPolicyMode.MANAGED:
        yield network_policy(gateway, uid)


def _service_account(gateway: InboundSmtp, owner_uid: str | None) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata.of_child(gateway, owner_uid, name=metadata.service_account_name(gateway)),
        "automountServiceAccountToken": False,
    }
