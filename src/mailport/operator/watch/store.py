"""PURE. What the operator has seen of the cluster: the newest state of each object that it watches, by gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from mailport.operator.kinds import CLAIM, DEPLOYMENT, INBOUND_SMTP, Kind, Place
from mailport.operator.metadata import INSTANCE, SELECTOR_LABEL, Manifest
from mailport.operator.watch.kept import kept


class Key(NamedTuple):
    """An InboundSmtp."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Entry(NamedTuple):
    """What is kept of an object, as JSON: there are thousands, few are looked at, and as Python's they take more."""

    content: bytes  # without the resourceVersion: the same content in another version is no news
    version: int
    came: int  # how many entries had come before it: an order in time, which versions are not
    gateway: Key | None  # whose label it carries
    claims: frozenset[str]  # that an InboundSmtp names


class _Gone(NamedTuple):
    """In which version an object ended: an answer to a request of ours may come after the news of that."""

    version: int
    came: int


@dataclass(slots=True)
class Listing:
    """A list that is being taken."""

    kind: Kind
    begun: int  # how many entries had come by then
    missing: set[Place]  # what was there then, and the list has not had so far
    went_back: bool = False
    """Whether something was in an older version than it had been seen in: an earlier state of the cluster came back."""


class Store:
    """Objects as they were seen last.

    Watches and answers to requests of ours come in any order, so of these the newer resourceVersion counts. A list is
    the truth: what was there before it was asked for gives way to it, also to an older version. There is one where etcd
    was restored.
    """

    def __init__(self, instance: str = "") -> None:
        """`instance` is the installation of the operator whose mark on Deployments is remembered: metadata.INSTANCE."""
        self._instance = instance
        self._ours: set[Key] = set()  # whose Deployment has had this mark
        self._objects: dict[Place, _Entry] = {}
        self._children: dict[Key, set[Place]] = {}
        self._gateways: dict[str, set[str]] = {}  # by namespace
        self._gone: dict[Place, _Gone] = {}
        self._count = 0
        self._newest: dict[Kind, int] = {}

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return an object; None where there is none."""
        entry = self._objects.get(Place(kind, namespace, name))
        return None if entry is None else _body(entry)

    def children(self, key: Key, kind: Kind) -> list[Manifest]:
        """Return the objects of a kind that carry the gateway's label, by name."""
        places = sorted(place.name for place in self._children.get(key, ()) if place.kind == kind)
        return [_body(self._objects[Place(kind, key.namespace, name)]) for name in places]

    def keys(self) -> list[Key]:
        """Return all gateways."""
        return [Key(namespace, name) for namespace, names in self._gateways.items() for name in names]

    def claims(self, key: Key) -> frozenset[str]:
        """Return the claims that a gateway names."""
        return self._objects[Place(INBOUND_SMTP, *key)].claims

    def users(self, namespace: str, claim: str) -> Iterator[Key]:
        """Yield the gateways that name a claim."""
        for name in self._gateways.get(namespace, ()):
            if claim in self._objects[Place(INBOUND_SMTP, namespace, name)].claims:
                yield Key(namespace, name)

    def was_ours(self, key: Key) -> bool:
        """Whether the mark of `instance` has been seen on a gateway's Deployment, also while another replica led."""
        return key in self._ours

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, kind: Kind, body: Manifest) -> set[Key]:
        """Take an object's state; return the gateways that it is news for.

        The set is empty where the state is not newer, or where nothing that is kept has changed.
        """
        place, version = _place(kind, body), _version(body)
        before, gone = self._objects.get(place), self._gone.get(place)
        if (gone is not None and version <= gone.version) or (before is not None and version <= before.version):
            return set()
        return self._set(place, kind, body, version)

    def drop(self, kind: Kind, body: Manifest) -> set[Key]:
        """Take note of an object's end, in its last state; return the gateways that it is news for."""
        place, version = _place(kind, body), _version(body)
        before = self._objects.get(place)
        if before is not None and before.version > version:
            return set()  # another of this name by now
        self._count += 1
        self._note_version(kind, version)
        self._gone[place] = _Gone(version, self._count)
        return self._end(place)

    def newest(self, kind: Kind) -> int:
        """Return the highest resourceVersion of a kind that was seen (0: none): its watch waits for later ones."""
        return self._newest.get(kind, 0)

    def begin_list(self, kind: Kind, namespace: str | None) -> Listing:
        """Begin to take a list, before it is asked for."""
        there = {place for place in self._objects if place.kind == kind and namespace in (None, place.namespace)}
        return Listing(kind, self._count, there)

    def put_listed(self, listing: Listing, body: Manifest) -> set[Key]:
        """Take an object of a list; return the gateways that it is news for."""
        place, version = _place(listing.kind, body), _version(body)
        listing.missing.discard(place)
        before, gone = self._objects.get(place), self._gone.get(place)
        if (before is not None and before.came > listing.begun) or (gone is not None and gone.came > listing.begun):
            return self.put(listing.kind, body)  # there was news while the list was made
        self._gone.pop(place, None)
        listing.went_back |= before is not None and version < before.version
        return self._set(place, listing.kind, body, version)

    def end_list(self, listing: Listing) -> set[Key]:
        """Drop what was there before and is not in the list; return the gateways that this is news for."""
        concerned = set()
        for place in listing.missing:
            entry = self._objects.get(place)
            if entry is not None and entry.came <= listing.begun:
                concerned |= self._end(place)
        return concerned

    def _set(self, place: Place, kind: Kind, body: Manifest, version: int) -> set[Key]:
        self._count += 1
        self._note_version(kind, version)
        before = self._objects.get(place)
        entry = _entry(kind, body, version, self._count)
        if before is not None and before.content == entry.content:
            self._objects[place] = entry
            return set()
        concerned = self._forget(place) | self._concerned(place, entry)
        self._objects[place] = entry
        if kind == INBOUND_SMTP:
            self._gateways.setdefault(place.namespace, set()).add(place.name)
        elif entry.gateway is not None:
            self._children.setdefault(entry.gateway, set()).add(place)
        if kind == DEPLOYMENT and (body["metadata"].get("annotations") or {}).get(INSTANCE) == self._instance:
            self._ours.add(Key(place.namespace, place.name))
        return concerned

    def _note_version(self, kind: Kind, version: int) -> None:
        self._newest[kind] = max(version, self._newest.get(kind, 0))

    def forget_the_newest(self) -> None:
        """Take what there is for the newest that was seen: the watches begin anew, from there."""
        self._newest.clear()
        for place, entry in self._objects.items():
            self._note_version(place.kind, entry.version)

    def forget_the_gone(self) -> None:
        """Let go of the memory of what is gone, once all requests of that time are answered."""
        self._gone.clear()

    def _end(self, place: Place) -> set[Key]:
        concerned = self._forget(place)
        if Place(INBOUND_SMTP, place.namespace, place.name) not in self._objects:
            self._ours.discard(Key(place.namespace, place.name))
        return concerned

    def _forget(self, place: Place) -> set[Key]:
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

    def _concerned(self, place: Place, entry: _Entry) -> set[Key]:
        if place.kind == INBOUND_SMTP:
            return {Key(place.namespace, place.name)}
        if place.kind == CLAIM:
            return set(self.users(place.namespace, place.name))
        return set() if entry.gateway is None else {entry.gateway}


def _entry(kind: Kind, body: Manifest, version: int, came: int) -> _Entry:
    metadata = body["metadata"]
    name = (metadata.get("labels") or {}).get(SELECTOR_LABEL)
    return _Entry(
        content=bytes(memoryview(orjson.dumps(kept(kind, body)))),  # a copy: orjson's own is up to twice as large
        version=version,
        came=came,
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


def _place(kind: Kind, body: Manifest) -> Place:
    return Place(kind, body["metadata"]["namespace"], body["metadata"]["name"])


def _version(body: Manifest) -> int:
    """Return the resourceVersion, which grows with each write to the cluster."""
    return int(body["metadata"]["resourceVersion"])
