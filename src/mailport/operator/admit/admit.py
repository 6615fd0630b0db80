"""PURE. Whether an InboundSmtp may be served, and what its children are rendered from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from mailport.contract.model import InboundSmtp, Management, ServiceType
from mailport.operator import metadata
from mailport.operator.admit import ports
from mailport.operator.admit.accepted import refusals
from mailport.operator.admit.options import Options
from mailport.operator.admit.permitted import not_permitted
from mailport.operator.admit.reading import Refused, read
from mailport.operator.admit.refusal import Refusal
from mailport.operator.children import configuration, volumes
from mailport.operator.children.inputs import Inputs
from mailport.operator.kinds import CONFIG_MAP, SERVICE
from mailport.operator.managed_fields import replicas_owned_by_others
from mailport.operator.reason import Reason
from mailport.operator.watch.observe import Seen, is_exclusive

MAX_MESSAGE = 2048
"""Characters of a message, for a person with kubectl; the CRD has room for 32,768, and a document for more faults."""

_BETWEEN = "; "


@dataclass(frozen=True, slots=True)
class Admitted:
    """The condition Accepted; where it is True, the gateway and what its children are rendered from."""

    accepted: Reason
    suspended: bool  # whether nothing may be touched, accepted or not
    gateway: InboundSmtp | None = None  # None where it may not be served
    inputs: Inputs | None = None  # likewise


def admit(seen: Seen, options: Options) -> Admitted:
    """Judge the document and what the cluster says of it. Where it may not be served, every fault is in the message."""
    is_suspended = seen.body["spec"].get("management") == Management.SUSPENDED
    try:
        gateway = read(seen.body)
    except Refused as refused:
        return Admitted(_refused(refused.refusals), is_suspended)
    inputs = options.inputs(
        owner_uid=seen.uid,
        exclusive_claims=frozenset(
            name for name in volumes.claims(gateway.spec) if is_exclusive(seen.claims.get(name))
        ),
        live_replicas=_live_replicas(gateway, seen),
        live_load_balancer_class=_live_load_balancer_class(seen),
        mounted_formats=frozenset(
            version
            for version in configuration.FORMATS
            if seen.is_needed(CONFIG_MAP, metadata.config_map_name(gateway, version))
        ),
        # Nothing follows the pods while nothing may be touched
        numeric_target_ports=(
            ports.numeric_target_ports_now(seen) if is_suspended else ports.numeric_target_ports(gateway.spec, seen)
        ),
        ports_of_running_pods=ports.admitted_ports_now(seen) if is_suspended else ports.of_pods(seen),
        operator=options.instance,
    )
    found = [Refusal("NotPermitted", fault) for fault in not_permitted(gateway.spec, options.allow)]
    found += refusals(gateway, inputs)
    if found:
        return Admitted(_refused(found), is_suspended)
    if is_suspended:
        gateway = _of_generation(gateway, _applied_generation(seen))
    return Admitted(Reason("Accepted", "Accepted", "the spec can be served"), is_suspended, gateway, inputs)


def _refused(found: Iterable[Refusal]) -> Reason:
    """Make one reason of all faults: the first one's, and each with its path, as far as there is room."""
    first, *more = found
    if not more:
        return Reason("Accepted", first.reason, str(first.fault)[:MAX_MESSAGE])
    texts = [str(refusal.fault) for refusal in (first, *more)]
    ends = accumulate(len(text) + len(_BETWEEN) for text in texts)
    fitting = sum(end <= MAX_MESSAGE for end in ends)
    rest = [f"and {len(texts) - fitting} more"] if fitting < len(texts) else []
    return Reason("Accepted", first.reason, _BETWEEN.join([*texts[:fitting], *rest]))


# --- what is known from the cluster


def _live_replicas(gateway: InboundSmtp, seen: Seen) -> int | None:
    """Return the replicas to go on applying until the HorizontalPodAutoscaler owns the field."""
    if gateway.spec.autoscaling is None:
        return None
    deployment = seen.deployment
    if deployment is None:
        return gateway.spec.autoscaling.min_replicas
    if replicas_owned_by_others(deployment):
        return None
    # An autoscaler leaves a Deployment without replicas alone for ever
    return int(deployment["spec"].get("replicas", 1)) or gateway.spec.autoscaling.min_replicas


def _live_load_balancer_class(seen: Seen) -> str | None:
    """Return the class of the Service that there is, "" for none; None where it is no load balancer."""
    service = seen.ours(SERVICE, seen.key.name)
    if service is None or service["spec"].get("type") != ServiceType.LOAD_BALANCER:
        return None
    return str(service["spec"].get("loadBalancerClass", ""))


def _applied_generation(seen: Seen) -> int | None:
    """Return the generation of the InboundSmtp that the configuration of new pods was made of."""
    deployment = seen.deployment
    if deployment is None:
        return None
    template = deployment["spec"]["template"]["spec"]
    return configuration.generation(seen.mounted(template, volumes.CONFIG_VOLUME, configuration.KEY))


def _of_generation(gateway: InboundSmtp, generation: int | None) -> InboundSmtp:
    """Return the gateway with the generation that its pods run.

    Suspending it has made a new generation, which alone is no difference between what is rendered and what is there.
    """
    if generation is None:
        return gateway
    return gateway.model_copy(update={"metadata": gateway.metadata.model_copy(update={"generation": generation})})
