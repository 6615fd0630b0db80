"""`mailport serve`: serve an InboundSmtp document on this machine, or in its pod."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mailport.commands.options import (
    Commands,
    add_command,
    add_files,
    add_outward,
    add_references,
    host_and_port,
    switched_on,
)
from mailport.contract import quantity


def add(commands: Commands) -> None:
    """Describe the command and its options."""
    parser = add_command(
        commands,
        "serve",
        "serve an InboundSmtp document",
        "mailport serve -f examples/local.yaml --dev",
    )
    add_files(
        parser,
        "an InboundSmtp, and the Secrets and ConfigMaps it refers to; may be given several times, and - is stdin",
    )
    add = parser.add_argument
    add_references(parser)
    add(
        "--data",
        metavar="DIR",
        type=Path,
        default=Path(os.environ.get("MAILPORT_DATA", "var")),
        help="mailboxes are made in DIR/mail (default: ./var)",
    )
    add(
        "--admin",
        metavar="HOST:PORT",
        type=host_and_port,
        default=os.environ.get("MAILPORT_ADMIN"),
        help="serve /livez, /readyz, /metrics and /status there (default: nowhere)",
    )
    add(
        "--dev",
        action="store_true",
        default=switched_on("MAILPORT_DEV"),
        help="make what is missing in DIR/dev: a self-signed certificate, and a user whose password is printed once",
    )
    add(
        "--shutdown-delay",
        metavar="SECONDS",
        type=_seconds,
        default=os.environ.get("MAILPORT_SHUTDOWN_DELAY", "0"),
        help="after SIGTERM serve on for so long, but say not ready, so that load balancers notice (default: 0)",
    )
    add(
        "--scratch",
        metavar="DIR",
        type=Path,
        default=os.environ.get("MAILPORT_SCRATCH") or None,
        help="where incoming messages lie that memory has no room for (default: where temporary files are)",
    )
    add(
        "--scratch-limit",
        metavar="SIZE",
        type=_size,
        default=os.environ.get("MAILPORT_SCRATCH_LIMIT", "0"),
        help="how much all incoming messages together may take in --scratch, such as 900Mi; beyond it the reply is 452 "
        "(default: nine tenths of the document's spec.pod.scratchSize)",
    )
    add(
        "--mailbox-limit",
        metavar="SIZE",
        type=_size,
        default=os.environ.get("MAILPORT_MAILBOX_LIMIT", "0"),
        help="how much the mailboxes without a claimName (DIR/mail/default) may take; beyond it the reply is 452 "
        "(default: 0, no limit)",
    )
    add(
        "--mounted",
        metavar="KIND/NAME/KEY,…",
        type=_names,
        default=os.environ.get("MAILPORT_MOUNTED"),
        help="the keys of Secrets and ConfigMaps that are mounted into this pod, such as Secret/mx-users/htpasswd (the "
        "name alone: all keys of both kinds); a document that names others waits for a new pod. Set by the operator",
    )
    add_outward(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mailport.listener.lifecycle import ServeOptions, serve  # noqa: PLC0415 - the other commands start without it
    from mailport.listener.load import Places  # noqa: PLC0415 - likewise

    return serve(
        ServeOptions(
            places=Places(
                files=tuple(options.file),
                secrets=tuple(options.secrets),
                config_maps=tuple(options.configmaps),
                mail=options.data / "mail",
                scratch=options.scratch,
                mailbox_limit=options.mailbox_limit,
                local_destinations=options.allow_local_destinations,
                denied_destinations=options.deny_destinations,
                mounted=options.mounted,
            ),
            data=options.data,
            admin=options.admin,
            dev=options.dev,
            shutdown_delay=options.shutdown_delay,
            scratch_limit=options.scratch_limit,
            in_pod="KUBERNETES_SERVICE_HOST" in os.environ,
        )
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(text.replace(",", " ").split())


def _size(text: str) -> int:
    try:
        return quantity.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 300:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 300")
    return seconds
