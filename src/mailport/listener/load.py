"""From files to a Config. Everything in here blocks: call it in a thread.

Each part has a last good one of its own: the document, each certificate, the users. Where one does not load, the
earlier one of that name stays in use, and the other parts are taken up all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mailport.address.mail_address import Address
from mailport.contract import documents
from mailport.contract.documents import Contents
from mailport.contract.faults import Fault, Invalid
from mailport.contract.model import Clients, HtpasswdKeyRef, InboundSmtp, Spec
from mailport.contract.references import Reference, references
from mailport.deliver.maildir.usage import MailboxUsage
from mailport.deliver.registry import not_installed
from mailport.listener.checking import Checkers
from mailport.listener.config import Config, ListenerOptions, Missing, Route, listener_options, size_limits
from mailport.listener.credentials import BadHtpasswd, Users
from mailport.listener.destinations import Destinations, LoadedDestinations
from mailport.listener.files import Files, read_what_is_there
from mailport.listener.mounted import served_spec
from mailport.listener.secrets import Secrets, Sources, Unreadable
from mailport.listener.slots import Slots
from mailport.listener.tls import Certificates, LoadedTls
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from mailport.policy.access import AccessList
from mailport.policy.rcpt import RouteFacts
from mailport.policy.recipients import Router

if TYPE_CHECKING:
    from mailport.checks.checker import Checker

Prepare = Callable[[InboundSmtp, Secrets], Secrets]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the configuration and the mail are."""

    files: tuple[Path, ...]
    secrets: tuple[Path, ...] = ()  # DIR/<name>/<key>, as Kubernetes mounts them
    config_maps: tuple[Path, ...] = ()
    mail: Path = Path("var/mail")  # mailboxes are made in here
    scratch: Path | None = None  # where messages lie that memory has no room for; None: the system's temporary files
    mailbox_limit: int = 0  # octets that mailboxes without a claim may hold together; 0: no limit
    local_destinations: bool = False  # connections to loopback and link-local addresses are allowed
    denied_destinations: tuple[str, ...] = ()  # CIDRs that no connection goes to
    mounted: frozenset[str] | None = None  # what this pod mounts, as `serve --mounted` names it; None: not in a pod


@dataclass(frozen=True, slots=True)
class _Document:
    """A document that can be served, and the hash of the files that it came from."""

    gateway: InboundSmtp
    hash: str


@dataclass(slots=True)
class _UsersFile:
    """The users that one reference names: the last good ones, and what is wrong now."""

    ref: HtpasswdKeyRef
    users: Users | None = None
    missing: bool = False
    fault: str = ""
    content: bytes | None = field(default=None, repr=False)

    def load(self, secrets: Secrets) -> None:
        """Read what the Secret holds now. Never raises, whatever that is."""
        self.missing, self.fault = False, ""
        try:
            content = secrets.get("Secret", self.ref.name, self.ref.key)
            if content is None:
                self.missing = True
            elif content != self.content:
                self.users = Users.parse(content)
                self.content = content
        except (Unreadable, BadHtpasswd) as error:
            self.fault = f"Secret {self.ref.name}: {error}"
        except Exception as error:  # noqa: BLE001 - no Secret ends the process; and what is raised may quote it
            self.fault = f"Secret {self.ref.name}: the users cannot be loaded ({type(error).__name__})"


