"""PURE. What authors of InboundSmtps may ask of this cluster: the operator's `--allow`.

`--allow` takes names (`hostNetwork`) and patterns (`annotations=example.org/*`; `*` is any characters). Names given
replace all default names, and so do patterns that are given without any name. A pattern replaces only the default
patterns of its own kind. `claims=` with an empty pattern allows no claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from mailport.contract.faults import Fault
from mailport.contract.model import Deliver, ServiceType, Spec
from mailport.contract.names import RESERVED_ANNOTATION
from mailport.outward import allowed as outward

HOST_NETWORK = "hostNetwork"
NODE_PORT = "nodePort"
LOAD_BALANCER = "loadBalancer"
LOCAL_DESTINATIONS = "localDestinations"  # destinations at loopback, link-local addresses and the like
TOLERATIONS = "tolerations"
PRIORITY_CLASS = "priorityClass"
SERVICE_ACCOUNT = "serviceAccount"
ENV = "env"
VOLUMES = "volumes"
VOLUME_MOUNTS = "volumeMounts"
DNS_POLICY = "dnsPolicy"
DNS_CONFIG = "dnsConfig"
RUNTIME_CLASS_NAME = "runtimeClassName"

IMAGE = "image"  # as a name any image, with a pattern those whose reference it fits
ANNOTATIONS = "annotations"  # keys of spec.pod.annotations, and of spec.service.annotations
SERVICE_ANNOTATIONS = "serviceAnnotations"  # keys of spec.service.annotations alone
LABELS = "labels"  # keys of spec.pod.labels
CLAIMS = "claims"  # names of PersistentVolumeClaims that hold mail
LOAD_BALANCER_CLASSES = "loadBalancerClasses"

ALLOWANCES = (
    HOST_NETWORK,
    NODE_PORT,
    LOAD_BALANCER,
    LOCAL_DESTINATIONS,
    TOLERATIONS,
    PRIORITY_CLASS,
    SERVICE_ACCOUNT,
    IMAGE,
    ENV,
    VOLUMES,
    VOLUME_MOUNTS,
    DNS_POLICY,
    DNS_CONFIG,
    RUNTIME_CLASS_NAME,
)
PATTERNS = (IMAGE, ANNOTATIONS, SERVICE_ANNOTATIONS, LABELS, CLAIMS, LOAD_BALANCER_CLASSES)

LOAD_BALANCERS_OWN = (
    "cloud.google.com/*",
    "io.cilium/*",
    "kube-vip.io/*",
    "lbipam.cilium.io/*",
    "load-balancer.hetzner.cloud/*",
    "loadbalancer.openstack.org/*",
    "metallb.io/*",
    "metallb.universe.tf/*",
    "networking.gke.io/*",
    "oci-network-load-balancer.oraclecloud.com/*",
    "oci.oraclecloud.com/*",
    "service.beta.kubernetes.io/*",
    "service.kubernetes.io/*",
)
"""Keys by which load balancers are set up: clouds' own controllers, and those that clusters without one run."""

