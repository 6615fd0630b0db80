"""`mailport operator`: bring every InboundSmtp of a cluster to what it says."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from mailport.commands.options import (
    Commands,
    add_children,
    add_command,
    host_and_port,
    inputs,
    switched_on,
    words_from_environment,
)

if TYPE_CHECKING:
    from mailport.operator.admit.permitted import Allowed


def add(commands: Commands) -> None:
    """Describe the command and its options."""
    from mailport.operator.admit import permitted  # noqa: PLC0415

    parser = add_command(
        commands,
        "operator",
        "reconcile every InboundSmtp of a cluster; runs in a pod, or with the current kubeconfig",
        "mailport operator --namespace mail --listener-image registry.example.org/mailport:1.2.3",
    )
    add = parser.add_argument
    add(
        "--namespace",
        metavar="NS",
        action="append",
        default=words_from_environment("MAILPORT_NAMESPACE"),
        help="watch this namespace; may be given several times (default: all of them)",
    )
    add_children(parser)
    add(
        "--leader-elect",
        action="store_true",
        default=switched_on("MAILPORT_LEADER_ELECT"),
        help="run several replicas, of which only the holder of the Lease mailport-operator writes",
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
        action=_Allow,
        default=os.environ.get("MAILPORT_ALLOW", ",".join(sorted(permitted.DEFAULT.names))),
        type=_allowed,
        help=f"what authors of InboundSmtps may use: names of {', '.join(permitted.ALLOWANCES)} (default: "
        "%(default)s), "
        f"and patterns KIND=PATTERN where * matches anything, as in annotations=example.org/*, of the kinds "
        f"{', '.join(permitted.PATTERNS)}, each with a default of its own: {_default_patterns()}. "
        "May be given several times; replaces the default and the variable",
    )
    add(
        "--admin",
        metavar="HOST:PORT",
        type=host_and_port,
        default=os.environ.get("MAILPORT_ADMIN"),
        help="serve /livez, /readyz and /metrics there; :8080 is all addresses (default: nowhere)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from mailport.operator.admit.options import Options  # noqa: PLC0415
    from mailport.operator.operate import OperateOptions, operate  # noqa: PLC0415 - kopf takes a second to load

    return operate(
        OperateOptions(
            gateways=Options(inputs(options), options.allow),
            namespaces=tuple(dict.fromkeys(options.namespace)),
            leader_elect=options.leader_elect,
            lease_namespace=options.lease_namespace,
            admin=options.admin,
        )
    )


class _Allow(argparse.Action):
    """Collects what is given several times; it replaces the default and the variable."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest)
        # The default is still text here
        setattr(namespace, self.dest, values if isinstance(before, str) else before.together_with(values))


def _allowed(text: str) -> Allowed:
    from mailport.operator.admit import permitted  # noqa: PLC0415

    try:
        return permitted.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _default_patterns() -> str:
    from mailport.operator.admit import permitted  # noqa: PLC0415

    given = permitted.DEFAULT_PATTERNS
    own = ", ".join(given[permitted.SERVICE_ANNOTATIONS])
    return (
        f"serviceAnnotations= those of load balancers ({own}), claims=*, loadBalancerClasses=*, and of the others none"
    )
