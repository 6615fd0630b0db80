"""PURE. What the fields of a spec say together that can never work: a Fault each. What is unwise: unwise.py.

Run once the shape is right (model/), as functions of the whole spec: a pydantic validator cannot name a path below
its own model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network

from mailport.address.mail_address import MAX_MAILBOX
from mailport.address.pattern import parse_pattern
from mailport.contract.faults import Fault, repeated
from mailport.contract.items import listeners, routes
from mailport.contract.kubernetes_rules import (
    dns_has_servers,
    mounts_have_volumes,
    network_policy_has_effect,
    one_source,
    pod_names_are_unique,
    replicas_have_room,
    service_fits_its_type,
    user_can_bind_ports_of_a_node,
)
from mailport.contract.model import (
    AuthMode,
    Clients,
    DmarcMode,
    Encryption,
    IpFamily,
    RejectMode,
    ReportMode,
    Spec,
    TlsMode,
)

Rule = Callable[[Spec], Iterable[Fault]]

ALWAYS_TLS = frozenset({TlsMode.START_TLS_REQUIRED, TlsMode.IMPLICIT})
"""Modes in which nothing but EHLO, NOOP and the like is said before TLS."""


def check(spec: Spec) -> tuple[Fault, ...]:
    """Return everything that keeps this spec from being served as it says."""
    return tuple(fault for rule in RULES for fault in rule(spec))


# --- the gateway

MAX_HOSTNAME = MAX_MAILBOX - len("postmaster@")
"""Characters of a hostname that leave room for the postmaster's mailbox in front of it."""


def postmaster_fits(spec: Spec) -> Iterator[Fault]:
    """The postmaster has an address, one that can be written."""
    if spec.postmaster is None and len(spec.hostname) > MAX_HOSTNAME:
        yield Fault(
            "spec.postmaster", f"required: with a hostname over {MAX_HOSTNAME} characters its default is too long"
        )


# --- listeners


def unique_names(spec: Spec) -> Iterator[Fault]:
    """A name says which one is meant: to kubectl, in logs, in metrics."""
    yield from repeated("spec.listeners", "name", [listener.name for listener in spec.listeners])
    yield from repeated("spec.routes", "name", [route.name for route in spec.routes])
    if spec.tls:
        yield from repeated("spec.tls.certificateRefs", "name", [ref.name for ref in spec.tls.certificate_refs])


def unique_ports(spec: Spec) -> Iterator[Fault]:
    """A port is bound once, and the admin port is not for mail."""
    yield from repeated("spec.listeners", "port", [listener.port for listener in spec.listeners])
    yield from repeated("spec.listeners", "nodePort", [listener.node_port for listener in spec.listeners])
    for path, listener in listeners(spec):
        if listener.port == spec.pod.admin_port:
            yield Fault(f"{path}.port", f"{listener.port} is spec.pod.adminPort")


def tls_has_certificates(spec: Spec) -> Iterator[Fault]:
    """TLS cannot be spoken without a certificate."""
    for path, listener in listeners(spec):
        if listener.tls.mode not in {None, TlsMode.DISABLED} and spec.tls is None:
            yield Fault(f"{path}.tls.mode", f'"{listener.tls.mode}" needs spec.tls')


def auth_has_users(spec: Spec) -> Iterator[Fault]:
    """Nobody can log in where there are no users."""
    for path, listener in listeners(spec):
        if listener.auth.mode not in {None, AuthMode.NEVER} and spec.auth is None:
            yield Fault(f"{path}.auth.mode", f'"{listener.auth.mode}" needs spec.auth')


def required_auth_is_offered(spec: Spec) -> Iterator[Fault]:
    """Where AUTH is required and never offered, nobody could ever send."""
    for path, listener in listeners(spec):
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


# --- network


