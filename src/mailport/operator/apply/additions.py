"""PURE. What others added to a child where nobody may add anything, and the patch that takes it out.

Server-side apply leaves what others have beside our fields. In some places that would be more than a child may have:
a container, a key of the configuration, a right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mailport.operator.apply.drift import CONTAINER, KEYED_LISTS, VOLUME, pairs
from mailport.operator.kinds import DEPLOYMENT, DISRUPTION_BUDGET, SERVICE
from mailport.operator.managed_fields import (
    CLOSED,
    POD_SPEC,
    FieldPath,
    entries,
    has_key,
    is_our_apply,
    key_of,
    look,
    our_updates,
    owned_below,
    owned_by_applying,
    owned_by_us_alone,
    owned_item,
)
from mailport.operator.metadata import Manifest

# Fields that give rights, or take the rollout away from us: nobody sets them beside us. `*` is an item of ours
_RIGHTS: dict[str, tuple[FieldPath, ...]] = {
    SERVICE.name: (("spec", "externalIPs"),),  # the node takes what is sent to them
    DEPLOYMENT.name: (
        ("spec", "paused"),
        *((*POD_SPEC, name) for name in ("hostPID", "hostIPC", "hostNetwork", "shareProcessNamespace")),
        *((*POD_SPEC, "securityContext", name) for name in ("supplementalGroups", "seLinuxOptions", "sysctls")),
        *(
            (*POD_SPEC, "containers", "*", "securityContext", name)
            for name in ("privileged", "procMount", "runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions")
        ),
        (*POD_SPEC, "containers", "*", "securityContext", "capabilities", "add"),
    ),
}
# What a policy may well set everywhere, and gives nothing
_HARMLESS = {"paused": False, "privileged": False, "runAsNonRoot": True}
# What is put back whole where taking out is not enough
_WHOLE: dict[str, FieldPath] = {
    SERVICE.name: ("spec", "ports"),
    DEPLOYMENT.name: POD_SPEC,
    DISRUPTION_BUDGET.name: ("spec",),
}
# Fields of which the API server takes one: applying ours beside another is refused for ever
_ONE_OF = (
    frozenset({"maxUnavailable", "minAvailable"}),  # of a budget
    frozenset({"exec", "grpc", "httpGet", "tcpSocket"}),  # of a probe
    frozenset({"value", "valueFrom"}),  # of a variable
    frozenset({"configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"}),
)


def added(manifest: Manifest, observed: Manifest) -> list[Manifest]:
    """Return the operations of a JSON Patch (RFC 6902) that take out what others added; none where nothing was.

    Keys of ConfigMaps; containers and volumes; ports of Services; and what gives rights. They are for exactly this
    `observed`, and come before the apply, which must follow: a Service whose port 25 became 2525 takes no second port
    of that name.

    Where others left nothing of ours, or something that excludes ours (another source of a volume, another probe), the
    part is replaced by ours, as without it the object would be refused. That makes our manager an owner by update
    beside its owning by apply, and what has two owners is not taken away when one drops it. So such an entry of
    managedFields goes too, the next time.
    """
    kind = manifest["kind"]
    foreign = {place: list(_foreign(manifest, observed, place)) for place in CLOSED.get(kind, ())}
    rights = list(_rights(manifest, observed))
    if kind in _WHOLE and _is_not_enough(manifest, observed, foreign):
        whole = _WHOLE[kind]
        operations = [{"op": "replace", "path": _pointer(whole), "value": look(manifest, whole)}]
        rights = [place for place in rights if place[: len(whole)] != whole]
    else:
        operations = [_remove((*place, at)) for place, found in foreign.items() for at in found]
    operations = [_remove(place) for place in rights] + operations  # by the indices that there are now
    operations += list(_owner_changes(manifest, observed))
    return operations + [_remove(("metadata", "managedFields", at)) for at in our_updates(observed)]


def named(manifest: Manifest, observed: Manifest) -> list[str]:
    """Name what `added` takes out or puts back: `.spec.externalIPs`."""
    return [
        "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in operation["path"].split("/")[1:])
        for operation in added(manifest, observed)
    ]


def _owner_changes(manifest: Manifest, observed: Manifest) -> Iterator[Manifest]:
    """Put our owner reference in the place of that to an InboundSmtp of before, where applying would not drop that.

    So it is with what was restored without managedFields; and there may be only one controller.
    """
    fields: Manifest = next((entry["fieldsV1"] for entry in entries(observed) if is_our_apply(entry)), {})
    owned = (fields.get("f:metadata") or {}).get("f:ownerReferences")
    for ours in manifest["metadata"].get("ownerReferences", ()):
        for index, theirs in enumerate(observed["metadata"].get("ownerReferences", ())):
            same = all(ours[field] == theirs[field] for field in ("kind", "name"))
            if same and ours["uid"] != theirs["uid"] and owned_item(owned, theirs) is None:
                yield {"op": "replace", "path": _pointer(("metadata", "ownerReferences", index)), "value": ours}


def _rights(manifest: Manifest, observed: Manifest) -> Iterator[tuple[str | int, ...]]:
    """Yield where others have set what gives rights; not where we did, as applying takes that away."""
    for place in _RIGHTS.get(manifest["kind"], ()):
        yield from _set_by_others(manifest, observed, owned_by_applying(observed), place, ())


def _set_by_others(
    ours: Any, theirs: Any, owned: Manifest | None, place: FieldPath, at: tuple[str | int, ...]
) -> Iterator[tuple[str | int, ...]]:
    name, *rest = place
    if name == "*":
        for index, other in enumerate(theirs or ()):
            item = next((item for item in ours or () if item["name"] == other["name"]), None)
            if item is not None:
                yield from _set_by_others(item, other, owned_item(owned, item), tuple(rest), (*at, index))
    elif isinstance(theirs, dict) and theirs.get(name, _HARMLESS.get(name)) != _HARMLESS.get(name):
        mine = (ours or {}).get(name)
        below = owned_below(owned, f"f:{name}")
        if rest:
            yield from _set_by_others(mine, theirs[name], below, tuple(rest), (*at, name))
        elif mine is None and below is None:
            yield (*at, name)


def _foreign(manifest: Manifest, observed: Manifest, place: FieldPath) -> Iterator[str | int]:
    """Yield the keys of a map, or the indices of a list, the last first, that applying would not take away."""
    ours, theirs = look(manifest, place), look(observed, place)
    alone = owned_by_us_alone(observed, place)
    if isinstance(theirs, dict):
        yield from (key for key in theirs if key not in (ours or {}) and f"f:{key}" not in alone)
    elif isinstance(theirs, list):
        keys = KEYED_LISTS[f".{'.'.join(place)}"]
        leaving = [key_of(name) for name in alone if name.startswith("k:")]
        for index, item in reversed(list(enumerate(theirs))):
            key = {field: item.get(field) for field in keys}
            if key not in leaving and not any(has_key(our, key) for our in ours or ()):
                yield index


def _is_not_enough(manifest: Manifest, observed: Manifest, foreign: Mapping[FieldPath, list[str | int]]) -> bool:
    """Whether what is left when the foreign is taken out would be refused, or refuse ours."""
    nothing_left = any(
        found and len(found) == len(look(observed, place)) and look(manifest, place) for place, found in foreign.items()
    )
    return (
        nothing_left
        or _mounts_what_goes(observed, foreign)
        or _excludes(manifest, observed, "", owned_by_applying(observed))
    )


def _mounts_what_goes(observed: Manifest, foreign: Mapping[FieldPath, list[str | int]]) -> bool:
    volumes = {
        look(observed, (*POD_SPEC, "volumes"))[index]["name"] for index in foreign.get((*POD_SPEC, "volumes"), ())
    }
    return any(
        mount["name"] in volumes
        for place in ((*POD_SPEC, "containers"), (*POD_SPEC, "initContainers"))
        for index, container in enumerate(look(observed, place) or ())
        if index not in foreign.get(place, ())
        for mount in (*container.get("volumeMounts", ()), *container.get("volumeDevices", ()))
    )


def _excludes(ours: Any, theirs: Any, place: str, owned: Manifest | None) -> bool:
    """Whether something of theirs and what we apply cannot be together."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        beyond = theirs.keys() - ours.keys()
        return (
            any(group & ours.keys() and group & beyond for group in _ONE_OF)
            or (place == VOLUME and bool(beyond))  # a volume is a name and one source
            or (place == f"{CONTAINER}.resources" and _limits(ours, theirs))
            or any(
                _excludes(value, theirs.get(field), f"{place}.{field}", owned_below(owned, f"f:{field}"))
                for field, value in ours.items()
            )
        )
    if isinstance(ours, list) and isinstance(theirs, list) and place in KEYED_LISTS:
        return (place == f"{CONTAINER}.ports" and _takes_a_name(ours, theirs, owned)) or any(
            _excludes(item, other, f"{place}[]", owned_item(owned, item)) for item, other in pairs(ours, theirs, place)
        )
    return False


def _takes_a_name(ours: list[Manifest], theirs: list[Manifest], owned: Manifest | None) -> bool:
    """Whether another port has the name of one of ours, and stays when we apply."""
    names, numbers = {port["name"] for port in ours}, {port["containerPort"] for port in ours}
    return any(
        port.get("name") in names and port["containerPort"] not in numbers and owned_item(owned, port) is None
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
