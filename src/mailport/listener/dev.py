"""What `serve --dev` makes where nobody gives it: a self-signed certificate, and a user to log in as."""

from __future__ import annotations

import os
import secrets as random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mailport.listener import tls
from mailport.listener.hashes import hash_password
from mailport.listener.secrets import Secrets, Sources, Unreadable
from mailport.model import Spec, TlsVersion

_PASSWORD_BYTES = 10  # in hex, as no option of a mail client begins like that: to be copied, not to be guessed
_RENEW_BEFORE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Made:
    """What was made by this call."""

    certificates: tuple[Path, ...]  # each a tls.crt, for a client's `--ca`
    users: Path | None  # the htpasswd file: remove it, and the next start makes another password
    user: str
    password: str = field(repr=False)  # stands nowhere else: print it now


def make_missing(spec: Spec, given: Secrets, directory: Path, now: datetime) -> tuple[Secrets, Made | None]:
    """Make the Secrets that the spec names and nobody gives, in `directory`/<name>/<key>. Blocks. Raises OSError.

    Returns all Secrets, and what is new. What an earlier call made is used again; a certificate that has run out, or is
    of another hostname, is made anew. What is given in part is left to be reported: that is a mistake.
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
    return secrets, Made(tuple(certificates), users, user, password) if certificates or users else None


def _has(secrets: Secrets, name: str, *keys: str) -> bool:
    try:
        return bool(secrets.get_all("Secret", name, keys))
    except Unreadable:
        return True  # it is there; that it cannot be read is reported when it is loaded


def _serves(name: str, directory: Path, hostname: str, now: datetime) -> bool:
    """Tell whether an earlier call made this certificate, and it still does."""
    made = Secrets(secrets=Sources(directories=(directory,)))
    loaded = tls.Certificates().load([name], made, TlsVersion.V1_2, now)
    return any(
        hostname.lower() in certificate.names and now + _RENEW_BEFORE < certificate.not_after
        for certificate in loaded.certificates
    )


def _mail_domain(hostname: str) -> str:
    """Return what addresses of this host most likely end in: mx.example.org is the host of example.org."""
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
