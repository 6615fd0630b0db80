"""InboundSmtps for the tables, each the smallest that there is but for what it is about."""

import json
from pathlib import Path
from typing import Any

from mailport.contract import documents
from mailport.contract.model import InboundSmtp
from mailport.operator.admit import permitted
from mailport.operator.children.inputs import Inputs
from mailport.operator.children.manifests import children

ROOT = Path(__file__).parent.parent.parent
CORPUS = sorted((ROOT / "tests/corpus/good").glob("*.yaml"))
EVERYTHING_ALLOWED = ",".join((*permitted.ALLOWANCES, *(f"{kind}=*" for kind in permitted.PATTERNS)))  # for --allow
EVERYTHING = permitted.parse(EVERYTHING_ALLOWED)
GIVEN = Inputs(listener_image="registry.example.org/mailport:1.2.3")

MINIMAL = {
    "hostname": "mx.example.org",
    "listeners": [{"name": "smtp", "port": 25}],
    "routes": [{"name": "nothing", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
}


def read(path: Path) -> InboundSmtp:
    return documents.load([(path.name, path.read_bytes())]).gateway


def gateway(name: str = "mx", *, namespace: str = "mail", generation: int = 3, **spec: Any) -> InboundSmtp:
    """Make a gateway; the fields of the spec are as in a document."""
    document = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": name, "namespace": namespace, "generation": generation},
        "spec": MINIMAL | spec,
    }
    return documents.load([("document", json.dumps(document).encode())]).gateway


def by_kind(made: InboundSmtp, given: Inputs = GIVEN) -> dict[str, dict[str, Any]]:
    """Render, by kind: there is one of each."""
    rendered = children(made, given)
    found = {child["kind"]: child for child in rendered}
    assert len(found) == len(rendered)
    return found


def maildir(name: str, claim: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "recipients": [f"*@{name}.example.org"],
        "deliver": {"maildir": {"claimName": claim} if claim else {}},
    }


def look(child: Any, path: str) -> Any:
    """Return what lies at a path such as spec.ports.0.name; None where there is nothing."""
    for part in path.split("."):
        if isinstance(child, list):
            child = child[int(part)] if int(part) < len(child) else None
        else:
            child = (child or {}).get(part)
    return child
