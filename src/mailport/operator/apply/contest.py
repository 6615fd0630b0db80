"""PURE. What a child has become that somebody else changes back again and again, and who that is."""

from __future__ import annotations

from collections.abc import Iterator

from mailport.operator.apply.place import digest
from mailport.operator.managed_fields import entries
from mailport.operator.metadata import OPERATOR, Manifest

_KUBERNETES = ("metadata", "status")


def state(there: Manifest) -> str:
    """Name what an object has become, but for what changes with each write."""
    labels = there["metadata"].get("labels")
    return digest([labels, {name: value for name, value in there.items() if name not in _KUBERNETES}])


def managers(there: Manifest, paths: list[str]) -> list[str]:
    """Name the other field managers that have these fields; where none has, whoever wrote last beside us.

    Another operator is none: it has our own name. Its mark is the annotation mailport.dev/operator of the Deployment.
    Who writes a status sets nothing of ours; who scales does, by the subresource `scale`.
    """
    others = [
        entry for entry in entries(there) if entry.get("manager") != OPERATOR and entry.get("subresource") != "status"
    ]
    owning = [entry for entry in others if any(_owns(entry.get("fieldsV1") or {}, path) for path in paths)]
    if not owning and not paths:
        owning = sorted(others, key=lambda entry: entry.get("time", ""))[-1:]
    return list(dict.fromkeys(str(entry.get("manager")) for entry in owning))


def _owns(fields: Manifest, path: str) -> bool:
    """Whether FieldsV1 have a field; of a list's items any will do, as the index is of another list."""
    level = [fields]
    for name in _names(path):
        level = [below for entry in level for below in _below(entry, name)]
    return bool(level)


def _below(fields: Manifest, name: str) -> Iterator[Manifest]:
    if f"f:{name}" in fields:
        yield fields[f"f:{name}"]
    for item, below in fields.items():
        if item.startswith("k:") and f"f:{name}" in below:
            yield below[f"f:{name}"]


def _names(path: str) -> list[str]:
    """Return the fields on a path such as .spec.ports[0].port."""
    return [part.partition("[")[0] for part in path.split(".") if part]
