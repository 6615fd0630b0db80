"""What `serve --dev` makes where it is missing: a self-signed certificate, and a user to log in as."""

from __future__ import annotations

import os
import secrets as random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mailport.contract.model import Spec, TlsVersion
from mailport.listener import tls
from mailport.listener.hashes import hash_password
from mailport.listener.secrets import Secrets, Sources, Unreadable

_PASSWORD_BYTES = 10  # random octets, in hex: too many to be guessed, and no program takes it for an option
_RENEW_BEFORE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DevSecrets:
    """The Secrets that one call of `make_missing` has made."""

    certificates: tuple[Path, ...]  # each a tls.crt, for a client's `--ca`
    users: Path | None  # the htpasswd file: remove it, and the next start makes another password
    user: str
    password: str = field(repr=False)  # not stored anywhere: show it now


def make_missing(spec: Spec, given: Secrets, directory: Path, now: datetime) -> tuple[Secrets, DevSecrets | None]:
    """Make the Secrets that the spec names and nobody gives, in `directory`/<name>/<key>. Blocks. Raises OSError.

    Returns all Secrets, and those that are new. What an earlier call made is used again; a certificate that has run
    out, or is of another hostname, is made anew. A Secret that has only one of its keys is left as it is: that is a
    mistake, reported when it is loaded.
    """
    secrets = given.also_below(directory)
    certificates = []
    for ref in spec.tls.certificate_refs if spec.tls else ():
        if not _has(given, ref.name, tls.CHAIN, tls.KEY) and not _serves(ref.name, directory, spec.hostname, now):
            chain, key = tls.self_signed(spec.hostname, now)
            _write(directory / ref.name / tls.KEY, key)
            certificates.append(_write(directory / ref.name / tls.CHAIN, chain))

    users, user, password = None, "", ""
    file = spec.auth.htpasswd.secret_ref if spec.auth else None
    if file and not _has(secrets, file.name, file.key):
        user, password = f"dev@{_mail_domain(spec.hostname)}", random.token_hex(_PASSWORD_BYTES)
        users = _write(directory / file.name / file.key, f"{user}:{hash_password(password)}\n".encode())
    new = DevSecrets(tuple(certificates), users, user, password) if certificates or users else None
    return secrets, new


def _has(secrets: Secrets, name: str, *keys: str) -> bool:
    try:
        return bool(secrets.get_all("Secret", name, keys))
    except Unreadable:
        return True  # it is there; that it cannot be read is reported when it is loaded


def _serves(name: str, directory: Path, hostname: str, now: datetime) -> bool:
    """Return whether an earlier call made this certificate and it can still be used."""
    made = Secrets(secrets=Sources(directories=(directory,)))
    loaded = tls.Certificates().load([name], made, TlsVersion.V1_2, now)
    return any(
        hostname.lower() in certificate.names and now + _RENEW_BEFORE < certificate.not_after
        for certificate in loaded.certificates
    )


def _mail_domain(hostname: str) -> str:
    """Return the domain that mail addresses of this host most likely have: example.org for mx.example.org."""
    _, _, domain = hostname.partition(".")
    return domain if "." in domain else hostname


def _write(path: Path, content: bytes) -> Path:
    """Write a file that only we may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{random.token_hex(4)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
