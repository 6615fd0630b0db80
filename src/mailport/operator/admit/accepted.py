"""PURE. Why a spec that is valid cannot be served in Kubernetes: the reasons of Accepted=False that need no cluster."""

from __future__ import annotations

from collections.abc import Iterator

from mailport.contract.faults import Fault
from mailport.contract.model import InboundSmtp
from mailport.operator.admit.refusal import Refusal
from mailport.operator.children import configuration
from mailport.operator.children.inputs import Inputs


def refusals(gateway: InboundSmtp, given: Inputs) -> Iterator[Refusal]:
    """Return all of them; manifests.children is for documents that have none."""
    yield from _unknown_format(gateway, given)
    yield from _not_carried(gateway, given)
    yield from _addresses_of_a_node(gateway)
    yield from _claim_of_one_node(gateway, given)


def _unknown_format(gateway: InboundSmtp, given: Inputs) -> Iterator[Refusal]:
    version = given.format_of(gateway)
    if version not in configuration.FORMATS:
        known = " and ".join(map(str, sorted(configuration.FORMATS)))
        fault = Fault("spec.pod.configFormat", f"the listener's configuration is written in formats {known} here")
        yield Refusal("UnsupportedField", fault)


def _not_carried(gateway: InboundSmtp, given: Inputs) -> Iterator[Refusal]:
    for fault in configuration.not_carried(gateway, given.format_of(gateway)):
        yield Refusal("UnsupportedField", fault)


def _addresses_of_a_node(gateway: InboundSmtp) -> Iterator[Refusal]:
    network = gateway.spec.network
    if network.bind_addresses and not network.host_network:
        message = "a pod has none of a node's addresses: needs spec.network.hostNetwork"
        yield Refusal("BindAddressUnavailable", Fault("spec.network.bindAddresses", message))


def _claim_of_one_node(gateway: InboundSmtp, given: Inputs) -> Iterator[Refusal]:
    spec = gateway.spec
    most = spec.autoscaling.max_replicas if spec.autoscaling is not None else spec.replicas
    if most <= 1:
        return
    for index, route in enumerate(spec.routes):
        claim = route.deliver.maildir and route.deliver.maildir.claim_name
        if claim in given.exclusive_claims:
            message = f"{claim} can be mounted by one node alone, and there may be {most} replicas"
            yield Refusal("ClaimNotShared", Fault(f"spec.routes[{index}].deliver.maildir.claimName", message))
