"""PURE. What besides the document decides what the children of an InboundSmtp look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mailport.contract.defaults import Defaults
from mailport.contract.model import InboundSmtp
from mailport.operator.children.configuration import FORMAT


class SecurityContext(StrEnum):
    """Who says as which user a listener runs."""

    FIXED = "Fixed"
    """We do: user and group 10001, and the sysctl that lets it bind ports below 1024."""

    PLATFORM = "Platform"
    """What admits pods, as OpenShift does by its SecurityContextConstraints: nothing of that is said."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The operator's options, and what it knows from the cluster; `mailport render` knows nothing of the latter."""

    listener_image: str
    """Image of the listener where the document names none."""

    listener_format: int = FORMAT
    """Format of the configuration that this image reads, where the document says none."""

    security_context: SecurityContext = SecurityContext.FIXED
    """Who says as which user a listener runs, where the document does not."""

    defaults: Defaults = field(default_factory=Defaults)
    """What the administrator gives every gateway that does not say."""

    local_destinations: bool = False
    """Whether listeners may connect to loopback, link-local (cloud metadata), unspecified and multicast addresses."""

    denied_destinations: tuple[str, ...] = ()
    """CIDRs that no listener connects to."""

    mounted_formats: frozenset[int] = frozenset()
    """Formats of the configuration that pods of this gateway mount, or would if they were started again."""

    owner_uid: str | None = None
    """uid of the InboundSmtp: children get an owner reference where it is known."""

    exclusive_claims: frozenset[str] = frozenset()
    """Claims of mail that one node alone can mount (ReadWriteOnce, ReadWriteOncePod)."""

    live_replicas: int | None = None
    """Only while autoscaling: the replicas to go on applying until the HorizontalPodAutoscaler owns the field, as a
    Deployment whose applied `replicas` is left out falls back to 1. None leaves it out."""

    live_load_balancer_class: str | None = None
    """The class of the Service of type LoadBalancer that there is, "" for none; None where there is no such Service.
    Kubernetes lets nobody change it, so that a document without one leaves it as it is."""

    numeric_target_ports: frozenset[int] = frozenset()
    """Ports of listeners to which the Service leads by number: pods that run have them under another name."""

    ports_of_running_pods: frozenset[int] = frozenset()
    """Ports of pods that run, the admin port too, which a NetworkPolicy lets in whatever the document has by now."""

    operator: str | None = None
    """Which installation of the operator applies them: an annotation of the Deployment, by which two see each other."""

    def format_of(self, gateway: InboundSmtp) -> int:
        """Return the format of the configuration that this gateway's new pods mount."""
        return gateway.spec.pod.config_format or self.listener_format
