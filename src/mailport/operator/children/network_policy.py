"""PURE. The NetworkPolicy: only the listeners' ports and the admin port come in."""

from __future__ import annotations

from mailport.contract.model import InboundSmtp
from mailport.operator import metadata
from mailport.operator.children.inputs import Inputs
from mailport.operator.metadata import Manifest


def network_policy(gateway: InboundSmtp, given: Inputs) -> Manifest:
    """Return the NetworkPolicy. What goes out is not its subject: destinations are anywhere."""
    spec = gateway.spec
    ports = [*(listener.port for listener in spec.listeners), spec.pod.admin_port]
    ports += sorted(given.ports_of_running_pods.difference(ports))  # of pods that serve until there are new ones
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata.of_child(gateway, given.owner_uid),
        "spec": {
            "podSelector": {"matchLabels": metadata.selector(gateway)},
            "policyTypes": ["Ingress"],
            # By number, which every network plugin knows
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}],
        },
    }
