"""PURE. What the operator has seen of the cluster: the newest state of each object that it watches, by gateway."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import orjson

from mailport.operator import drift, poking
from mailport.operator.kinds import CLAIM, DEPLOYMENT, INBOUND_SMTP, POD, REPLICA_SET, SERVICE, Kind
from mailport.operator.metadata import SELECTOR_LABEL, Manifest


class Key(NamedTuple):
    """An InboundSmtp."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Place(NamedTuple):
    kind: Kind
    namespace: str
    name: str


class _Entry(NamedTuple):
    """What is kept of an object, as JSON: there are thousands, few are looked at, and as Python's they take more."""

    content: bytes  # without the resourceVersion: the same content in another version is no news
    version: int
    gateway: Key | None  # whose label it carries
    claims: frozenset[str]  # that an InboundSmtp names


class Store:
    """Objects as they were seen last. An older state never replaces a newer one, from wherever it comes."""

    def __init__(self) -> None:
        self._objects: dict[_Place, _Entry] = {}
        self._children: dict[Key, set[_Place]] = {}
        self._gateways: dict[str, set[str]] = {}  # by namespace
        # What is gone, and in which version: an answer to a request of ours may come after the news of its end
        self._gone: dict[_Place, int] = {}

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return an object; None where there is none."""
        entry = self._objects.get(_Place(kind, namespace, name))
        return None if entry is None else _body(entry)

    def children(self, key: Key, kind: Kind) -> list[Manifest]:
        """Return the objects of a kind that carry the gateway's label, by name."""
        places = sorted(place.name for place in self._children.get(key, ()) if place.kind == kind)
        return [_body(self._objects[_Place(kind, key.namespace, name)]) for name in places]

    def keys(self) -> list[Key]:
        """Return all gateways."""
        return [Key(namespace, name) for namespace, names in self._gateways.items() for name in names]

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, kind: Kind, body: Manifest) -> set[Key]:
        """Take an object's state; return the gateways that it is news for.

        None where it is not newer, nor where it differs in nothing that is kept.
        """
        place, version = _place(kind, body), _version(body)
        before = self._objects.get(place)
        if version <= self._gone.get(place, 0) or (before is not None and version <= before.version):
            return set()
        entry = _entry(kind, body, version)
        if before is not None and before.content == entry.content:
            self._objects[place] = entry
            return set()
        concerned = self._forget(place) | self._concerned(place, entry)
        self._objects[place] = entry
        if kind == INBOUND_SMTP:
            self._gateways.setdefault(place.namespace, set()).add(place.name)
        elif entry.gateway is not None:
            self._children.setdefault(entry.gateway, set()).add(place)
        return concerned

    def drop(self, kind: Kind, body: Manifest) -> set[Key]:
        """Take note of an object's end, in its last state; return the gateways that it is news for."""
        place, version = _place(kind, body), _version(body)
        before = self._objects.get(place)
        if before is not None and before.version > version:
            return set()  # another of this name by now
        self._gone[place] = version
        return self._forget(place)

    def snapshot(self, kind: Kind, namespace: str | None) -> dict[str, int]:
        """Return what there is of a kind before a list is asked for, for `only`."""
        return {
            f"{place.namespace}/{place.name}": entry.version
            for place, entry in self._objects.items()
            if place.kind == kind and namespace in (None, place.namespace)
        }

    def only(self, kind: Kind, listed: Collection[str], before: dict[str, int]) -> set[Key]:
        """Drop what was there before a list was asked for, is not in it, and has not changed meanwhile."""
        concerned = set()
        for identity, version in before.items():
            place = _Place(kind, *identity.split("/", 1))
            entry = self._objects.get(place)
            if identity not in listed and entry is not None and entry.version == version:
                concerned |= self._forget(place)
        return concerned

    def forget_the_gone(self) -> None:
        """Let go of the memory of what is gone, once all requests of that time are answered."""
        self._gone.clear()

    def _forget(self, place: _Place) -> set[Key]:
        entry = self._objects.pop(place, None)
        if entry is None:
            return set()
        concerned = self._concerned(place, entry)
        if place.kind == INBOUND_SMTP:
            names = self._gateways[place.namespace]
            names.discard(place.name)
            if not names:
                del self._gateways[place.namespace]
        elif entry.gateway is not None:
            places = self._children[entry.gateway]
            places.discard(place)
            if not places:
                del self._children[entry.gateway]
        return concerned

    def _concerned(self, place: _Place, entry: _Entry) -> set[Key]:
        if place.kind == INBOUND_SMTP:
            return {Key(place.namespace, place.name)}
        if place.kind == CLAIM:
            return set(self._users_of(place.namespace, place.name))
        return set() if entry.gateway is None else {entry.gateway}

    def _users_of(self, namespace: str, claim: str) -> Iterator[Key]:
        for name in self._gateways.get(namespace, ()):
            if claim in self._objects[_Place(INBOUND_SMTP, namespace, name)].claims:
                yield Key(namespace, name)


