"""PURE. What the fields of a spec say together: what can never work is a Fault, what is unwise a warning.

Run once the shape is right (model.py), as functions of the whole spec: a pydantic validator cannot name a path below
its own model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network

from mailport.address import Address
from mailport.faults import Fault
from mailport.model import (
    AccessPolicy,
    AuthMode,
    Clients,
    CreateMailboxes,
    Encryption,
    IpFamily,
    Listener,
    Route,
    ServiceType,
    Spec,
    TlsMode,
    TrafficPolicy,
)
from mailport.pattern import Pattern, parse_pattern

Rule = Callable[[Spec], Iterable[Fault]]

_REACHED_FROM_OUTSIDE = frozenset({ServiceType.NODE_PORT, ServiceType.LOAD_BALANCER})
_ALWAYS_TLS = frozenset({TlsMode.START_TLS_REQUIRED, TlsMode.IMPLICIT})
_SMTP_PORT = 25  # where other mail servers come (RFC 5321 §4.5.4.2)


def check(spec: Spec) -> tuple[Fault, ...]:
    """Return everything that keeps this spec from being served as it says."""
    return tuple(fault for rule in RULES for fault in rule(spec))


def warnings(spec: Spec) -> tuple[Fault, ...]:
    """Return what is legal and unwise, of a spec that `check` has found nothing wrong with."""
    return tuple(fault for rule in WARNINGS for fault in rule(spec))


# --- faults: listeners


def unique_names(spec: Spec) -> Iterator[Fault]:
    """A name says which one is meant: to kubectl, in logs, in metrics."""
    yield from _unique("spec.listeners", "name", [listener.name for listener in spec.listeners])
    yield from _unique("spec.routes", "name", [route.name for route in spec.routes])
    if spec.tls:
        yield from _unique("spec.tls.certificateRefs", "name", [ref.name for ref in spec.tls.certificate_refs])


def unique_ports(spec: Spec) -> Iterator[Fault]:
    """A port is bound once, and the admin port is not for mail."""
    yield from _unique("spec.listeners", "port", [listener.port for listener in spec.listeners])
    yield from _unique("spec.listeners", "nodePort", [listener.node_port for listener in spec.listeners])
    for path, listener in _listeners(spec):
        if listener.port == spec.pod.admin_port:
            yield Fault(f"{path}.port", f"{listener.port} is spec.pod.adminPort")


def tls_has_certificates(spec: Spec) -> Iterator[Fault]:
    """TLS cannot be spoken without a certificate."""
    for path, listener in _listeners(spec):
        if listener.tls.mode not in {None, TlsMode.DISABLED} and spec.tls is None:
            yield Fault(f"{path}.tls.mode", f'"{listener.tls.mode}" needs spec.tls')


def auth_has_users(spec: Spec) -> Iterator[Fault]:
    """Nobody can log in where there are no users."""
    for path, listener in _listeners(spec):
        if listener.auth.mode not in {None, AuthMode.NEVER} and spec.auth is None:
            yield Fault(f"{path}.auth.mode", f'"{listener.auth.mode}" needs spec.auth')


def required_auth_is_offered(spec: Spec) -> Iterator[Fault]:
    """Where AUTH is required and never offered, nobody could ever send."""
    for path, listener in _listeners(spec):
        if not listener.auth.required:
            continue
        match spec.auth_mode(listener), spec.tls_mode(listener):
            case AuthMode.NEVER, _ if listener.auth.mode is None:
                yield Fault(f"{path}.auth.required", "nobody could send: it needs spec.auth")
            case AuthMode.NEVER, _:
                yield Fault(f"{path}.auth.required", 'nobody could send: auth.mode is "Never"')
            case AuthMode.SECURE_ONLY, TlsMode.DISABLED:
                yield Fault(
                    f"{path}.auth.required",
                    'nobody could send: auth.mode is "SecureOnly" and this listener has no TLS',
                )


# --- faults: network and Service


def families_fit(spec: Spec) -> Iterator[Fault]:
    """Each family once, and no address of another."""
    families = spec.network.ip_families
    if families is None:
        return
    yield from _unique("spec.network.ipFamilies", "", families)
    for index, address in enumerate(spec.network.bind_addresses):
        family = IpFamily.IPV4 if ip_network(address).version == 4 else IpFamily.IPV6
        if family not in families:
            yield Fault(f"spec.network.bindAddresses[{index}]", f"{family} is not in spec.network.ipFamilies")


def service_fits_its_type(spec: Spec) -> Iterator[Fault]:
    """What the API server would refuse to set on a Service of this type."""
    service = spec.service
    if service.type not in _REACHED_FROM_OUTSIDE:
        needed = 'needs spec.service.type "NodePort" or "LoadBalancer"'
        for path, listener in _listeners(spec):
            if listener.node_port is not None:
                yield Fault(f"{path}.nodePort", needed)
        if service.external_traffic_policy is not None:
            yield Fault("spec.service.externalTrafficPolicy", needed)
    if service.type is not ServiceType.LOAD_BALANCER:
        for name, is_set in (
            ("loadBalancerClass", service.load_balancer_class is not None),
            ("loadBalancerSourceRanges", bool(service.load_balancer_source_ranges)),
            ("allocateLoadBalancerNodePorts", service.allocate_load_balancer_node_ports is not None),
        ):
            if is_set:
                yield Fault(f"spec.service.{name}", 'needs spec.service.type "LoadBalancer"')


def replicas_have_room(spec: Spec) -> Iterator[Fault]:
    """Fewest is not above most."""
    scaling = spec.autoscaling
    if scaling and scaling.min_replicas > scaling.max_replicas:
        yield Fault("spec.autoscaling.minReplicas", f"must not be above maxReplicas, {scaling.max_replicas}")


# --- faults: routes


def one_destination(spec: Spec) -> Iterator[Fault]:
    """Each route goes to one place."""
    for path, route in _routes(spec):
        kinds = route.deliver.kinds
        if len(kinds) != 1:
            known = ", ".join(type(route.deliver).model_fields)
            yield Fault(f"{path}.deliver", f"must have exactly one of {known}; has {' and '.join(kinds) or 'none'}")


def no_open_relay(spec: Spec) -> Iterator[Fault]:
    """Mail for domains nobody wrote down is sent on only for those who proved who they are."""
    for path, route in _routes(spec):
        if route.deliver.smtp and route.clients is Clients.ANYONE:
            wild = next((text for text in route.recipients if parse_pattern(text).has_wildcard_domain), None)
            if wild is not None:
                yield Fault(
                    f"{path}.clients",
                    f'must be "Authenticated": smtp with the wildcard domain of {wild} would be an open relay',
                )


def smtp_password_is_encrypted(spec: Spec) -> Iterator[Fault]:
    """A password is not sent where anyone on the way can have STARTTLS removed."""
    for path, route in _routes(spec):
        smtp = route.deliver.smtp
        if smtp and smtp.credentials_secret_ref and smtp.tls.mode not in _ALWAYS_TLS:
            yield Fault(
                f"{path}.deliver.smtp.credentialsSecretRef", 'needs tls.mode "StartTLSRequired" or "Implicit" beside it'
            )


def kms_key_is_used(spec: Spec) -> Iterator[Fault]:
    """A key that nothing is encrypted with is a misunderstanding."""
    for path, route in _routes(spec):
        s3 = route.deliver.s3
        if s3 and s3.kms_key_id is not None and s3.server_side_encryption is not Encryption.AWS_KMS:
            yield Fault(f"{path}.deliver.s3.kmsKeyId", 'needs serverSideEncryption "aws:kms" beside it')


RULES: tuple[Rule, ...] = (
    unique_names,  # of listeners, routes, certificates
    unique_ports,  # and none is the admin port
    tls_has_certificates,  # a mode written out needs spec.tls
    auth_has_users,  # a mode written out needs spec.auth
    required_auth_is_offered,  # or nobody could ever send
    families_fit,  # bindAddresses within ipFamilies
    service_fits_its_type,  # nodePort and the like
    replicas_have_room,  # minReplicas <= maxReplicas
    one_destination,  # exactly one a route
    no_open_relay,  # smtp with a wildcard domain
    smtp_password_is_encrypted,  # credentials only where TLS is certain
    kms_key_is_used,  # kmsKeyId only with aws:kms
)


# --- what is right, and to come


SERVED = frozenset(("maildir", "discard", "refuse"))
"""The destinations that this version serves. Another one in a document is right, and no listener loads it."""


def not_in_this_version(spec: Spec) -> Iterator[Fault]:
    """A destination that is to come; an image that the document names knows itself what it serves."""
    if spec.pod.image is not None:
        return
    for path, route in _routes(spec):
        if route.deliver.kind not in SERVED:
            yield Fault(f"{path}.deliver.{route.deliver.kind}", "not in this version")


# --- warnings


def passwords_in_clear(spec: Spec) -> Iterator[Fault]:
    """Passwords that anyone on the way can read."""
    for path, listener in _listeners(spec):
        if spec.auth_mode(listener) is AuthMode.ALWAYS and spec.tls_mode(listener) not in _ALWAYS_TLS:
            yield Fault(f"{path}.auth.mode", '"Always" takes passwords in clear here; "SecureOnly" would not')
    for path, route in _routes(spec):
        webhook = route.deliver.webhook
        if webhook and webhook.credentials_secret_ref and webhook.url.startswith("http:"):
            yield Fault(f"{path}.deliver.webhook.url", "the credentials travel in clear; use https")


def auth_that_is_never_offered(spec: Spec) -> Iterator[Fault]:
    """SecureOnly written out, where there is no TLS; as a default it is of no interest."""
    for path, listener in _listeners(spec):
        if listener.auth.mode is AuthMode.SECURE_ONLY and spec.tls_mode(listener) is TlsMode.DISABLED:
            yield Fault(f"{path}.auth.mode", '"SecureOnly" offers nothing on a listener without TLS')


def port_25_is_public(spec: Spec) -> Iterator[Fault]:
    """Other mail servers have no password here, and RFC 3207 §4 forbids to insist on TLS."""
    for path, listener in _listeners(spec):
        if listener.port != _SMTP_PORT:
            continue
        if listener.auth.required:
            yield Fault(f"{path}.auth.required", "other mail servers cannot log in: nothing comes in on port 25")
        if spec.tls_mode(listener) in _ALWAYS_TLS:
            yield Fault(f"{path}.tls.mode", "mail servers without TLS cannot send to port 25 (RFC 3207 §4)")


def nobody_can_authenticate(spec: Spec) -> Iterator[Fault]:
    """A route for those who logged in, where nobody can."""
    if any(spec.auth_mode(listener) is not AuthMode.NEVER for listener in spec.listeners):
        return
    for path, route in _routes(spec):
        if route.clients is Clients.AUTHENTICATED:
            missing = "no listener offers AUTH" if spec.auth else "there is no spec.auth"
            yield Fault(f"{path}.clients", f'"Authenticated", but {missing}: nobody can use this route')


def nobody_is_let_in(spec: Spec) -> Iterator[Fault]:
    """An empty list of the only ones allowed."""
    access = spec.access
    if access and access.policy is AccessPolicy.ALLOW_LISTED and not access.addresses:
        yield Fault("spec.access.addresses", "an empty list of the only ones allowed lets nobody in")


def client_addresses_are_hidden(spec: Spec) -> Iterator[Fault]:
    """Behind source NAT all clients have a node's address: a list of addresses judges nodes, and so does a limit."""
    judges = "spec.access" if spec.access else "spec.limits.maxConnectionsPerClient"
    is_judged = bool(spec.access or spec.limits.max_connections_per_client)
    if is_judged and spec.external_traffic_policy is TrafficPolicy.CLUSTER:
        hidden = [listener.name for listener in spec.listeners if listener.proxy_protocol is None]
        if hidden:
            yield Fault(
                "spec.service.externalTrafficPolicy",
                f'with "Cluster" clients come with the address of a node, which {judges} then judges on '
                f'{", ".join(hidden)}; use "Local", or PROXY headers',
            )


