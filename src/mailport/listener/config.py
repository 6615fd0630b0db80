"""What a document becomes once it is loaded: everything a session asks of it, made ready beforehand."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mailport.address.ip_ranges import AddressSet
from mailport.contract.model import AuthMode, Listener, Spec, TlsMode
from mailport.deliver.destination import Destination
from mailport.deliver.health import Health
from mailport.listener.credentials import Users
from mailport.listener.slots import Slots
from mailport.listener.tls import CertificateInfo
from mailport.policy import auth, size
from mailport.policy.access import AccessList
from mailport.policy.ehlo import ehlo
from mailport.policy.rcpt import RouteFacts
from mailport.policy.recipients import Router

if TYPE_CHECKING:
    from mailport.checks.checker import Checker


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that the document names and that is not there (status.missing)."""

    kind: str
    name: str
    key: str
    field: str


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """One listener's options, made ready."""

    name: str
    port: int
    tls: TlsMode
    auth: AuthMode
    auth_required: bool
    trusted_proxies: AddressSet | None  # None: PROXY headers are not understood
    ehlo: dict[bool, bytes]  # the whole reply, by whether the connection is encrypted

    def under(self, spec: Spec) -> ListenerOptions:
        """Return the same options with the EHLO reply of another spec: it names limits of the whole gateway too."""
        return replace(self, ehlo=_ehlo(spec, self.tls, self.auth))


@dataclass(frozen=True, slots=True)
class Route:
    """One route, made ready."""

    name: str
    facts: RouteFacts
    destination: Destination
    health: Health  # of this destination
    slots: Slots
    timeout: float | None  # seconds of one delivery; None where the destination has nothing to wait for


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. Never changed: a reload makes another.

    Two are equal where nothing differs of what is served or reported. Not compared is what follows from other fields,
    made ready anew each time.
    """

    spec: Spec  # as it is served: where it names Secrets that are not mounted, with the former ones (mounted.py)
    generation: int
    hash: str  # sha256 of the document's bytes
    greeting: bytes = field(compare=False)
    listeners: dict[str, ListenerOptions] = field(compare=False)
    access: AccessList = field(compare=False)
    router: Router = field(compare=False)
    routes: tuple[Route, ...]  # a destination is the same object while its settings and its Secrets are the same
    checker: Checker | None = field(compare=False)  # None: nothing is asked about who sends
    size_limit: int = field(compare=False)  # octets, 0: none enforced
    drop_limit: int = field(compare=False)
    users: Users | None  # the same object while the file is the same
    tls: ssl.SSLContext | None = field(compare=False)  # of `certificates`
    certificates: tuple[CertificateInfo, ...] = ()
    tls_complete: bool = True  # every certificate has loaded at least once
    missing: tuple[Missing, ...] = ()
    not_mounted: tuple[str, ...] = ()  # Secrets that the document names, and only new pods have
    document_faults: tuple[str, ...] = ()  # of the files as they are now; the last good document is in use
    secret_faults: tuple[str, ...] = ()  # of what is there and does not load; an earlier good one stays in use
    warnings: tuple[str, ...] = ()

    @property
    def faults(self) -> str:
        """What does not load, in one line; empty where all does."""
        return "; ".join((*self.document_faults, *self.secret_faults))

    def serving(self, options: ListenerOptions, former: Config) -> Config:
        """Return the same with the former certificates and users, where it has none and a listener still needs them."""
        found = self
        if self.tls is None and options.tls is not TlsMode.DISABLED:
            found = replace(found, tls=former.tls)
        if self.users is None and options.auth is not AuthMode.NEVER:
            found = replace(found, users=former.users)
        return found

    @property
    def lacking(self) -> str:
        """What listeners need and has never loaded; empty where they have it all."""
        if not self.tls_complete and any(options.tls is not TlsMode.DISABLED for options in self.listeners.values()):
            return "a certificate has not been loaded"
        if self.users is None and any(options.auth is not AuthMode.NEVER for options in self.listeners.values()):
            return "the users have not been loaded"
        return ""


def listener_options(spec: Spec, listener: Listener) -> ListenerOptions:
    """Make a listener's options ready."""
    tls, mode = spec.tls_mode(listener), spec.auth_mode(listener)
    proxies = listener.proxy_protocol
    return ListenerOptions(
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