def families_fit(spec: Spec) -> Iterator[Fault]:
    """Each family once, and no address of another."""
    families = spec.network.ip_families
    if families is None:
        return
    yield from repeated("spec.network.ipFamilies", "", families)
    for index, address in enumerate(spec.network.bind_addresses):
        family = IpFamily.IPV4 if ip_network(address).version == 4 else IpFamily.IPV6
        if family not in families:
            yield Fault(f"spec.network.bindAddresses[{index}]", f"{family} is not in spec.network.ipFamilies")


# --- routes


def one_destination(spec: Spec) -> Iterator[Fault]:
    """Each route goes to one place."""
    for path, route in routes(spec):
        kinds = route.deliver.kinds
        if len(kinds) != 1:
            known = ", ".join(type(route.deliver).model_fields)
            yield Fault(f"{path}.deliver", f"must have exactly one of {known}; has {' and '.join(kinds) or 'none'}")


def no_open_relay(spec: Spec) -> Iterator[Fault]:
    """Mail for domains nobody wrote down is sent on only for those who proved who they are."""
    for path, route in routes(spec):
        if route.deliver.smtp and route.clients is Clients.ANYONE:
            wild = next((text for text in route.recipients if parse_pattern(text).has_wildcard_domain), None)
            if wild is not None:
                yield Fault(
                    f"{path}.clients",
                    f'must be "Authenticated": smtp with the wildcard domain of {wild} would be an open relay',
                )


def smtp_password_is_encrypted(spec: Spec) -> Iterator[Fault]:
    """A password is not sent where anyone on the way can have STARTTLS removed."""
    for path, route in routes(spec):
        smtp = route.deliver.smtp
        if smtp and smtp.credentials_secret_ref and smtp.tls.mode not in ALWAYS_TLS:
            yield Fault(
                f"{path}.deliver.smtp.credentialsSecretRef", 'needs tls.mode "StartTLSRequired" or "Implicit" beside it'
            )


def dmarc_has_what_it_needs(spec: Spec) -> Iterator[Fault]:
    """Who looks at half of what may pass refuses what the other half would have let in."""
    checks = spec.checks
    if checks is None or checks.dmarc.mode not in {DmarcMode.QUARANTINE, DmarcMode.REJECT}:
        return
    if checks.spf.mode is RejectMode.DISABLED or checks.dkim.mode is ReportMode.DISABLED:
        yield Fault("spec.checks.dmarc.mode", f'"{checks.dmarc.mode}" needs spf and dkim not to be "Disabled"')


def kms_key_is_used(spec: Spec) -> Iterator[Fault]:
    """A key that nothing is encrypted with is a misunderstanding."""
    for path, route in routes(spec):
        s3 = route.deliver.s3
        if s3 and s3.kms_key_id is not None and s3.server_side_encryption is not Encryption.AWS_KMS:
            yield Fault(f"{path}.deliver.s3.kmsKeyId", 'needs serverSideEncryption "aws:kms" beside it')


RULES: tuple[Rule, ...] = (
    postmaster_fits,  # postmaster@ the hostname, or written
    unique_names,  # of listeners, routes, certificates
    unique_ports,  # and none is the admin port
    tls_has_certificates,  # a mode written out needs spec.tls
    auth_has_users,  # a mode written out needs spec.auth
    required_auth_is_offered,  # or nobody could ever send
    families_fit,  # bindAddresses within ipFamilies
    service_fits_its_type,  # nodePort and the like
    replicas_have_room,  # minReplicas <= maxReplicas
    network_policy_has_effect,  # not on a node's network
    user_can_bind_ports_of_a_node,  # only root, below 1024
    pod_names_are_unique,  # of variables, volumes, and where they are mounted
    one_source,  # exactly one a variable and a volume
    mounts_have_volumes,  # of spec.pod.volumes
    dns_has_servers,  # dnsPolicy None needs some
    dmarc_has_what_it_needs,  # spf and dkim
    one_destination,  # exactly one a route
    no_open_relay,  # smtp with a wildcard domain
    smtp_password_is_encrypted,  # credentials only where TLS is certain
    kms_key_is_used,  # kmsKeyId only with aws:kms
)