def _entry(kind: Kind, body: Manifest, version: int) -> _Entry:
    metadata = body["metadata"]
    name = (metadata.get("labels") or {}).get(SELECTOR_LABEL)
    return _Entry(
        content=bytes(memoryview(orjson.dumps(_kept(kind, body)))),  # a copy: orjson's own is up to twice as large
        version=version,
        gateway=None if name is None or kind in (INBOUND_SMTP, CLAIM) else Key(metadata["namespace"], name),
        claims=frozenset(_claims_named(body)) if kind == INBOUND_SMTP else frozenset(),
    )


def _body(entry: _Entry) -> Manifest:
    body: Manifest = orjson.loads(entry.content)
    body["metadata"]["resourceVersion"] = str(entry.version)
    return body


def _claims_named(body: Manifest) -> Iterable[str]:
    """Return the claims that a spec names, valid or not."""
    for route in body.get("spec", {}).get("routes", ()):
        name = ((route.get("deliver") or {}).get("maildir") or {}).get("claimName")
        if name is not None:
            yield name


def _place(kind: Kind, body: Manifest) -> _Place:
    return _Place(kind, body["metadata"]["namespace"], body["metadata"]["name"])


def _version(body: Manifest) -> int:
    """Return the resourceVersion, which grows with each write to the cluster."""
    return int(body["metadata"]["resourceVersion"])


# --- what is kept: what is ours, and of the rest what live.py, programming.py, reconcile.py and status.py read
#
# A tenth of a pod is, and news only where that changes: a HorizontalPodAutoscaler's status does every 15 s.

_IDENTITY = ("name", "namespace", "uid")
_CONDITION = ("type", "status", "reason", "message")
_STATUS_IS_READ = (INBOUND_SMTP, SERVICE, DEPLOYMENT)


def _kept(kind: Kind, body: Manifest) -> Manifest:
    """Return what is kept of an object; its resourceVersion is kept apart."""
    if kind == CLAIM:
        return {"metadata": _some(body["metadata"], _IDENTITY), "spec": _some(body.get("spec"), ("accessModes",))}
    if kind == REPLICA_SET:
        return _replica_set(body)
    if kind == POD:
        return _pod(body)
    kept = drift.compact(body)
    kept["metadata"] = {field: value for field, value in kept["metadata"].items() if field != "resourceVersion"}
    if kind not in _STATUS_IS_READ:
        kept.pop("status", None)
    return kept


def _replica_set(body: Manifest) -> Manifest:
    spec = body.get("spec") or {}
    template = spec.get("template") or {}
    return {
        "metadata": _some(body["metadata"], (*_IDENTITY, "ownerReferences", "deletionTimestamp")),
        "spec": {**_some(spec, ("replicas",)), "template": {"spec": _pod_spec(template.get("spec"))}},
    }


def _pod(body: Manifest) -> Manifest:
    metadata, status = body["metadata"], body.get("status") or {}
    return {
        "metadata": {
            **_some(metadata, (*_IDENTITY, "ownerReferences", "deletionTimestamp")),
            "annotations": _some(metadata.get("annotations"), (poking.ANNOTATION,)),
        },
        "spec": _pod_spec(body.get("spec")),
        "status": {
            **_some(status, ("phase", "podIP", "hostIP", "hostIPs")),
            "conditions": [_some(condition, _CONDITION) for condition in status.get("conditions", ())],
            "containerStatuses": [
                _some(container, ("name", "state", "lastState")) for container in status.get("containerStatuses", ())
            ],
        },
    }


def _pod_spec(spec: Manifest | None) -> Manifest:
    spec = spec or {}
    volumes = [volume for volume in spec.get("volumes", ()) if "configMap" in volume]
    return {
        **_some(spec, ("serviceAccountName",)),
        "containers": [_some(container, ("name", "ports")) for container in spec.get("containers", ())],
        "volumes": [_some(volume, ("name", "configMap")) for volume in volumes],
    }


def _some(fields: Manifest | None, names: tuple[str, ...]) -> Manifest:
    return {name: fields[name] for name in names if name in fields} if fields else {}
