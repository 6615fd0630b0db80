"""PURE. Drift: what of a child in the cluster is not as we rendered it, and what puts it back.

A child is written by server-side apply, which merges: what others set beside our fields stays, and so it should (a
mesh's annotations, an autoscaler's replicas). So three questions are asked of what was observed. Which fields of ours
differ: `differences`. Which do we still own there and no longer render: `dropped`. Both are put right by applying. And
what did others add where nobody may: `added`, which applying alone would leave.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from mailport.operator.kinds import CONFIG_MAP, DEPLOYMENT, DISRUPTION_BUDGET, SERVICE
from mailport.operator.metadata import OPERATOR, Manifest

Place = tuple[str, ...]  # the fields on the way to a part of an object

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_POD: Place = ("spec", "template", "spec")
_CONTAINER = ".spec.template.spec.containers[]"
_VOLUME = ".spec.template.spec.volumes[]"

# Of the API's types (x-kubernetes-list-map-keys, x-kubernetes-map-type: tests/kube/test_drift.py compares them), what
# is in a child of ours, by its path without indices. Every list that is not here is atomic.
KEYED_LISTS = {
    ".metadata.ownerReferences": ("uid",),
    ".spec.ports": ("port", "protocol"),
    ".spec.template.spec.containers": ("name",),
    f"{_CONTAINER}.env": ("name",),
    f"{_CONTAINER}.ports": ("containerPort", "protocol"),
    f"{_CONTAINER}.resources.claims": ("name",),
    f"{_CONTAINER}.volumeMounts": ("mountPath",),
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
        f"{_CONTAINER}.env[].valueFrom.fieldRef",
        ".spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        ".spec.template.spec.imagePullSecrets[]",
        ".spec.template.spec.nodeSelector",
        ".spec.template.spec.topologySpreadConstraints[].labelSelector",
    }
)

# Where nobody may add anything
_CLOSED: dict[str, tuple[Place, ...]] = {
    CONFIG_MAP.name: (("data",), ("binaryData",)),
    SERVICE.name: (("spec", "ports"),),
    DEPLOYMENT.name: ((*_POD, "containers"), (*_POD, "initContainers"), (*_POD, "volumes")),
}
# What is put back whole where taking out is not enough
_WHOLE: dict[str, Place] = {
    SERVICE.name: ("spec", "ports"),
    DEPLOYMENT.name: _POD,
    DISRUPTION_BUDGET.name: ("spec",),
}
# Fields of which the API server takes one: applying ours beside another is refused for ever
_ONE_OF = (
    frozenset({"maxUnavailable", "minAvailable"}),  # of a budget
    frozenset({"exec", "grpc", "httpGet", "tcpSocket"}),  # of a probe
    frozenset({"value", "valueFrom"}),  # of a variable
    frozenset({"configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"}),
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
    return _differences(ours, theirs, "", "", _applied(theirs), atomic=False)


def _differences(
    ours: Any, theirs: Any, path: str, place: str, owned: Manifest | None, *, atomic: bool
) -> Iterator[str]:
    """`place` is the path without indices; `owned` as in `_owned_below`."""
    if owned is None:
        found = list(_differences(ours, theirs, path, place, {}, atomic=atomic))
        yield from found or [path]
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        atomic = atomic or place in ATOMIC_MAPS
        for field, value in ours.items():
            if value is not None:  # which is as good as nothing
                below, inside = f"{path}.{field}", f"{place}.{field}"
                owns = _owned_below(owned, f"f:{field}")
                yield from _differences(value, theirs.get(field), below, inside, owns, atomic=atomic)
        if atomic:
            yield from (f"{path}.{field}" for field in theirs if ours.get(field) is None)
    elif isinstance(ours, list) and isinstance(theirs, list) and place in KEYED_LISTS:
        for index, (item, other) in enumerate(_pairs(ours, theirs, place)):
            owns = _owned_item(owned, item)
            yield from _differences(item, other, f"{path}[{index}]", f"{place}[]", owns, atomic=atomic)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (item, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(item, other, f"{path}[{index}]", f"{place}[]", {}, atomic=True)
    elif ours != theirs:
        yield path


def _pairs(ours: list[Manifest], theirs: list[Manifest], place: str) -> Iterator[tuple[Manifest, Manifest | None]]:
    """Pair each item of ours with the one of the same key."""
    for item in ours:
        key = {field: item.get(field) for field in KEYED_LISTS[place]}
        yield item, next((other for other in theirs if _has(other, key)), None)


def _has(item: Manifest, key: Mapping[str, Any]) -> bool:
    return all(item.get(field) == value for field, value in key.items())


# --- fields that are ours no longer


def dropped(manifest: Manifest, observed: Manifest) -> Iterator[str]:
    """Yield the paths of what we applied once and no longer render, written as the API server writes them.

    `.spec.ports[port=25,protocol="TCP"].nodePort`. Applying takes them away, or leaves them to whoever has them too.
    """
    for entry in _entries(observed):
        if _is_our_apply(entry):
            yield from _dropped(entry["fieldsV1"], manifest, "")


def _dropped(fields: Manifest, ours: Any, path: str) -> Iterator[str]:
    """`fields` is of managedFields (FieldsV1): f: is a field, k: an item by its key, v: one by its value."""
    for name, below in fields.items():
        what, _, text = name.partition(":")
        if what == "f":
            yield from _dropped_below(below, ours, text, f"{path}.{text}")
        elif what == "k":
            key = _key(name)
            index = next((index for index, item in enumerate(ours) if _has(item, key)), None)
            shown = ",".join(f"{field}={json.dumps(value)}" for field, value in key.items())
            yield from _dropped_below(below, ours, index, f"{path}[{shown}]")
        elif what == "v" and json.loads(text) not in ours:
            yield f"{path}[={text}]"


def _dropped_below(fields: Manifest, ours: Any, at: str | int | None, path: str) -> Iterator[str]:
    if at is None or (isinstance(at, str) and at not in ours):
        yield path
    elif isinstance(ours[at], dict | list):
        yield from _dropped(fields, ours[at], path)


# --- what others added


def added(manifest: Manifest, observed: Manifest) -> list[Manifest]:
    """Return the operations of a JSON Patch (RFC 6902) that take out what others added; none where nothing was.

    Keys of ConfigMaps; containers and volumes; ports of Services. They are for exactly this `observed`, and come
    before the apply, which must follow: a Service whose port 25 became 2525 takes no second port of that name.

    Where others left nothing of ours, or something that excludes ours (another source of a volume, another probe), the
    part is replaced by ours, as without it the object would be refused. That makes our manager an owner by update
    beside its owning by apply, and what has two owners is not taken away when one drops it. So such an entry of
    managedFields goes too, the next time.
    """
    kind = manifest["kind"]
    foreign = {place: list(_foreign(manifest, observed, place)) for place in _CLOSED.get(kind, ())}
    if kind in _WHOLE and _is_not_enough(manifest, observed, foreign):
        whole = _WHOLE[kind]
        operations = [{"op": "replace", "path": _pointer(whole), "value": _look(manifest, whole)}]
    else:
        operations = [_remove((*place, at)) for place, found in foreign.items() for at in found]
    return operations + [_remove(("metadata", "managedFields", at)) for at in _our_updates(observed)]


def _foreign(manifest: Manifest, observed: Manifest, place: Place) -> Iterator[str | int]:
    """Yield the keys of a map, or the indices of a list, the last first, that applying would not take away."""
    ours, theirs = _look(manifest, place), _look(observed, place)
    alone = _owned_by_us_alone(observed, place)
    if isinstance(theirs, dict):
        yield from (key for key in theirs if key not in (ours or {}) and f"f:{key}" not in alone)
    elif isinstance(theirs, list):
        keys = KEYED_LISTS[f".{'.'.join(place)}"]
        leaving = [_key(name) for name in alone if name.startswith("k:")]
        for index, item in reversed(list(enumerate(theirs))):
            key = {field: item.get(field) for field in keys}
            if key not in leaving and not any(_has(our, key) for our in ours or ()):
                yield index


def _is_not_enough(manifest: Manifest, observed: Manifest, foreign: Mapping[Place, list[str | int]]) -> bool:
    """Whether what is left when the foreign is taken out would be refused, or refuse ours."""
    nothing_left = any(
        found and len(found) == len(_look(observed, place)) and _look(manifest, place)
        for place, found in foreign.items()
    )
    return nothing_left or _mounts_what_goes(observed, foreign) or _excludes(manifest, observed, "", _applied(observed))


def _mounts_what_goes(observed: Manifest, foreign: Mapping[Place, list[str | int]]) -> bool:
    volumes = {_look(observed, (*_POD, "volumes"))[index]["name"] for index in foreign.get((*_POD, "volumes"), ())}
    return any(
        mount["name"] in volumes
        for place in ((*_POD, "containers"), (*_POD, "initContainers"))
        for index, container in enumerate(_look(observed, place) or ())
        if index not in foreign.get(place, ())
        for mount in (*container.get("volumeMounts", ()), *container.get("volumeDevices", ()))
    )


def _excludes(ours: Any, theirs: Any, place: str, owned: Manifest | None) -> bool:
    """Whether something of theirs and what we apply cannot be together."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        beyond = theirs.keys() - ours.keys()
        return (
            any(group & ours.keys() and group & beyond for group in _ONE_OF)
            or (place == _VOLUME and bool(beyond))  # a volume is a name and one source
            or (place == f"{_CONTAINER}.resources" and _limits(ours, theirs))
            or any(
                _excludes(value, theirs.get(field), f"{place}.{field}", _owned_below(owned, f"f:{field}"))
                for field, value in ours.items()
            )
        )
    if isinstance(ours, list) and isinstance(theirs, list) and place in KEYED_LISTS:
        return (place == f"{_CONTAINER}.ports" and _takes_a_name(ours, theirs, owned)) or any(
            _excludes(item, other, f"{place}[]", _owned_item(owned, item))
            for item, other in _pairs(ours, theirs, place)
        )
    return False


