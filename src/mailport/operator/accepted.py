"""PURE. Why a spec that is valid cannot be served in Kubernetes: the reasons of Accepted=False that need no cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mailport import rules
from mailport.faults import Fault
from mailport.model import InboundSmtp
from mailport.operator import configuration
from mailport.operator.circumstances import Circumstances


class Refusal(NamedTuple):
    """A reason of the condition Accepted, and what is wrong."""

    reason: str
    fault: Fault


def refusals(gateway: InboundSmtp, given: Circumstances) -> Iterator[Refusal]:
    """Return all of them; manifests.children is for documents that have none."""
    yield from _unknown_format(gateway, given)
    yield from _destination_to_come(gateway)
    yield from _too_large(gateway)
    yield from _addresses_of_a_node(gateway)
    yield from _claim_of_one_node(gateway, given)


def _unknown_format(gateway: InboundSmtp, given: Circumstances) -> Iterator[Refusal]:
    version = gateway.spec.pod.config_format or given.listener_format
    if version not in configuration.FORMATS:
        known = ", ".join(map(str, sorted(configuration.FORMATS)))
        fault = Fault("spec.pod.configFormat", f"the listener's configuration is written in format {known} here")
        yield Refusal("UnsupportedField", fault)


def _destination_to_come(gateway: InboundSmtp) -> Iterator[Refusal]:
    for fault in rules.not_in_this_version(gateway.spec):
        yield Refusal("UnsupportedField", fault)


def _too_large(gateway: InboundSmtp) -> Iterator[Refusal]:
    largest = max(len(configuration.render(gateway, version)) for version in configuration.FORMATS)
    if largest > configuration.MAX_BYTES:
        message = f"the listener's configuration is {largest} bytes, and a ConfigMap holds {configuration.MAX_BYTES}"
        yield Refusal("ConfigTooLarge", Fault("spec", message))


def _addresses_of_a_node(gateway: InboundSmtp) -> Iterator[Refusal]:
    network = gateway.spec.network
    if network.bind_addresses and not network.host_network:
        message = "a pod has none of a node's addresses: needs spec.network.hostNetwork"
        yield Refusal("BindAddressUnavailable", Fault("spec.network.bindAddresses", message))


def _claim_of_one_node(gateway: InboundSmtp, given: Circumstances) -> Iterator[Refusal]:
    spec = gateway.spec
    most = spec.autoscaling.max_replicas if spec.autoscaling is not None else spec.replicas
    if most <= 1:
        return
    for index, route in enumerate(spec.routes):
        claim = route.deliver.maildir and route.deliver.maildir.claim_name
        if claim in given.exclusive_claims:
            message = f"{claim} can be mounted by one node alone, and there may be {most} replicas"
            yield Refusal("ClaimNotShared", Fault(f"spec.routes[{index}].deliver.maildir.claimName", message))
