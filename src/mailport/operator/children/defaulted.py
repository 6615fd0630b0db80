"""PURE. The administrator's defaults, put where an InboundSmtp does not say: into what is rendered, never its spec."""

from __future__ import annotations

from typing import Any

from mailport.contract.defaults import Defaults
from mailport.contract.model import InboundSmtp, Service, ServiceType
from mailport.operator.children.inputs import Inputs
from mailport.operator.metadata import Manifest


def defaulted(gateway: InboundSmtp, given: Inputs) -> InboundSmtp:
    """Return the gateway with the defaults in its spec. A field that it has, though it be empty, stays as it is."""
    spec, defaults = gateway.spec, given.defaults
    of_pod = {name: value for name, value in defaults.pod if value is not None}
    taken = {name: value for name, value in of_pod.items() if name not in spec.pod.model_fields_set}
    pod = spec.pod.model_copy(update=taken)
    service = spec.service.model_copy(update=_of_service(spec.service, given))
    return gateway.model_copy(update={"spec": spec.model_copy(update={"pod": pod, "service": service})})


def with_metadata(child: Manifest, defaults: Defaults) -> Manifest:
    """Return a child with the labels and annotations of every object; those that it has win."""
    child = {**child, "metadata": _with_metadata(child["metadata"], defaults)}
    if (template := child.get("spec", {}).get("template")) is not None:
        template = {**template, "metadata": _with_metadata(template["metadata"], defaults)}
        child["spec"] = {**child["spec"], "template": template}
    return child


def _of_service(service: Service, given: Inputs) -> dict[str, Any]:
    annotations = {**given.defaults.service.annotations, **service.annotations}
    if service.type is not ServiceType.LOAD_BALANCER or service.load_balancer_class is not None:
        return {"annotations": annotations}
    live = given.live_load_balancer_class
    chosen = given.defaults.service.load_balancer_class if live is None else live or None
    return {"annotations": annotations, "load_balancer_class": chosen}


def _with_metadata(metadata: Manifest, defaults: Defaults) -> Manifest:
    labels = {**defaults.labels, **metadata.get("labels", {})}
    annotations = {**defaults.annotations, **metadata.get("annotations", {})}
    return {**metadata, "labels": labels, **({"annotations": annotations} if annotations else {})}