def _takes_a_name(ours: list[Manifest], theirs: list[Manifest], owned: Manifest | None) -> bool:
    """Whether another port has the name of one of ours, and stays when we apply."""
    names, numbers = {port["name"] for port in ours}, {port["containerPort"] for port in ours}
    return any(
        port.get("name") in names and port["containerPort"] not in numbers and _owned_item(owned, port) is None
        for port in theirs
    )


def _limits(ours: Manifest, theirs: Manifest) -> bool:
    """Whether a limit of theirs may be below a request that we put back."""
    limited = (theirs.get("limits") or {}).keys() - (ours.get("limits") or {}).keys()
    wanted, there = ours.get("requests") or {}, theirs.get("requests") or {}
    return any(name in limited and value != there.get(name) for name, value in wanted.items())


def _remove(place: tuple[str | int, ...]) -> Manifest:
    return {"op": "remove", "path": _pointer(place)}


def _pointer(place: tuple[str | int, ...]) -> str:
    """Write a JSON Pointer (RFC 6901); no name that comes here can have one of its special characters, / and ~."""
    return "".join(f"/{part}" for part in place)


def _look(manifest: Manifest, place: Place) -> Any:
    """Return what is at a place, None where there is nothing."""
    found: Any = manifest
    for part in place:
        found = (found or {}).get(part)
    return found


