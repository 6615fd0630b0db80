"""`mailport render`: the children of an InboundSmtp, as YAML that `kubectl apply` takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from mailport import documents, yaml_text
from mailport.faults import Fault, Invalid
from mailport.listener.files import read_files
from mailport.model import InboundSmtp, Metadata
from mailport.operator.accepted import refusals
from mailport.operator.circumstances import Circumstances
from mailport.operator.manifests import children


def render(paths: Iterable[Path], namespace: str | None, given: Circumstances, out: TextIO, err: TextIO) -> int:
    """Print the children; returns the exit code: 0, or 2 with the faults on `err` and nothing on `out`."""
    try:
        gateway = _load(paths, namespace, given)
    except Invalid as invalid:
        print(invalid, file=err)
        return 2
    out.write(yaml_text.dump(children(gateway, given)))
    return 0


def _load(paths: Iterable[Path], namespace: str | None, given: Circumstances) -> InboundSmtp:
    """Return the one gateway in these files, if the operator would accept it. Raises Invalid."""
    found = documents.load(read_files(paths))
    gateway = _within(namespace, found.gateway)
    if refused := [refusal.fault.within(found.source) for refusal in refusals(gateway, given)]:
        raise Invalid(refused)
    return gateway


def _within(namespace: str | None, gateway: InboundSmtp) -> InboundSmtp:
    """Return the gateway in that namespace. Raises Invalid where its document names another, as kubectl does."""
    named = gateway.metadata.namespace
    if namespace is None or namespace == named:
        return gateway
    if named is not None:
        raise Invalid([Fault("metadata.namespace", f"is {named}, and --namespace {namespace}")])
    metadata = gateway.metadata.model_dump(mode="json", by_alias=True) | {"namespace": namespace}
    return gateway.model_copy(update={"metadata": Metadata.parse_json(json.dumps(metadata))})