def anybody_is_trusted(spec: Spec) -> Iterator[Fault]:
    """A PROXY header from anywhere makes its sender whomever it likes to be."""
    for path, listener in _listeners(spec):
        cidrs = listener.proxy_protocol.trusted_cidrs if listener.proxy_protocol else ()
        for index, cidr in enumerate(cidrs):
            if ip_network(cidr, strict=False).prefixlen == 0:
                yield Fault(
                    f"{path}.proxyProtocol.trustedCIDRs[{index}]",
                    f"{cidr} lets anybody claim any address; name the load balancers alone",
                )


def postmaster_is_reached(spec: Spec) -> Iterator[Fault]:
    """Everyone must be able to write to the postmaster (RFC 5321 §4.5.1)."""
    postmaster = Address.parse(spec.postmaster_address)
    taking = next((place for place in _routes(spec) if any(p.matches(postmaster) for p in _patterns(place[1]))), None)
    asked = f"{spec.postmaster_address} must be able to get mail from anyone (RFC 5321 §4.5.1)"
    if taking is None:
        yield Fault("spec.routes", f"no route takes the postmaster: {asked}")
        return
    path, route = taking
    if route.clients is Clients.AUTHENTICATED or route.deliver.refuse:
        yield Fault(path, f"this route turns the postmaster's mail away: {asked}")