# --- who owns what (metadata.managedFields)


def replicas_owned_by_others(deployment: Manifest) -> bool:
    """Whether somebody else sets `.spec.replicas`: an autoscaler by the scale subresource, or a person."""
    return any(
        entry.get("manager") != OPERATOR and "f:replicas" in _owned(entry, ("spec",)) for entry in _entries(deployment)
    )


def compact(observed: Manifest) -> Manifest:
    """Return the object without what nobody reads, for a cache of thousands; the functions here answer the same."""
    metadata = dict(observed["metadata"])
    if _LAST_APPLIED in metadata.get("annotations", {}):
        metadata["annotations"] = {
            name: value for name, value in metadata["annotations"].items() if name != _LAST_APPLIED
        }
    if "managedFields" in metadata:
        places = _CLOSED.get(observed["kind"], ())
        # Each entry stays, as `added` names one by its index
        metadata["managedFields"] = [
            entry if _is_our_apply(entry) else _reduced(entry, places) for entry in metadata["managedFields"]
        ]
    return {**observed, "metadata": metadata}


def _reduced(entry: Manifest, places: tuple[Place, ...]) -> Manifest:
    """Keep who it is, and of what it owns .spec.replicas and the items where nobody may add any."""
    fields: Manifest = {}
    if "f:replicas" in _owned(entry, ("spec",)):
        fields["f:spec"] = {"f:replicas": {}}
    for place in places:
        if owned := _owned(entry, place):
            below = fields
            for part in place[:-1]:
                below = below.setdefault(f"f:{part}", {})
            below[f"f:{place[-1]}"] = {name: {} for name in owned}
    who: Manifest = {field: entry[field] for field in ("manager", "operation", "subresource") if field in entry}
    return {**who, "fieldsV1": fields} if fields else who


