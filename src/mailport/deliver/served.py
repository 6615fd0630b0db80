"""PURE. Which kinds of destination this version serves; the operator asks without loading what serves them."""

from __future__ import annotations

from collections.abc import Iterator

from mailport.contract import model
from mailport.contract.faults import Fault

SERVED = frozenset({"smtp", "lmtp", "webhook", "s3", "nats", "maildir", "discard", "refuse"})


def not_in_this_version(spec: model.Spec) -> Iterator[Fault]:
    """Yield a fault for each route whose document is right, and whose destination this version does not have."""
    for index, route in enumerate(spec.routes):
        if route.deliver.kind not in SERVED:
            yield Fault(f"spec.routes[{index}].deliver.{route.deliver.kind}", "not in this version")
