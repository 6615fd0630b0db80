"""`mailport validate`: what is wrong with files, and what is unwise, a line each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mailport.commands.options import (
    Commands,
    add_command,
    add_files,
    add_outward,
    add_references,
    switched_on,
)
from mailport.contract import documents, unwise
from mailport.contract.documents import Documents
from mailport.contract.faults import Fault, Invalid
from mailport.listener.credentials import BadHtpasswd, Users
from mailport.listener.files import read_files
from mailport.listener.secrets import Secrets, Sources
from mailport.listener.tls import Certificates

if TYPE_CHECKING:
    from mailport.listener.connect import Tried


def add(commands: Commands) -> None:
    """Describe the command and its options."""
    parser = add_command(
        commands,
        "validate",
        "check documents: one line a fault, then warnings for what is legal and unwise",
        "mailport validate -f examples/local.yaml\n  mailport validate --connect -f gateway.yaml --secrets secrets/",
    )
    add_files(parser, "a file to check; may be given several times, and - is stdin")
    parser.add_argument(
        "--connect",
        action="store_true",
        default=switched_on("MAILPORT_CONNECT"),
        help="also try each route's destination from here (connect, TLS, login, disconnect; no message is sent) and "
        "print the result; exit status 1 where one is not reachable",
    )
    add_references(parser)
    add_outward(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    connect = partial(_connect, options) if options.connect else None
    return validate(options.file, out=sys.stdout, err=sys.stderr, connect=connect)


def validate(
    paths: Iterable[Path], out: TextIO, err: TextIO, connect: Callable[[Documents], list[Tried]] | None = None
) -> int:
    """Check files that together hold one InboundSmtp; returns the exit code: 0, or 2 with the faults on `err`.

    `connect` tries the destinations of what is valid: 1 where one would put mail off.
    """
    try:
        found = documents.load(read_files(paths))
        warnings = [
            *unwise.warnings(found.gateway.spec, found.secrets),
            *_check_users(found),
            *_check_certificates(found),
        ]
    except Invalid as invalid:
        print(invalid, file=err)
        return 2
    for warning in warnings:
        print(f"{found.source}: warning: {warning}", file=err)
    print(f"{found.source}: InboundSmtp {found.gateway.metadata.name} is valid", file=out)
    try:
        tried = connect(found) if connect is not None else []
    except Invalid as invalid:
        print(invalid, file=err)
        return 2
    for one in tried:
        print(f"{found.source}: {one}", file=out)
    return 1 if any(one.failed for one in tried) else 0


def _connect(options: argparse.Namespace, found: Documents) -> list[Tried]:
    from mailport.listener.connect import try_destinations  # noqa: PLC0415 - without --connect it starts without it

    secrets = Secrets(
        secrets=Sources(found.secrets, tuple(options.secrets)),
        config_maps=Sources(found.config_maps, tuple(options.configmaps)),
    )
    return try_destinations(
        found.gateway.spec, secrets, local=options.allow_local_destinations, denied=options.deny_destinations
    )


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


def _check_certificates(found: Documents) -> list[Fault]:
    """Return what is unwise about those certificates whose Secrets are among the documents. Raises Invalid."""
    settings = found.gateway.spec.tls
    if settings is None:
        return []
    names = [ref.name for ref in settings.certificate_refs if ref.name in found.secrets]
    secrets = Secrets(secrets=Sources(found.secrets))
    loaded = Certificates().load(names, secrets, settings.min_version, datetime.now(UTC))
    faults = [f"Secret {name}: it has no {key}" for name, key in loaded.missing] + [*loaded.faults]
    if faults:
        raise Invalid(map(_fault, faults))
    return [*map(_fault, loaded.warnings)]


def _fault(said: str) -> Fault:
    where, _, what = said.partition(": ")
    return Fault(where, what)