def _applied(observed: Manifest) -> Manifest:
    """Return what we own by applying, as FieldsV1 with what tells which object it is; nothing where that is unknown."""
    if "managedFields" not in observed.get("metadata", {}):
        return {}
    fields: Manifest = next((entry["fieldsV1"] for entry in _entries(observed) if _is_our_apply(entry)), {})
    identity: Manifest = {"f:name": {}, "f:namespace": {}}
    return {**fields, "f:apiVersion": {}, "f:kind": {}, "f:metadata": {**fields.get("f:metadata", {}), **identity}}


def _owned_below(owned: Manifest | None, name: str) -> Manifest | None:
    """Return what we own below; empty is all that is there (an end of FieldsV1), None is nothing."""
    return owned.get(name) if owned else owned


def _owned_item(owned: Manifest | None, item: Manifest) -> Manifest | None:
    names = (name for name in owned or () if name.startswith("k:") and _has(item, _key(name)))
    return _owned_below(owned, next(names, ""))


@lru_cache(maxsize=4096)
def _key(name: str) -> Mapping[str, Any]:
    """Read the key of an item out of its name in FieldsV1: `k:{"port":25,"protocol":"TCP"}`."""
    key: Mapping[str, Any] = json.loads(name.removeprefix("k:"))
    return key


def _owned_by_us_alone(observed: Manifest, place: Place) -> set[str]:
    """Return what applying takes away when it is not applied: names of FieldsV1, directly below a place."""
    ours: set[str] = set()
    others: set[str] = set()
    for entry in _entries(observed):
        (ours if _is_our_apply(entry) else others).update(_owned(entry, place))
    return ours - others


def _owned(entry: Manifest, place: Place) -> Manifest:
    fields = _look(entry.get("fieldsV1") or {}, tuple(f"f:{part}" for part in place))
    return fields or {}


def _our_updates(observed: Manifest) -> list[int]:
    """Return the indices, the last first, of entries that are ours and no apply."""
    return [
        index
        for index, entry in reversed(list(enumerate(_entries(observed))))
        if entry.get("manager") == OPERATOR and entry.get("operation") == "Update" and not entry.get("subresource")
    ]


def _is_our_apply(entry: Manifest) -> bool:
    return entry.get("manager") == OPERATOR and entry.get("operation") == "Apply" and not entry.get("subresource")


def _entries(observed: Manifest) -> list[Manifest]:
    entries: list[Manifest] = observed["metadata"].get("managedFields") or []
    return entries
