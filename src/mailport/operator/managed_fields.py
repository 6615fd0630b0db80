"""PURE. metadata.managedFields: who owns which field of an object (server-side apply, FieldsV1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mailport.operator.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE
from mailport.operator.metadata import OPERATOR, Manifest

FieldPath = tuple[str, ...]
"""The names of the fields on the way to a part of an object."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

POD_SPEC: FieldPath = ("spec", "template", "spec")
# Where nobody may add anything
CLOSED: dict[str, tuple[FieldPath, ...]] = {
    CONFIG_MAP.name: (("data",), ("binaryData",)),
    SERVICE.name: (("spec", "ports"),),
    DEPLOYMENT.name: ((*POD_SPEC, "containers"), (*POD_SPEC, "initContainers"), (*POD_SPEC, "volumes")),
}


def replicas_owned_by_others(deployment: Manifest) -> bool:
    """Whether somebody else sets `.spec.replicas`: an autoscaler by the scale subresource, or a person."""
    return any(
        entry.get("manager") != OPERATOR and "f:replicas" in owned_at(entry, ("spec",)) for entry in entries(deployment)
    )


def compact(observed: Manifest) -> Manifest:
    """Return the object without what nobody reads, for a cache of thousands; the functions here answer the same."""
    metadata = dict(observed["metadata"])
    if _LAST_APPLIED in metadata.get("annotations", {}):
        metadata["annotations"] = {
            name: value for name, value in metadata["annotations"].items() if name != _LAST_APPLIED
        }
    if "managedFields" in metadata:
        places = CLOSED.get(observed["kind"], ())
        # Each entry stays, as `added` names one by its index
        metadata["managedFields"] = [
            entry if is_our_apply(entry) else _reduced(entry, places) for entry in metadata["managedFields"]
        ]
    return {**observed, "metadata": metadata}


def _reduced(entry: Manifest, places: tuple[FieldPath, ...]) -> Manifest:
    """Keep who it is, and of what it owns .spec.replicas and the items where nobody may add any."""
    fields: Manifest = {}
    if "f:replicas" in owned_at(entry, ("spec",)):
        fields["f:spec"] = {"f:replicas": {}}
    for place in places:
        if owned := owned_at(entry, place):
            below = fields
            for part in place[:-1]:
                below = below.setdefault(f"f:{part}", {})
            below[f"f:{place[-1]}"] = {name: {} for name in owned}
    who: Manifest = {field: entry[field] for field in ("manager", "operation", "subresource") if field in entry}
    return {**who, "fieldsV1": fields} if fields else who


def is_our_apply(entry: Manifest) -> bool:
    """Whether an entry is what we own by applying, and not a status."""
    return entry.get("manager") == OPERATOR and entry.get("operation") == "Apply" and not entry.get("subresource")


def entries(observed: Manifest) -> list[Manifest]:
    """Return them all; none where they are not known."""
    found: list[Manifest] = observed["metadata"].get("managedFields") or []
    return found


def owned_at(entry: Manifest, place: FieldPath) -> Manifest:
    """Return what an entry owns directly below a place."""
    fields = look(entry.get("fieldsV1") or {}, tuple(f"f:{part}" for part in place))
    return fields or {}


def look(manifest: Manifest, place: FieldPath) -> Any:
    """Return what is at a place, None where there is nothing."""
    found: Any = manifest
    for part in place:
        found = (found or {}).get(part)
    return found


# --- what is ours


def owned_by_applying(observed: Manifest) -> Manifest:
    """Return what we own by applying, as FieldsV1 with what tells which object it is; nothing where that is unknown."""
    if "managedFields" not in observed.get("metadata", {}):
        return {}
    fields: Manifest = next((entry["fieldsV1"] for entry in entries(observed) if is_our_apply(entry)), {})
    identity: Manifest = {"f:name": {}, "f:namespace": {}}
    return {**fields, "f:apiVersion": {}, "f:kind": {}, "f:metadata": {**fields.get("f:metadata", {}), **identity}}


def owned_below(owned: Manifest | None, name: str) -> Manifest | None:
    """Return what we own below; empty is all that is there (an end of FieldsV1), None is nothing."""
    return owned.get(name) if owned else owned


def owned_item(owned: Manifest | None, item: Manifest) -> Manifest | None:
    """Return what we own of an item of a list that is merged by a key; None is nothing."""
    names = (name for name in owned or () if name.startswith("k:") and has_key(item, key_of(name)))
    return owned_below(owned, next(names, ""))


@lru_cache(maxsize=4096)
def key_of(name: str) -> Mapping[str, Any]:
    """Read the key of an item out of its name in FieldsV1: `k:{"port":25,"protocol":"TCP"}`."""
    key: Mapping[str, Any] = json.loads(name.removeprefix("k:"))
    return key


def owned_by_us_alone(observed: Manifest, place: FieldPath) -> set[str]:
    """Return what applying takes away when it is not applied: names of FieldsV1, directly below a place."""
    ours: set[str] = set()
    others: set[str] = set()
    for entry in entries(observed):
        (ours if is_our_apply(entry) else others).update(owned_at(entry, place))
    return ours - others


def our_updates(observed: Manifest) -> list[int]:
    """Return the indices, the last first, of entries that are ours and no apply."""
    return [
        index
        for index, entry in reversed(list(enumerate(entries(observed))))
        if entry.get("manager") == OPERATOR and entry.get("operation") == "Update" and not entry.get("subresource")
    ]


def has_key(item: Manifest, key: Mapping[str, Any]) -> bool:
    """Whether an item of a list has these fields, by which it is merged."""
    return all(item.get(field) == value for field, value in key.items())
