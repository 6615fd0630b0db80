"""What the commands' options have in common: environment variables, files, values as argparse wants them.

Each option may also be given as an environment variable: `--shutdown-delay` is MAILPORT_SHUTDOWN_DELAY.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mailport import __version__
from mailport.address.ip_ranges import parse_network
from mailport.operator.children.configuration import FORMAT

if TYPE_CHECKING:
    from mailport.contract.defaults import Defaults
    from mailport.operator.children.inputs import Inputs, SecurityContext

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name

EPILOG = """\
exit status: 0 after a clean end, 2 for a bad document or option (nothing was opened), 130 where Ctrl-C interrupts
another command than serve and operator, 1 for any other failure.
Options can also be set by environment variables, unless they say otherwise: --shutdown-delay is
MAILPORT_SHUTDOWN_DELAY. Switches are on with 1 or true. An option that may be given several times adds to its
variable, except for --allow, which replaces it.
"""


def add_command(commands: Commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Add a command with its summary and an example for its `--help`."""
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_files(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `-f FILE`, which may be given several times."""
    from_environment = paths_from_environment("MAILPORT_FILE")
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


def add_references(parser: argparse.ArgumentParser) -> None:
    """Add where the Secrets and ConfigMaps are that a document refers to and its files do not hold."""
    add = parser.add_argument
    add(
        "--secrets",
        metavar="DIR",
        action="append",
        type=Path,
        default=paths_from_environment("MAILPORT_SECRETS"),
        help="where Secrets are that the files do not hold: DIR/<name>/<key>, as Kubernetes mounts them",
    )
    add(
        "--configmaps",
        metavar="DIR",
        action="append",
        type=Path,
        default=paths_from_environment("MAILPORT_CONFIGMAPS"),
        help="where ConfigMaps (of a caRef) are that the files do not hold: DIR/<name>/<key>",
    )


def add_outward(parser: argparse.ArgumentParser) -> None:
    """Add the options that say to which addresses routes may connect."""
    add = parser.add_argument
    add(
        "--allow-local-destinations",
        action="store_true",
        default=switched_on("MAILPORT_ALLOW_LOCAL_DESTINATIONS"),
        help="let routes connect to loopback, link-local (cloud metadata), unspecified and multicast addresses",
    )
    add_denied_destinations(parser)


def add_listener(parser: argparse.ArgumentParser) -> None:
    """Add which image the listener has, and which format of the configuration that image reads."""
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


def add_children(parser: argparse.ArgumentParser) -> None:
    """Add what else decides what the children of an InboundSmtp look like: the operator and `render` have to agree."""
    add_listener(parser)
    parser.add_argument(
        "--security-context",
        metavar="WHO",
        type=_security_context,
        default=os.environ.get("MAILPORT_SECURITY_CONTEXT", "Fixed"),
        help="Fixed: listeners run as user and group 10001, and may bind ports below 1024. Platform: no user, group or "
        "sysctl is set, as the platform (OpenShift) chooses them (default: %(default)s)",
    )
    parser.add_argument(
        "--defaults",
        metavar="FILE",
        type=_defaults,
        default=os.environ.get("MAILPORT_DEFAULTS"),
        help="a YAML file with what a gateway gets where its InboundSmtp does not say: labels, annotations, "
        "pod.resources, pod.nodeSelector, pod.tolerations, pod.topologySpreadConstraints, pod.imagePullSecrets, "
        "service.annotations, service.loadBalancerClass (default: nothing)",
    )
    add_denied_destinations(parser)


def add_denied_destinations(parser: argparse.ArgumentParser) -> None:
    """Add where no route may connect to: `serve` holds to it, and the operator tells it to every pod."""
    parser.add_argument(
        "--deny-destinations",
        metavar="CIDR,…",
        type=_networks,
        default=os.environ.get("MAILPORT_DENY_DESTINATIONS", ""),
        help="addresses that no route may connect to, whatever its host's name (default: none)",
    )


def inputs(options: argparse.Namespace) -> Inputs:
    """Return what these options say."""
    from mailport.operator.children.inputs import Inputs  # noqa: PLC0415

    given = Inputs(
        options.listener_image,
        options.listener_format,
        options.security_context,
        denied_destinations=options.deny_destinations,
    )
    return given if options.defaults is None else replace(given, defaults=options.defaults)


def _security_context(text: str) -> SecurityContext:
    from mailport.operator.children.inputs import SecurityContext  # noqa: PLC0415

    try:
        return SecurityContext(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {' nor '.join(SecurityContext)}") from None


def _networks(text: str) -> tuple[str, ...]:
    networks = tuple(text.replace(",", " ").split())
    for network in networks:
        try:
            parse_network(network)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return networks


def _defaults(path: str) -> Defaults:
    from mailport.contract import defaults  # noqa: PLC0415
    from mailport.contract.faults import Invalid  # noqa: PLC0415
    from mailport.contract.yaml_text import MAX_BYTES  # noqa: PLC0415

    try:
        with Path(path).open("rb") as file:
            return defaults.load(path, file.read(MAX_BYTES + 1))
    except (OSError, Invalid) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def words_from_environment(name: str) -> list[str]:
    """Return the words of a variable, which commas or spaces separate."""
    return os.environ.get(name, "").replace(",", " ").split()


def paths_from_environment(name: str) -> list[Path]:
    """Return the paths of a variable, separated as in PATH."""
    return [Path(path) for path in os.environ.get(name, "").split(os.pathsep) if path]


def switched_on(name: str) -> bool:
    """Whether a variable says yes: `1` or `true`."""
    return os.environ.get(name, "").lower() in ("1", "true")


def host_and_port(text: str) -> tuple[str, int]:
    """Read HOST:PORT, the host being empty for all addresses."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)