def routes_are_reached(spec: Spec) -> Iterator[Fault]:
    """The first match wins, so a route below one that covers it gets nothing."""
    exact: dict[str, str] = {}  # what earlier routes take, and their names
    wild: list[tuple[re.Pattern[str], str]] = []
    for path, route in _routes(spec):
        patterns = _patterns(route)
        takers: dict[str, None] = {}  # names, in order
        for text in map(str, patterns):
            taker = exact.get(text) or next((name for wide, name in wild if wide.fullmatch(text)), None)
            if taker is None:
                break
            takers[taker] = None
        else:
            yield Fault(path, f"gets nothing: {' and '.join(takers)} above takes all its recipients")
        exact |= {str(pattern): route.name for pattern in patterns if "*" not in str(pattern)}
        # As pattern.covers has it, compiled once: 6,400 patterns may be compared with each other
        wild += [(re.compile(pattern.expression), route.name) for pattern in patterns if "*" in str(pattern)]


def mailboxes_without_end(spec: Spec) -> Iterator[Fault]:
    """Folders cost inodes, and here any stranger can make them."""
    for path, route in _routes(spec):
        maildir = route.deliver.maildir
        if maildir is None or maildir.create_mailboxes is CreateMailboxes.NEVER or route.clients is not Clients.ANYONE:
            continue
        wild = next((text for text in route.recipients if "*" in text), None)
        if wild is not None:
            yield Fault(
                f"{path}.deliver.maildir.createMailboxes",
                f'with "Always" anyone can make mailboxes without end as {wild}; list the recipients, or use "Never"',
            )


