"""PURE. Drift: what of a child in the cluster is not as we rendered it.

A child is written by server-side apply, which merges: what others set beside our fields stays, and so it should (a
mesh's annotations, an autoscaler's replicas). So three questions are asked of what was observed. Which fields of ours
differ: `differences`. Which do we still own there and no longer render: `dropped`. Both are put right by applying. And
what did others add where nobody may, which applying alone would leave: additions.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mailport.operator.managed_fields import (
    entries,
    has_key,
    is_our_apply,
    key_of,
    owned_below,
    owned_by_applying,
    owned_item,
)
from mailport.operator.metadata import Manifest

CONTAINER = ".spec.template.spec.containers[]"
VOLUME = ".spec.template.spec.volumes[]"

# Of the API's types (x-kubernetes-list-map-keys, x-kubernetes-map-type: tests/kube/test_drift.py compares them), what
# is in a child of ours, by its path without indices. Every list that is not here is atomic.
KEYED_LISTS = {
    ".metadata.ownerReferences": ("uid",),
    ".spec.ports": ("port", "protocol"),
    ".spec.template.spec.containers": ("name",),
    f"{CONTAINER}.env": ("name",),
    f"{CONTAINER}.ports": ("containerPort", "protocol"),
    f"{CONTAINER}.resources.claims": ("name",),
    f"{CONTAINER}.volumeMounts": ("mountPath",),
    ".spec.template.spec.imagePullSecrets": ("name",),
    ".spec.template.spec.initContainers": ("name",),
    ".spec.template.spec.topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    ".spec.template.spec.volumes": ("name",),
}
ATOMIC_MAPS = frozenset(
    {
        ".metadata.ownerReferences[]",
        ".spec.podSelector",
        ".spec.selector",
        f"{CONTAINER}.env[].valueFrom.configMapKeyRef",
        f"{CONTAINER}.env[].valueFrom.fieldRef",
        f"{CONTAINER}.env[].valueFrom.secretKeyRef",
        ".spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        ".spec.template.spec.imagePullSecrets[]",
        ".spec.template.spec.nodeSelector",
        ".spec.template.spec.topologySpreadConstraints[].labelSelector",
    }
)


# --- fields of ours that differ


def differences(ours: Manifest, theirs: Manifest) -> Iterator[str]:
    """Yield the paths of fields that are not as rendered: `.spec.ports[0].port`, with the index that it has in ours.

    What others have beside ours is no difference, nor are their items in lists that are merged by a key. In lists and
    maps that the API has as atomic it is: there is only one owner of all that is in them. Where managedFields are
    known, a field that we do not own (any more) differs too: dropped one day, it would not go.

    What an author wrote in another way than the API server keeps it (`cpu: 0.1` for `100m`, an empty map) differs for
    ever. That is for the caller, who knows what still differs right after an apply.
    """
    return _differences(ours, theirs, "", "", owned_by_applying(theirs), atomic=False)


def _differences(
    ours: Any, theirs: Any, path: str, place: str, owned: Manifest | None, *, atomic: bool
) -> Iterator[str]:
    """`place` is the path without indices; `owned` as in `owned_below`."""
    if owned is None:
        found = list(_differences(ours, theirs, path, place, {}, atomic=atomic))
        yield from found or [path]
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        atomic = atomic or place in ATOMIC_MAPS
        for field, value in ours.items():
            if value is not None:  # which is as good as nothing
                below, inside = f"{path}.{field}", f"{place}.{field}"
                owns = owned_below(owned, f"f:{field}")
                yield from _differences(value, theirs.get(field), below, inside, owns, atomic=atomic)
        if atomic:
            yield from (f"{path}.{field}" for field in theirs if ours.get(field) is None)
    elif isinstance(ours, list) and isinstance(theirs, list) and place in KEYED_LISTS:
        for index, (item, other) in enumerate(pairs(ours, theirs, place)):
            owns = owned_item(owned, item)
            yield from _differences(item, other, f"{path}[{index}]", f"{place}[]", owns, atomic=atomic)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (item, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(item, other, f"{path}[{index}]", f"{place}[]", {}, atomic=True)
    elif ours != theirs:
        yield path


def pairs(ours: list[Manifest], theirs: list[Manifest], place: str) -> Iterator[tuple[Manifest, Manifest | None]]:
    """Pair each item of ours with the one of the same key."""
    for item in ours:
        key = {field: item.get(field) for field in KEYED_LISTS[place]}
        yield item, next((other for other in theirs if has_key(other, key)), None)


# --- fields that are ours no longer


def dropped(manifest: Manifest, observed: Manifest) -> Iterator[str]:
    """Yield the paths of what we applied once and no longer render, written as the API server writes them.

    `.spec.ports[port=25,protocol="TCP"].nodePort`. Applying takes them away, or leaves them to whoever has them too.
    """
    for entry in entries(observed):
        if is_our_apply(entry):
            yield from _dropped(entry["fieldsV1"], manifest, "")


def _dropped(fields: Manifest, ours: Any, path: str) -> Iterator[str]:
    """`fields` is of managedFields (FieldsV1): f: is a field, k: an item by its key, v: one by its value."""
    for name, below in fields.items():
        what, _, text = name.partition(":")
        if what == "f":
            yield from _dropped_below(below, ours, text, f"{path}.{text}")
        elif what == "k":
            key = key_of(name)
            index = next((index for index, item in enumerate(ours) if has_key(item, key)), None)
            shown = ",".join(f"{field}={json.dumps(value)}" for field, value in key.items())
            yield from _dropped_below(below, ours, index, f"{path}[{shown}]")
        elif what == "v" and json.loads(text) not in ours:
            yield f"{path}[={text}]"


def _dropped_below(fields: Manifest, ours: Any, at: str | int | None, path: str) -> Iterator[str]:
    if at is None or (isinstance(at, str) and at not in ours):
        yield path
    elif isinstance(ours[at], dict | list):
        yield from _dropped(fields, ours[at], path)
