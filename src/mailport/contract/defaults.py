"""PURE. What an administrator gives every gateway whose InboundSmtp does not say: a file for `--defaults`.

It is written as an InboundSmtp's spec is, as far as it goes:

    labels: {example.org/cost-centre: "4711"}
    pod:
      tolerations: [{key: mail, operator: Exists}]
    service:
      annotations: {service.beta.kubernetes.io/aws-load-balancer-scheme: internal}
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from mailport.contract import yaml_text
from mailport.contract.faults import Invalid
from mailport.contract.formats import Annotations, JsonObject, Labels, Maybe, PodAnnotations, PodLabels, QualifiedName
from mailport.contract.model import Model, SecretRef


class PodDefaults(Model):
    """Of spec.pod. Each is taken whole, where the InboundSmtp does not have the field at all."""

    resources: Maybe[JsonObject] = None
    """Kubernetes' ResourceRequirements."""

    node_selector: Maybe[Labels] = None
    """Labels that the node must have."""

    tolerations: Maybe[Annotated[tuple[JsonObject, ...], Field(max_length=64)]] = None
    """Kubernetes' Tolerations. `--allow tolerations` is for authors, and not needed for these."""

    topology_spread_constraints: Maybe[Annotated[tuple[JsonObject, ...], Field(max_length=16)]] = None
    """Kubernetes' TopologySpreadConstraints."""

    image_pull_secrets: Maybe[Annotated[tuple[SecretRef, ...], Field(max_length=16)]] = None
    """Secrets to pull the image with. Each namespace needs its own of that name."""


class ServiceDefaults(Model):
    """Of spec.service."""

    annotations: Annotations = {}
    """Added key by key: what the InboundSmtp says of a key wins."""

    load_balancer_class: Maybe[QualifiedName] = None
    """For a Service of type LoadBalancer that is new: Kubernetes lets nobody change it."""


class Defaults(Model):
    """All of the file. Labels and annotations are for every object of a gateway, and its pods."""

    labels: PodLabels = {}
    """Added key by key: what the InboundSmtp says of a pod's key wins. Keys of our own are refused."""

    annotations: PodAnnotations = {}
    """Likewise."""

    pod: PodDefaults = PodDefaults()
    service: ServiceDefaults = ServiceDefaults()


def load(source: str, content: bytes) -> Defaults:
    """Read the file of that name; one with nothing in it has no defaults. Raises Invalid with all that is wrong."""
    try:
        documents = yaml_text.read(content) or [{}]
        return Defaults.parse_json(json.dumps(documents[0] if len(documents) == 1 else documents))
    except Invalid as invalid:
        raise Invalid(fault.within(source) for fault in invalid.faults) from None
