"""`mailport validate`: what is wrong with files, and what is unwise, a line each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from mailport import documents, rules
from mailport.documents import Documents
from mailport.faults import Fault, Invalid
from mailport.listener.credentials import BadHtpasswd, Users
from mailport.listener.files import read_files


def validate(paths: Iterable[Path], out: TextIO, err: TextIO) -> int:
    """Check files that together hold one InboundSmtp; returns the exit code: 0, or 2 with the faults on `err`."""
    try:
        found = documents.load(read_files(paths))
        _check_destinations(found)
        warnings = [*rules.warnings(found.gateway.spec), *_check_users(found)]
    except Invalid as invalid:
        print(invalid, file=err)
        return 2
    for warning in warnings:
        print(f"{found.source}: warning: {warning}", file=err)
    print(f"{found.source}: InboundSmtp {found.gateway.metadata.name} is valid", file=out)
    return 0


def _check_destinations(found: Documents) -> None:
    """Raise Invalid where the document is right, and this version cannot serve it."""
    if to_come := [*rules.not_in_this_version(found.gateway.spec)]:
        raise Invalid(fault.within(found.source) for fault in to_come)


def _check_users(found: Documents) -> list[Fault]:
    """Return what is unwise about the users, where their Secret is one of the documents. Raises Invalid."""
    settings = found.gateway.spec.auth
    if settings is None:
        return []
    ref = settings.htpasswd.secret_ref
    htpasswd = found.secrets.get(ref.name, {}).get(ref.key)
    if htpasswd is None:
        return []
    where = f"Secret {ref.name}, {ref.key}"
    try:
        return [Fault(where, warning) for warning in Users.parse(htpasswd).warnings]
    except BadHtpasswd as error:
        raise Invalid(Fault(where, str(fault)) for fault in error.faults) from error
