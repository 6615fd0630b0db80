"""PURE. An InboundSmtp becomes its children."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailport.contract.faults import Fault
from mailport.contract.model import InboundSmtp, NetworkPolicyMode, ServiceType
from mailport.operator import metadata
from mailport.operator.children import configuration
from mailport.operator.children.autoscaler import autoscaler
from mailport.operator.children.defaulted import defaulted, with_metadata
from mailport.operator.children.deployment import deployment
from mailport.operator.children.disruption_budget import budget, disruption_budget
from mailport.operator.children.inputs import Inputs
from mailport.operator.children.network_policy import network_policy
from mailport.operator.children.service import service
from mailport.operator.kinds import CONFIG_MAP
from mailport.operator.metadata import Manifest


def children(gateway: InboundSmtp, given: Inputs) -> tuple[Manifest, ...]:
    """Return the children in the order in which they are applied: first what a pod needs to start."""
    gateway = defaulted(gateway, given)
    return tuple(with_metadata(child, given.defaults) for child in _children(gateway, given))


def too_large(rendered: Iterable[Manifest]) -> Fault | None:
    """Say that a ConfigMap of these is larger than the API server takes; None where all fit."""
    faults = (configuration.too_large(child) for child in rendered if child["kind"] == CONFIG_MAP.name)
    return next((fault for fault in faults if fault is not None), None)


def formats(gateway: InboundSmtp, given: Inputs) -> list[int]:
    """Return the formats of the configuration to write: that of new pods, and those that other pods still mount.

    Such a pod may be started again in the middle of an upgrade, and then finds what it understands. What its format
    cannot carry is not for that pod: its ConfigMap stays as it is.
    """
    mounted = {version for version in given.mounted_formats if not configuration.not_carried(gateway, version)}
    return sorted({given.format_of(gateway)} | mounted & configuration.FORMATS.keys())


def _children(gateway: InboundSmtp, given: Inputs) -> Iterator[Manifest]:
    spec, uid = gateway.spec, given.owner_uid
    if spec.pod.service_account_name is None:
        yield _service_account(gateway, uid)
    for version in formats(gateway, given):
        yield configuration.config_map(gateway, version, uid)
    if spec.service.type is not ServiceType.NONE:
        yield service(gateway, given)
    yield deployment(gateway, given)
    if (wanted := budget(spec)) is not None:
        yield disruption_budget(gateway, wanted, uid)
    if spec.autoscaling is not None:
        yield autoscaler(gateway, spec.autoscaling, uid)
    if spec.network_policy is NetworkPolicyMode.MANAGED:
        yield network_policy(gateway, given)


def _service_account(gateway: InboundSmtp, owner_uid: str | None) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata.of_child(gateway, owner_uid, name=metadata.service_account_name(gateway)),
        "automountServiceAccountToken": False,
    }