def mailboxes_that_are_lost(spec: Spec) -> Iterator[Fault]:
    """An emptyDir ends with its pod."""
    for path, route in _routes(spec):
        if route.deliver.maildir and route.deliver.maildir.claim_name is None:
            yield Fault(
                f"{path}.deliver.maildir.claimName",
                "not set: in Kubernetes this mail lies in an emptyDir and is lost with the pod",
            )


WARNINGS: tuple[Rule, ...] = (
    passwords_in_clear,
    auth_that_is_never_offered,
    port_25_is_public,
    nobody_can_authenticate,
    nobody_is_let_in,
    client_addresses_are_hidden,
    anybody_is_trusted,
    postmaster_is_reached,
    routes_are_reached,
    mailboxes_without_end,
    mailboxes_that_are_lost,
)


def _listeners(spec: Spec) -> Iterator[tuple[str, Listener]]:
    return ((f"spec.listeners[{index}]", listener) for index, listener in enumerate(spec.listeners))


def _routes(spec: Spec) -> Iterator[tuple[str, Route]]:
    return ((f"spec.routes[{index}]", route) for index, route in enumerate(spec.routes))


def _patterns(route: Route) -> list[Pattern]:
    return [parse_pattern(text) for text in route.recipients]


def _unique(path: str, field: str, values: Iterable[object]) -> Iterator[Fault]:
    """Name each item that says again what an earlier one says; None says nothing."""
    first: dict[object, int] = {}
    for index, value in enumerate(values):
        if value is None:
            continue
        if first.setdefault(value, index) != index:
            yield Fault(f"{path}[{index}]{field and '.' + field}", f"{value} stands in {path}[{first[value]}] already")
