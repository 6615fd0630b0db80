"""PURE. The Service in front of the pods."""

from __future__ import annotations

from mailport.contract.model import InboundSmtp, Listener, Spec
from mailport.operator import metadata
from mailport.operator.children.inputs import Inputs
from mailport.operator.metadata import Manifest


def service(gateway: InboundSmtp, given: Inputs) -> Manifest:
    """Return the Service, of any type but None."""
    spec = gateway.spec
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata.of_child(gateway, given.owner_uid, annotations=spec.service.annotations),
        "spec": {
            "type": str(spec.service.type),
            **_reached_from_outside(spec),
            **_families(spec),
            "selector": metadata.selector(gateway),
            "ports": [_port(listener, given) for listener in spec.listeners],
        },
    }


def _reached_from_outside(spec: Spec) -> Manifest:
    wanted = spec.service
    fields: Manifest = {
        "externalTrafficPolicy": spec.external_traffic_policy and str(spec.external_traffic_policy),
        "loadBalancerClass": wanted.load_balancer_class,
        "loadBalancerSourceRanges": list(wanted.load_balancer_source_ranges) or None,
        "allocateLoadBalancerNodePorts": wanted.allocate_load_balancer_node_ports,
    }
    return {field: value for field, value in fields.items() if value is not None}


def _families(spec: Spec) -> Manifest:
    match spec.network.ip_families:
        case (family,):
            return {"ipFamilyPolicy": "SingleStack", "ipFamilies": [str(family)]}
        case _:  # none named is both where the cluster has them; naming them would be refused where it has but one
            return {"ipFamilyPolicy": "PreferDualStack"}


def _port(listener: Listener, given: Inputs) -> Manifest:
    port: Manifest = {
        "name": listener.name,
        "port": listener.port,
        # While pods roll, both generations are reached: by name if the port is another, by number if the name is
        "targetPort": listener.port if listener.port in given.numeric_target_ports else listener.name,
        "protocol": "TCP",
        # A mesh that guesses would wait for the client's first bytes; in SMTP the server speaks first
        "appProtocol": "tcp",
    }
    if listener.node_port is not None:
        port["nodePort"] = listener.node_port
    return port
