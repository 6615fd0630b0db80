"""From files to a Config. Everything in here blocks: call it in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mailport import documents
from mailport.address import Address
from mailport.deliver.build import NotInThisVersion, build
from mailport.deliver.delivery import Destination
from mailport.faults import Fault, Invalid
from mailport.listener.config import Config, Missing, Options, Route, options, size_limits
from mailport.listener.credentials import BadHtpasswd, Users
from mailport.listener.files import read_files
from mailport.listener.secrets import Secrets, Sources, Unreadable
from mailport.listener.slots import Slots
from mailport.listener.tls import CHAIN, KEY, Certificates, LoadedTls
from mailport.model import Clients, InboundSmtp, Spec
from mailport.policy.access import AccessList
from mailport.policy.rcpt import RouteFacts
from mailport.policy.recipients import Router

_RELAYS = frozenset(("smtp", "lmtp"))


@dataclass(frozen=True, slots=True)
class Places:
    """Where the configuration and the mail are."""

    files: tuple[Path, ...]
    secrets: tuple[Path, ...] = ()  # DIR/<name>/<key>, as Kubernetes mounts them
    config_maps: tuple[Path, ...] = ()
    mail: Path = Path("var/mail")


@dataclass(slots=True)
class _UsersFile:
    """What came of the users' file: the last good one, and what is wrong now."""

    users: Users | None = None
    missing: bool = False
    fault: str = ""
    content: bytes | None = field(default=None, repr=False)


class Loader:
    """Loads again and again; what was good once stays in use where the new one is missing or bad."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._certificates = Certificates()
        self._users = _UsersFile()
        self._destinations: dict[str, tuple[object, Destination]] = {}  # by the route's name
        self._slots: dict[str, Slots] = {}
        self._watched: list[Path] = list(places.files)
        self._piped: list[tuple[str, bytes]] | None = None  # what stdin held, where a file is `-`

    def watched(self) -> list[Path]:
        """Return the files whose change calls for loading again."""
        return self._watched

    def load(self, prepare: Callable[[InboundSmtp, Secrets], Secrets] = lambda _, secrets: secrets) -> Config:
        """Read everything. Raises Invalid with every fault: then nothing has changed.

        `prepare` may add to the secrets once the document is known (--dev does).
        """
        texts = self._read()
        found = documents.load(texts)
        gateway = found.gateway
        secrets = Secrets(
            secrets=Sources(found.secrets, self._places.secrets),
            config_maps=Sources(found.config_maps, self._places.config_maps),
        )
        destinations = self._build(gateway.spec, found.source)
        secrets = prepare(gateway, secrets)
        tls = self._load_tls(gateway.spec, secrets)
        self._load_users(gateway.spec, secrets)
        self._destinations = destinations
        routes = tuple(self._routes(gateway.spec))
        self._watched = [*self._places.files, *_secret_files(gateway.spec, secrets)]
        return _assemble(gateway, _hash(texts), routes, tls, self._users)

    def _read(self) -> list[tuple[str, bytes]]:
        """Return the documents. What came from stdin cannot come again, and stays."""
        if self._piped is None:
            self._piped = read_files(path for path in self._places.files if str(path) == "-")
        return [*self._piped, *read_files(path for path in self._places.files if str(path) != "-")]

    def _build(self, spec: Spec, source: str) -> dict[str, tuple[object, Destination]]:
        """Return the destinations by their routes' names; those whose settings are as before stay the same."""
        built: dict[str, tuple[object, Destination]] = {}
        faults: list[Fault] = []
        for index, route in enumerate(spec.routes):
            wanted = route.deliver.destination
            known = self._destinations.get(route.name)
            if known is not None and known[0] == wanted:
                built[route.name] = known
                continue
            try:
                built[route.name] = (wanted, build(route.deliver, self._places.mail))
            except NotInThisVersion as error:
                field, _, message = str(error).partition(": ")
                faults.append(Fault(f"spec.routes[{index}].deliver.{field}", message, source))
        if faults:
            raise Invalid(faults)
        return built

    def _routes(self, spec: Spec) -> Iterator[Route]:
        for index, route in enumerate(spec.routes):
            yield Route(
                name=route.name,
                kind=route.deliver.kind,
                facts=RouteFacts(index, route.clients is Clients.AUTHENTICATED, route.deliver.kind in _RELAYS),
                destination=self._destinations[route.name][1],
                slots=self._slots.setdefault(route.name, Slots(route.max_concurrent)),
            )

    def _load_tls(self, spec: Spec, secrets: Secrets) -> LoadedTls | None:
        if spec.tls is None:
            return None
        names = [ref.name for ref in spec.tls.certificate_refs]
        return self._certificates.load(names, secrets, spec.tls.min_version, datetime.now(UTC))

    def _load_users(self, spec: Spec, secrets: Secrets) -> None:
        file = self._users
        file.missing, file.fault = False, ""
        if spec.auth is None:
            self._users = _UsersFile()
            return
        ref = spec.auth.htpasswd.secret_ref
        try:
            content = secrets.get("Secret", ref.name, ref.key)
            if content is None:
                file.missing = True
            elif content != file.content:
                file.users = Users.parse(content)
                file.content = content
        except (Unreadable, BadHtpasswd) as error:
            file.fault = f"Secret {ref.name}: {error}"


def _secret_files(spec: Spec, secrets: Secrets) -> Iterator[Path]:
    if spec.tls is not None:
        for ref in spec.tls.certificate_refs:
            yield from secrets.paths("Secret", ref.name, (CHAIN, KEY))
    if spec.auth is not None:
        ref = spec.auth.htpasswd.secret_ref
        yield from secrets.paths("Secret", ref.name, (ref.key,))


def _hash(texts: list[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for _, content in texts:
        digest.update(content)
    return digest.hexdigest()


def _assemble(
    gateway: InboundSmtp, config_hash: str, routes: tuple[Route, ...], tls: LoadedTls | None, users: _UsersFile
) -> Config:
    spec = gateway.spec
    size_limit, drop_limit = size_limits(spec)
    access = spec.access
    listeners: dict[str, Options] = {listener.name: options(spec, listener) for listener in spec.listeners}
    return Config(
        spec=spec,
        generation=gateway.metadata.generation,
        hash=config_hash,
        greeting=f"220 {spec.hostname} ESMTP Mailport\r\n".encode("ascii"),
        listeners=listeners,
        access=AccessList(access.policy, access.addresses) if access is not None else AccessList(),
        router=Router(spec.routes),
        routes=routes,
        postmaster=Address.parse(spec.postmaster_address),
        size_limit=size_limit,
        drop_limit=drop_limit,
        users=users.users,
        tls=tls.context if tls is not None else None,
        tls_complete=tls is None or tls.complete,
        certificates=tls.certificates if tls is not None else (),
        missing=tuple(_missing(spec, tls, users)),
        secret_faults=(*(tls.faults if tls is not None else ()), *((users.fault,) if users.fault else ())),
        warnings=(
            *(tls.warnings if tls is not None else ()),
            *(users.users.warnings if users.users is not None else ()),
        ),
    )


def _missing(spec: Spec, tls: LoadedTls | None, users: _UsersFile) -> Iterator[Missing]:
    if spec.tls is not None and tls is not None:
        names = [ref.name for ref in spec.tls.certificate_refs]
        for name, key in tls.missing:
            yield Missing("Secret", name, key, f"spec.tls.certificateRefs[{names.index(name)}]")
    if spec.auth is not None and users.missing:
        ref = spec.auth.htpasswd.secret_ref
        yield Missing("Secret", ref.name, ref.key, "spec.auth.htpasswd.secretRef")