class Loader:
    """Loads the configuration, at the start and at each change. What no longer loads keeps its last good value."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._document: _Document | None = None  # the last good one
        self._secrets: Contents = {}  # those that stand in files
        self._config_maps: Contents = {}
        self._served: Spec | None = None  # what of the document is served: mounted.py
        self._certificates = Certificates()
        self._users: _UsersFile | None = None
        self._slots: dict[str, Slots] = {}
        self._watched: list[Path] = list(places.files)
        default = places.mail / "default"
        usage = MailboxUsage(default, places.mailbox_limit) if places.mailbox_limit else None
        allowed = Allowed(local=places.local_destinations, denied=places.denied_destinations)
        self._destinations = Destinations(places.mail, usage, Dialer(allowed), places.scratch)
        self._checkers = Checkers(allowed)
        self._piped: Files | None = None  # what stdin held, where a file is `-`

    def watched(self) -> list[Path]:
        """Return the files whose change calls for loading again."""
        return self._watched

    def load(self, prepare: Prepare = lambda _, secrets: secrets) -> Config:
        """Read everything; what does not load is in the Config's faults, and its last good one in the Config.

        `prepare` may add to the secrets once the document is known (--dev does). Raises Invalid with every fault, or
        OSError, where no document has loaded before.
        """
        begins = self._document is None
        document, faults = self._load_documents()
        secrets = Secrets(
            secrets=Sources(self._secrets, self._places.secrets),
            config_maps=Sources(self._config_maps, self._places.config_maps),
        )
        try:
            secrets = prepare(document.gateway, secrets)
        except OSError as error:
            if begins:
                raise
            faults.append(Fault("", error.strerror or "cannot be written", str(error.filename)))
        spec, not_mounted = served_spec(document.gateway.spec, self._served, self._is_there)
        self._served = spec
        destinations = self._destinations.load(document.gateway.spec, secrets, self._is_there)
        self._watched = [*self._places.files, *_secret_files(spec, secrets)]
        not_mounted = tuple(dict.fromkeys((*not_mounted, *destinations.not_mounted)))
        tls = self._load_tls(spec, secrets)
        self._load_users(spec, secrets)
        named = document.gateway.spec  # what the document does not name is not missed, though it may still be in use
        return _assemble(
            document=document,
            spec=spec,
            routes=tuple(self._routes(document, destinations)),
            checker=self._checkers.load(spec),
            tls=tls,
            file=self._users,
            missing=tuple(
                entry
                for entry in (*_missing(named, tls, self._users), *destinations.missing)
                if entry.name not in not_mounted
            ),
            document_faults=tuple(map(str, faults)),
            not_mounted=not_mounted,
            destination_faults=destinations.faults,
            check_warnings=self._checkers.warnings,
        )

    def _load_documents(self) -> tuple[_Document, list[Fault]]:
        """Return the document to serve, and what is wrong with the files as they are now."""
        texts, unreadable = self._read()
        found = documents.read(texts, unreadable)
        faults = list(found.faults)
        document = None
        if found.documents is not None:
            gateway = found.documents.gateway
            not_served = [fault.within(found.documents.source) for fault in not_installed(gateway.spec)]
            faults += not_served
            if not not_served:
                document = _Document(gateway, _hash(texts))
        if self._document is None and (faults or document is None):
            raise Invalid(faults)
        # A Secret that is not found may stand in what does not load: its last values stay in use.
        self._secrets = (self._secrets if faults else {}) | found.secrets
        self._config_maps = (self._config_maps if faults else {}) | found.config_maps
        document = document or self._document
        assert document is not None  # noqa: S101 - for mypy: Invalid was raised else
        self._document = document
        return document, faults

    def _read(self) -> tuple[Files, list[Fault]]:
        """Return the files. What came from stdin cannot come again, and stays."""
        faults: list[Fault] = []
        if self._piped is None:
            self._piped, faults = read_what_is_there(path for path in self._places.files if str(path) == "-")
        files, more_faults = read_what_is_there(path for path in self._places.files if str(path) != "-")
        return [*self._piped, *files], [*faults, *more_faults]

    def _is_there(self, wanted: Reference) -> bool:
        mounted = self._places.mounted
        documents = self._secrets if wanted.kind == "Secret" else self._config_maps
        if mounted is None or wanted.name in mounted or wanted.name in documents:
            return True
        return mounted.issuperset(wanted.mounts)

    def _routes(self, document: _Document, destinations: LoadedDestinations) -> Iterator[Route]:
        for index, route in enumerate(document.gateway.spec.routes):
            destination, health = destinations.by_route[route.name]
            yield Route(
                name=route.name,
                facts=RouteFacts(
                    index,
                    authenticated_only=route.clients is Clients.AUTHENTICATED,
                    relays=not destination.final,
                    refuses=route.deliver.refuse is not None,
                ),
                destination=destination,
                health=health,
                slots=self._slots.setdefault(route.name, Slots(route.max_concurrent)),
                timeout=route.deliver.timeout_seconds or None,
            )

    def _load_tls(self, spec: Spec, secrets: Secrets) -> LoadedTls | None:
        if spec.tls is None:
            self._certificates = Certificates()  # what is not named any more is forgotten
            return None
        names = [ref.name for ref in spec.tls.certificate_refs]
        return self._certificates.load(names, secrets, spec.tls.min_version, datetime.now(UTC))

    def _load_users(self, spec: Spec, secrets: Secrets) -> None:
        ref = spec.auth.htpasswd.secret_ref if spec.auth is not None else None
        if self._users is None or self._users.ref != ref:  # never the passwords of another Secret
            self._users = _UsersFile(ref) if ref is not None else None
        if self._users is not None:
            self._users.load(secrets)


def _secret_files(spec: Spec, secrets: Secrets) -> Iterator[Path]:
    for reference in references(spec):
        yield from secrets.paths(reference.kind, reference.name, reference.keys)


def _hash(texts: list[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for _, content in texts:
        digest.update(content)
    return digest.hexdigest()


def _assemble(
    *,
    document: _Document,
    spec: Spec,
    routes: tuple[Route, ...],
    checker: Checker | None,
    tls: LoadedTls | None,
    file: _UsersFile | None,
    missing: tuple[Missing, ...],
    document_faults: tuple[str, ...],
    not_mounted: tuple[str, ...],
    destination_faults: tuple[str, ...],
    check_warnings: tuple[str, ...],
) -> Config:
    size_limit, drop_limit = size_limits(spec)
    access = spec.access
    listeners: dict[str, ListenerOptions] = {
        listener.name: listener_options(spec, listener) for listener in spec.listeners
    }
    users = file.users if file is not None else None
    return Config(
        spec=spec,
        generation=document.gateway.metadata.generation,
        hash=document.hash,
        greeting=f"220 {spec.hostname} ESMTP Mailport\r\n".encode("ascii"),
        listeners=listeners,
        access=AccessList(access.policy, access.addresses) if access is not None else AccessList(),
        router=Router(spec.routes, hostname=spec.hostname, postmaster=Address.parse(spec.postmaster_address)),
        routes=routes,
        checker=checker,
        size_limit=size_limit,
        drop_limit=drop_limit,
        users=users,
        tls=tls.context if tls is not None else None,
        tls_complete=tls is None or tls.complete,
        certificates=tls.certificates if tls is not None else (),
        missing=missing,
        not_mounted=not_mounted,
        document_faults=document_faults,
        secret_faults=(
            *(tls.faults if tls else ()),
            *((file.fault,) if file and file.fault else ()),
            *destination_faults,
        ),
        warnings=(*(tls.warnings if tls else ()), *(users.warnings if users else ()), *check_warnings),
    )


def _missing(spec: Spec, tls: LoadedTls | None, file: _UsersFile | None) -> Iterator[Missing]:
    """Name what is missing of that which a spec names."""
    if spec.tls is not None and tls is not None:
        names = [ref.name for ref in spec.tls.certificate_refs]
        for name, key in tls.missing:
            if name in names:
                yield Missing("Secret", name, key, f"spec.tls.certificateRefs[{names.index(name)}]")
    if spec.auth is not None and file is not None and file.missing and file.ref == spec.auth.htpasswd.secret_ref:
        yield Missing("Secret", file.ref.name, file.ref.key, "spec.auth.htpasswd.secretRef")
