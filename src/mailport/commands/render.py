"""`mailport render`: the children of an InboundSmtp, as YAML that `kubectl apply` takes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from mailport.commands.options import Commands, add_children, add_command, add_files, inputs, switched_on
from mailport.contract import documents, yaml_text
from mailport.contract.faults import Fault, Invalid
from mailport.contract.model import InboundSmtp, Metadata
from mailport.listener.files import read_files
from mailport.operator.admit.accepted import refusals
from mailport.operator.children.inputs import Inputs
from mailport.operator.children.manifests import children, too_large
from mailport.operator.metadata import Manifest


def add(commands: Commands) -> None:
    """Describe the command and its options."""
    parser = add_command(
        commands,
        "render",
        "print the Kubernetes objects that the operator would apply, as YAML",
        "mailport render -f mx.yaml --namespace mail | kubectl apply --server-side -f -",
    )
    add_files(parser, "an InboundSmtp; may be given several times, and - is stdin")
    add_children(parser)
    parser.add_argument(
        "--namespace",
        metavar="NS",
        default=os.environ.get("MAILPORT_NAMESPACE"),
        help="namespace of the objects where the document names none (default: left to kubectl)",
    )
    parser.add_argument(
        "--allow-local-destinations",
        action="store_true",
        default=switched_on("MAILPORT_ALLOW_LOCAL_DESTINATIONS"),
        help="as the operator with --allow localDestinations: routes may connect to loopback and link-local addresses",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    given = replace(inputs(options), local_destinations=options.allow_local_destinations)
    return render(options.file, options.namespace, given, out=sys.stdout, err=sys.stderr)


def render(paths: Iterable[Path], namespace: str | None, given: Inputs, out: TextIO, err: TextIO) -> int:
    """Print the children; returns the exit code: 0, or 2 with the faults on `err` and nothing on `out`."""
    try:
        made = _render(paths, namespace, given)
    except Invalid as invalid:
        print(invalid, file=err)
        return 2
    out.write(yaml_text.dump(made))
    return 0


def _render(paths: Iterable[Path], namespace: str | None, given: Inputs) -> tuple[Manifest, ...]:
    """Return the children of the one gateway in these files, if the operator would accept it. Raises Invalid."""
    found = documents.load(read_files(paths))
    gateway = _within(namespace, found.gateway)
    if faults := [refusal.fault for refusal in refusals(gateway, given)]:
        raise Invalid(fault.within(found.source) for fault in faults)
    made = children(gateway, given)
    if (fault := too_large(made)) is not None:
        raise Invalid([fault.within(found.source)])
    return made


def _within(namespace: str | None, gateway: InboundSmtp) -> InboundSmtp:
    """Return the gateway in that namespace. Raises Invalid where its document names another, as kubectl does."""
    named = gateway.metadata.namespace
    if namespace is None or namespace == named:
        return gateway
    if named is not None:
        raise Invalid([Fault("metadata.namespace", f"is {named}, and --namespace {namespace}")])
    metadata = gateway.metadata.model_dump(mode="json", by_alias=True) | {"namespace": namespace}
    return gateway.model_copy(update={"metadata": Metadata.parse_json(json.dumps(metadata))})