DEFAULT_PATTERNS: Mapping[str, tuple[str, ...]] = {
    IMAGE: (),
    ANNOTATIONS: (),
    SERVICE_ANNOTATIONS: LOAD_BALANCERS_OWN,
    LABELS: (),
    CLAIMS: ("*",),
    LOAD_BALANCER_CLASSES: ("*",),
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What authors may ask for. Without names none of them; without patterns of a kind, its default."""

    names: frozenset[str] = frozenset()
    patterns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by kind

    def together_with(self, other: Allowed) -> Allowed:
        """Return what both allow."""
        kinds = dict.fromkeys((*self.patterns, *other.patterns))
        both = {kind: self.patterns.get(kind, ()) + other.patterns.get(kind, ()) for kind in kinds}
        return Allowed(self.names | other.names, both)

    def covers(self, kind: str, value: str) -> bool:
        """Whether a pattern of that kind fits, or its plain name allows all."""
        if kind in self.names or (kind == SERVICE_ANNOTATIONS and self.covers(ANNOTATIONS, value)):
            return True
        patterns = self.patterns.get(kind, DEFAULT_PATTERNS[kind])
        return any(re.fullmatch(_expression(pattern), value) for pattern in patterns)


DEFAULT = Allowed(frozenset({LOAD_BALANCER, NODE_PORT}))
"""How mail comes in from outside. The rest gives a pod more than a pod of the author's own namespace has as a rule."""


def parse(text: str) -> Allowed:
    """Read names and patterns with commas between. Raises ValueError, which has what cannot be understood."""
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    names = frozenset(item for item in items if "=" not in item)
    patterns: dict[str, tuple[str, ...]] = {}
    for kind, _, pattern in (item.partition("=") for item in items if "=" in item):
        patterns[kind] = patterns.get(kind, ()) + ((pattern,) if pattern else ())
    unknown = [item for item in items if item.partition("=")[0] not in (PATTERNS if "=" in item else ALLOWANCES)]
    if unknown:
        which = f"{', '.join(ALLOWANCES)}, or a pattern for {', '.join(f'{kind}=' for kind in PATTERNS)}"
        raise ValueError(f"{', '.join(map(repr, unknown))}: not one of {which}")
    return Allowed(names, patterns)


def not_permitted(spec: Spec, allowed: Allowed) -> Iterator[Fault]:
    """Yield each field that asks for what is not allowed, with what would allow it, in the order of the document."""
    for path, what in _asked_for(spec):
        kind, is_pattern, value = what.partition("=")
        if not (allowed.covers(kind, value) if is_pattern else kind in allowed.names):
            yield Fault(path, f"this operator does not allow it: --allow {what}")
    for key in spec.pod.annotations:
        if RESERVED_ANNOTATION.fullmatch(key):
            yield Fault(f"spec.pod.annotations[{key}]", "this annotation is reserved; no --allow permits it")


def _asked_for(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield each field that needs an allowance, with its path, and what would allow just that."""
    for index, listener in enumerate(spec.listeners):
        if listener.node_port is not None:
            yield f"spec.listeners[{index}].nodePort", NODE_PORT
    if spec.network.host_network:
        yield "spec.network.hostNetwork", HOST_NETWORK
    for index, route in enumerate(spec.routes):
        if route.deliver.maildir is not None and route.deliver.maildir.claim_name is not None:
            claim = route.deliver.maildir.claim_name
            yield f"spec.routes[{index}].deliver.maildir.claimName", f"{CLAIMS}={claim}"
        for name, host in _hosts(route.deliver):
            if _is_local(host):
                yield f"spec.routes[{index}].deliver.{name}", LOCAL_DESTINATIONS
    for index, server in enumerate((spec.checks.dns.servers if spec.checks is not None else None) or ()):
        if _is_local(server.address):
            yield f"spec.checks.dns.servers[{index}].address", LOCAL_DESTINATIONS
    yield from _of_the_service(spec)
    yield from _of_the_pod(spec)


def _hosts(deliver: Deliver) -> Iterator[tuple[str, str]]:
    """Yield the field that says where a destination is, and the host in it."""
    if deliver.lmtp is not None:
        yield "lmtp.host", deliver.lmtp.host
    if deliver.smtp is not None:
        yield "smtp.host", deliver.smtp.host
    if deliver.webhook is not None:
        yield "webhook.url", urlsplit(deliver.webhook.url).hostname or ""
    if deliver.s3 is not None and deliver.s3.endpoint is not None:
        yield "s3.endpoint", urlsplit(deliver.s3.endpoint).hostname or ""
    if deliver.nats is not None:
        yield "nats.url", urlsplit(deliver.nats.url).hostname or ""


def _is_local(host: str) -> bool:
    """Whether this is such an address. Where a name leads, the pod finds out, and holds to the same rule."""
    try:
        return bool(outward.Allowed().why_not(ip_address(host)))
    except ValueError:  # a name
        return False


def _of_the_service(spec: Spec) -> Iterator[tuple[str, str]]:
    service = spec.service
    if service.type is ServiceType.NODE_PORT:
        yield "spec.service.type", NODE_PORT
    if service.type is ServiceType.LOAD_BALANCER:
        yield "spec.service.type", LOAD_BALANCER
    for key in service.annotations:
        yield f"spec.service.annotations[{key}]", f"{SERVICE_ANNOTATIONS}={key}"
    if service.load_balancer_class is not None:
        yield "spec.service.loadBalancerClass", f"{LOAD_BALANCER_CLASSES}={service.load_balancer_class}"


def _of_the_pod(spec: Spec) -> Iterator[tuple[str, str]]:
    pod = spec.pod
    if pod.image is not None:
        yield "spec.pod.image", f"{IMAGE}={pod.image}"
    for name, is_set in (
        (SERVICE_ACCOUNT, pod.service_account_name is not None),
        (ENV, bool(pod.env)),
        (VOLUMES, bool(pod.volumes)),
        (VOLUME_MOUNTS, bool(pod.volume_mounts)),
        (DNS_POLICY, pod.dns_policy is not None),
        (DNS_CONFIG, pod.dns_config is not None),
        (RUNTIME_CLASS_NAME, pod.runtime_class_name is not None),
        (TOLERATIONS, bool(pod.tolerations)),
        (PRIORITY_CLASS, pod.priority_class_name is not None),
    ):
        if is_set:
            yield f"spec.pod.{_FIELDS.get(name, name)}", name
    for kind, keys in ((LABELS, pod.labels), (ANNOTATIONS, pod.annotations)):
        for key in keys:
            yield f"spec.pod.{kind}[{key}]", f"{kind}={key}"


_FIELDS = {SERVICE_ACCOUNT: "serviceAccountName", PRIORITY_CLASS: "priorityClassName"}


def _expression(pattern: str) -> str:
    return ".*".join(map(re.escape, pattern.split("*")))
