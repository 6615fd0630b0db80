"""What a document becomes once it is loaded: everything a session asks of it, made ready beforehand."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace

from mailport.address import Address
from mailport.cidr import AddressSet
from mailport.deliver.delivery import Destination
from mailport.listener.credentials import Users
from mailport.listener.slots import Slots
from mailport.listener.tls import CertificateInfo
from mailport.model import AuthMode, Listener, Spec, TlsMode
from mailport.policy import auth, size
from mailport.policy.access import AccessList
from mailport.policy.ehlo import ehlo
from mailport.policy.rcpt import RouteFacts
from mailport.policy.recipients import Router


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that the document names and that is not there (status.missing)."""

    kind: str
    name: str
    key: str
    field: str


@dataclass(frozen=True, slots=True)
class Options:
    """One listener's options, made ready."""

    name: str
    port: int
    tls: TlsMode
    auth: AuthMode
    auth_required: bool
    trusted_proxies: AddressSet | None  # None: PROXY headers are not understood
    ehlo: dict[bool, bytes]  # the whole reply, by whether the connection is encrypted

    def under(self, spec: Spec) -> Options:
        """Return the same options in a document that has others for this listener, or none: EHLO tells of more."""
        return replace(self, ehlo=_ehlo(spec, self.tls, self.auth))


@dataclass(frozen=True, slots=True)
class Route:
    """One route, made ready."""

    name: str
    kind: str
    facts: RouteFacts
    destination: Destination
    slots: Slots


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. Never changed: a reload makes another."""

    spec: Spec
    generation: int
    hash: str  # sha256 of the document's bytes
    greeting: bytes
    listeners: dict[str, Options]
    access: AccessList
    router: Router
    routes: tuple[Route, ...]
    postmaster: Address
    size_limit: int  # octets, 0: none enforced
    drop_limit: int
    users: Users | None
    tls: ssl.SSLContext | None
    certificates: tuple[CertificateInfo, ...] = ()
    tls_complete: bool = True  # every certificate has loaded at least once
    missing: tuple[Missing, ...] = ()
    secret_faults: tuple[str, ...] = ()  # what is there and does not load; an earlier good one stays in use
    warnings: tuple[str, ...] = ()

    def same_as(self, other: Config) -> bool:
        """Whether nothing that is served by changed: neither the documents nor the Secrets they refer to."""
        return self.users is other.users and all(
            getattr(self, part) == getattr(other, part)
            for part in ("hash", "certificates", "missing", "secret_faults", "tls_complete")
        )

    @property
    def lacking(self) -> str:
        """What listeners need and has never loaded; empty where they have it all."""
        if not self.tls_complete and any(options.tls is not TlsMode.DISABLED for options in self.listeners.values()):
            return "a certificate has not been loaded"
        if self.users is None and any(options.auth is not AuthMode.NEVER for options in self.listeners.values()):
            return "the users have not been loaded"
        return ""


def options(spec: Spec, listener: Listener) -> Options:
    """Make a listener's options ready."""
    tls, mode = spec.tls_mode(listener), spec.auth_mode(listener)
    proxies = listener.proxy_protocol
    return Options(
        name=listener.name,
        port=listener.port,
        tls=tls,
        auth=mode,
        auth_required=listener.auth.required,
        trusted_proxies=AddressSet(proxies.trusted_cidrs) if proxies is not None else None,
        ehlo=_ehlo(spec, tls, mode),
    )


def _ehlo(spec: Spec, tls: TlsMode, mode: AuthMode) -> dict[bool, bytes]:
    return {
        encrypted: ehlo(
            spec.hostname,
            size=spec.message_size.advertised,
            max_recipients=spec.limits.max_recipients,
            starttls=not encrypted and tls in (TlsMode.START_TLS, TlsMode.START_TLS_REQUIRED),
            auth_offered=auth.offered(mode, encrypted=encrypted),
        )
        for encrypted in (False, True)
    }


def size_limits(spec: Spec) -> tuple[int, int]:
    """Return (size_limit, drop_limit) in octets."""
    limit = size.enforced(spec.message_size.advertised, spec.message_size.enforce)
    return limit, size.drop_limit(limit)
