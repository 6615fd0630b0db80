"""PURE. The whole document: spec, metadata, and their defaults that depend on other fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from mailport.contract.formats import (
    Between,
    DnsLabel,
    DomainName,
    GatewayName,
    Mailbox,
    Maybe,
    Replicas,
)
from mailport.contract.model.access import Access
from mailport.contract.model.auth import Auth
from mailport.contract.model.base import Model
from mailport.contract.model.checks import Checks
from mailport.contract.model.kubernetes import (
    Autoscaling,
    DisruptionBudget,
    Management,
    NetworkPolicyMode,
    Pod,
    Service,
    ServiceType,
    TrafficPolicy,
)
from mailport.contract.model.limits import Content, Limits, MessageSize
from mailport.contract.model.listeners import AuthMode, Listener, TlsMode
from mailport.contract.model.network import Network
from mailport.contract.model.routes import Route
from mailport.contract.model.tls import Tls

_BESIDE_DELIVERY = 45  # seconds, for the rest of the content, the wait for a slot of the route, and the reply


class Spec(Model):
    """One gateway."""

    hostname: DomainName
    """Fully qualified name in greeting, EHLO and Received. Should resolve to the gateway, and back."""

    postmaster: Maybe[Mailbox] = None
    """Address that `RCPT TO:<postmaster>` means (RFC 5321 §4.5.1), and postmaster@ each domain that is served, where no
    route takes that address itself. Default: `postmaster@<hostname>`."""

    replicas: Replicas = 1
    """Pods; left alone while `autoscaling` is set."""

    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=16)]
    """The ports."""

    tls: Maybe[Tls] = None
    """The certificates. Default: none, no listener speaks TLS."""

    auth: Maybe[Auth] = None
    """The users. Default: none, nobody can log in."""

    limits: Limits = Limits()
    """What a client may use."""

    message_size: MessageSize = MessageSize()
    """How large a message may be."""

    content: Content = Content()
    """What content must be like."""

    access: Maybe[Access] = None
    """Which clients may connect. Default: everyone."""

    network: Network = Network()
    """Which addresses are listened on."""

    checks: Maybe[Checks] = None
    """What is asked about who sends, and what may follow from it. Default: none, nothing is asked. `{}`: SPF, DKIM,
    DMARC and iprev are reported."""

    routes: Annotated[tuple[Route, ...], Field(min_length=1, max_length=64)]
    """Who may send to whom, and where it goes: the first that matches. What no route takes is refused at RCPT, so this
    is never an open relay."""

    service: Service = Service()
    """The Service in front of the pods."""

    pod: Pod = Pod()
    """What the pods get beyond the defaults."""

    autoscaling: Maybe[Autoscaling] = None
    """Scaling by load. Default: none."""

    disruption_budget: Maybe[DisruptionBudget] = None
    """What a drain of nodes may take. Default: `{maxUnavailable: 1}` where more than one replica can be."""

    network_policy: NetworkPolicyMode = NetworkPolicyMode.UNMANAGED
    """`Managed`: only the listeners' ports and the admin port come in. Needs a network plugin that enforces
    NetworkPolicies: the API server takes one without, and it does nothing. No effect with hostNetwork, so refused
    there. `Unmanaged`: as the namespace has it, since clusters differ in how they treat load balancers there."""

    management: Management = Management.MANAGED
    """`Suspended`: the operator looks and reports, and touches nothing."""

    def tls_mode(self, listener: Listener) -> TlsMode:
        """When TLS begins on this listener, be it written or by default."""
        return listener.tls.mode or (TlsMode.START_TLS if self.tls else TlsMode.DISABLED)

    def auth_mode(self, listener: Listener) -> AuthMode:
        """Where AUTH is offered on this listener, be it written or by default."""
        return listener.auth.mode or (AuthMode.SECURE_ONLY if self.auth else AuthMode.NEVER)

    @property
    def postmaster_address(self) -> str:
        """What `<postmaster>` stands for."""
        return self.postmaster or f"postmaster@{self.hostname}"

    @property
    def drain_seconds(self) -> int:
        """Seconds that open transactions get when the process stops."""
        longest = max(route.deliver.timeout_seconds for route in self.routes)
        return self.limits.drain_seconds or longest + _BESIDE_DELIVERY

    @property
    def external_traffic_policy(self) -> TrafficPolicy | None:
        """How outside traffic reaches the pods; None where the Service takes none."""
        if self.service.type in {ServiceType.LOAD_BALANCER, ServiceType.NODE_PORT}:
            return self.service.external_traffic_policy or TrafficPolicy.LOCAL
        return None


class Metadata(Model):
    """What of an object's metadata matters here; the rest belongs to Kubernetes."""

    model_config = ConfigDict(extra="ignore")

    name: GatewayName
    """A DNS label that starts with a letter, at most 50 characters: children's names add to it."""

    namespace: Maybe[DnsLabel] = None
    """Namespace. Default: kubectl's."""

    generation: Annotated[int, Between(0, (1 << 63) - 1)] = 0
    """Kubernetes' own count of the spec's changes, reported in `/status`; 0 is a file that never was in a cluster."""


class InboundSmtp(Model):
    """The document."""

    api_version: Literal["mailport.dev/v1alpha1"]
    kind: Literal["InboundSmtp"]
    metadata: Metadata
    spec: Spec
    status: Annotated[None, BeforeValidator(lambda _: None)] = Field(default=None, exclude=True, repr=False)

    def dump(self) -> dict[str, Any]:
        """Return the document as JSON has it, every default written out; parses again to an equal one."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
