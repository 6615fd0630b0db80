"""The commands: `mailport serve`, `operator`, `validate`, `render`, `hash-password`, `send`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mailport import __version__

_EPILOG = """\
exit status: 0 after a clean end, 2 for a bad document or option (nothing was opened), 1 for anything else.
Each option may also be given as an environment variable: --shutdown-delay is MAILPORT_SHUTDOWN_DELAY.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status = options.run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `mailport validate … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mailport",
        description="The inbound SMTP gateway that Kubernetes lacks; the same document runs on a laptop.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mailport {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_operator(commands)
    _add_validate(commands)
    _add_render(commands)
    _add_hash_password(commands)
    _add_send(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "serve",
        "serve an InboundSmtp document",
        "mailport serve -f examples/local.yaml --dev",
    )
    _add_files(parser, "an InboundSmtp, and the Secrets and ConfigMaps it refers to; may be given several times")
    add = parser.add_argument
    add(
        "--secrets",
        metavar="DIR",
        action="append",
        type=Path,
        default=_paths_from_environment("MAILPORT_SECRETS"),
        help="where Secrets are that the files do not hold: DIR/<name>/<key>, as Kubernetes mounts them",
    )
    add(
        "--configmaps",
        metavar="DIR",
        action="append",
        type=Path,
        default=_paths_from_environment("MAILPORT_CONFIGMAPS"),
        help="likewise for ConfigMaps (caRef)",
    )
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
        type=_host_and_port,
        default=os.environ.get("MAILPORT_ADMIN"),
        help="serve /livez, /readyz, /metrics and /status there (default: nowhere)",
    )
    add(
        "--dev",
        action="store_true",
        default=_switched_on("MAILPORT_DEV"),
        help="make what is missing in DIR/dev: a self-signed certificate, and a user whose password is printed once",
    )
    add(
        "--shutdown-delay",
        metavar="SECONDS",
        type=_seconds,
        default=os.environ.get("MAILPORT_SHUTDOWN_DELAY", "0"),
        help="after SIGTERM serve on for so long, not ready, while load balancers notice (default: 0)",
    )
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from mailport.listener.serve import ServeOptions, serve  # noqa: PLC0415 - the other commands start without it

    return serve(
        ServeOptions(
            files=tuple(options.file),
            secrets=tuple(options.secrets),
            config_maps=tuple(options.configmaps),
            data=options.data,
            admin=options.admin,
            dev=options.dev,
            shutdown_delay=options.shutdown_delay,
            in_pod="KUBERNETES_SERVICE_HOST" in os.environ,
        )
    )


def _add_operator(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from mailport.operator import permitted  # noqa: PLC0415

    parser = _command(
        commands,
        "operator",
        "bring every InboundSmtp of a cluster to what it says; in a pod, or with the current kubeconfig",
        "mailport operator --namespace mail --listener-image registry.example.org/mailport:1.2.3",
    )
    add = parser.add_argument
    add(
        "--namespace",
        metavar="NS",
        action="append",
        default=_words_from_environment("MAILPORT_NAMESPACE"),
        help="look after this namespace; may be given several times (default: all of them)",
    )
    _add_listener(parser)
    add(
        "--leader-elect",
        action="store_true",
        default=_switched_on("MAILPORT_LEADER_ELECT"),
        help="of several replicas let one write: the one that holds the Lease mailport-operator",
    )
    add(
        "--lease-namespace",
        metavar="NS",
        default=os.environ.get("MAILPORT_LEASE_NAMESPACE"),
        help="where that Lease is (default: the pod's own namespace)",
    )
    add(
        "--allow",
        metavar="WHAT,…",
        type=_allowed,
        default=os.environ.get("MAILPORT_ALLOW", ",".join(sorted(permitted.DEFAULT))),
        help=f"what authors of InboundSmtps may ask for, of {', '.join(permitted.ALLOWANCES)} (default: %(default)s)",
    )
    add(
        "--admin",
        metavar="HOST:PORT",
        type=_host_and_port,
        default=os.environ.get("MAILPORT_ADMIN"),
        help="serve /livez, /readyz and /metrics there; :8080 is all addresses (default: nowhere)",
    )
    parser.set_defaults(run=_operator)


def _operator(options: argparse.Namespace) -> int:
    from mailport.operator.operate import OperateOptions, operate  # noqa: PLC0415 - kopf takes a second to load
    from mailport.operator.reconcile import Options  # noqa: PLC0415

    return operate(
        OperateOptions(
            gateways=Options(options.listener_image, options.listener_format, options.allow),
            namespaces=tuple(dict.fromkeys(options.namespace)),
            leader_elect=options.leader_elect,
            lease_namespace=options.lease_namespace,
            admin=options.admin,
        )
    )


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "validate",
        "check documents: one line a fault, then warnings for what is legal and unwise",
        "mailport validate -f examples/local.yaml",
    )
    _add_files(parser, "a file to check; may be given several times, and - is stdin")
    parser.set_defaults(run=_validate)


def _validate(options: argparse.Namespace) -> int:
    from mailport.validate import validate  # noqa: PLC0415

    return validate(options.file, out=sys.stdout, err=sys.stderr)


def _add_render(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "render",
        "print the Kubernetes objects that the operator would apply, as YAML",
        "mailport render -f mx.yaml --namespace mail | kubectl apply --server-side -f -",
    )
    _add_files(parser, "an InboundSmtp; may be given several times, and - is stdin")
    _add_listener(parser)
    parser.add_argument(
        "--namespace",
        metavar="NS",
        default=os.environ.get("MAILPORT_NAMESPACE"),
        help="namespace of the objects where the document names none (default: left to kubectl)",
    )
    parser.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> int:
    from mailport.operator.circumstances import Circumstances  # noqa: PLC0415
    from mailport.render import render  # noqa: PLC0415

    given = Circumstances(listener_image=options.listener_image, listener_format=options.listener_format)
    return render(options.file, options.namespace, given, out=sys.stdout, err=sys.stderr)


def _add_hash_password(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "hash-password",
        "read a password from the terminal or stdin and print its argon2id hash for an htpasswd file",
        "printf 'anna@example.org:%s\\n' \"$(mailport hash-password)\" >> htpasswd",
    )
    parser.set_defaults(run=_hash_password)


def _hash_password(_: argparse.Namespace) -> int:
    from mailport.hash_password import run  # noqa: PLC0415

    return run()


def _add_send(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from mailport import send  # noqa: PLC0415

    parser = _command(
        commands,
        "send",
        "send a test message and show the conversation",
        "mailport send --to anna@example.org --server 127.0.0.1:2525 --insecure",
    )
    send.add_arguments(parser)
    parser.set_defaults(run=send.run)


def _add_files(parser: argparse.ArgumentParser, text: str) -> None:
    from_environment = _paths_from_environment("MAILPORT_FILE")
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        action="append",
        type=Path,
        default=from_environment,
        required=not from_environment,
        help=text,
    )


def _add_listener(parser: argparse.ArgumentParser) -> None:
    from mailport.operator.configuration import FORMAT  # noqa: PLC0415

    parser.add_argument(
        "--listener-image",
        metavar="REF",
        default=os.environ.get("MAILPORT_LISTENER_IMAGE", f"mailport:{__version__}"),
        help=f"image of the listener where the document names none (default: mailport:{__version__})",
    )
    parser.add_argument(
        "--listener-format",
        metavar="N",
        type=int,
        default=os.environ.get("MAILPORT_LISTENER_FORMAT", str(FORMAT)),
        help="format of the configuration that this image reads, where it is not this version's (default: %(default)s)",
    )


def _allowed(text: str) -> frozenset[str]:
    from mailport.operator import permitted  # noqa: PLC0415

    try:
        return permitted.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _words_from_environment(name: str) -> list[str]:
    return [word for word in os.environ.get(name, "").replace(",", " ").split() if word]


def _paths_from_environment(name: str) -> list[Path]:
    return [Path(path) for path in os.environ.get(name, "").split(os.pathsep) if path]


def _switched_on(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true")


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 300:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 300")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
