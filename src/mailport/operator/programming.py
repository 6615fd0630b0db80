"""Makes the children in the cluster what `manifests.children` renders, and takes away those no longer wanted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mailport.operator import drift
from mailport.operator.cluster import JSON_PATCH, ApiError, Cluster
from mailport.operator.kinds import (
    CHILDREN,
    CONFIG_MAP,
    DEPLOYMENT,
    INBOUND_SMTP,
    POD,
    REPLICA_SET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    kind_of,
)
from mailport.operator.metadata import OPERATOR, Manifest
from mailport.operator.observed import Verdict
from mailport.operator.store import Key, Store

_REFUSED_SECONDS = (10.0, 30.0, 60.0, 300.0)  # before what the API server refused is tried again unchanged
_COLLECTED_SECONDS = 30.0  # within which Kubernetes collects what a deleted owner leaves, unless it has missed it
_CHANGES_NEVER = ("field is immutable", "may not change once set")  # apimachinery's words, in any cause's message


class Problem(Exception):  # noqa: N818 - what keeps a child from being as rendered
    """A child that is not as rendered: why, and whether looking again soon helps."""

    def __init__(self, verdict: Verdict, *, again_in: float | None = None) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict
        self.again_in = again_in  # seconds; None: when something changes


class NamespaceGoneError(Exception):
    """The namespace is being deleted, and all in it."""


class Owner(NamedTuple):
    """The InboundSmtp that children are of."""

    key: Key
    uid: str


class _Place(NamedTuple):
    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.name}"


@dataclass(slots=True)
class _Note:
    """What is known of a child beside what it looks like."""

    digest: str = ""  # of the manifest that was applied last
    settled: frozenset[str] = frozenset()  # what the API server wrote in its own way: 0.1 as 100m
    written: Manifest = field(default_factory=dict)  # the object as it was then, where there is such
    refused: Verdict | None = None
    refused_uid: str | None = None  # of the object that stood in the way
    refusals: int = 0
    again_at: float = 0.0  # monotonic seconds
    as_rendered: tuple[str, str] = ("", "")  # the last digest and resourceVersion between which nothing differed


class _Left(NamedTuple):
    """Since when a gateway is seen to have children of one that was deleted."""

    owner: str  # the uid of the gateway that is there now
    since: float  # monotonic seconds


class Programmer:
    """Writes children. One a process; what it remembers only saves requests."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._notes: dict[_Place, _Note] = {}
        self._left: dict[Key, _Left] = {}

    async def program(self, rendered: Iterable[Manifest], owner: Owner) -> None:
        """Apply what differs. Raises Problem after all that could be done, and ApiError where asking again helps."""
        problems: list[Problem] = []
        for manifest in rendered:
            try:
                await self._bring(manifest, owner)
            except Problem as problem:
                problems.append(problem)
                if kind_of(manifest) in (SERVICE_ACCOUNT, CONFIG_MAP):
                    break  # pods would not start, or run what they should not
        if problems:
            pauses = [problem.again_in for problem in problems if problem.again_in is not None]
            raise Problem(problems[0].verdict, again_in=min(pauses, default=None))

    def pending(self, rendered: Iterable[Manifest], owner: Owner) -> list[str]:
        """Name the children that are not as rendered, without a request: what Suspended holds back."""
        found = []
        for manifest in rendered:
            place = _place(manifest)
            seen = self._store.get(*place)
            if (
                seen is None
                or not is_ours(seen, owner.uid)
                or self._differs(manifest, seen)
                or drift.added(manifest, seen)
            ):
                found.append(str(place))
        return found

    async def remove(self, rendered: Collection[Manifest], owner: Owner) -> None:
        """Delete children of ours that are no longer rendered. Raises Problem, and ApiError where asking again helps.

        Never a Service, whose address would be lost; and nothing that pods still need to start.
        """
        key, wanted = owner.key, {_place(manifest) for manifest in rendered}
        for kind in CHILDREN:
            for child in self._store.children(key, kind):
                place = _Place(kind, key.namespace, child["metadata"]["name"])
                if place in wanted or kind == SERVICE or "deletionTimestamp" in child["metadata"]:
                    continue
                left = _is_left_over(child, owner)
                if not (left or is_ours(child, owner.uid)) or self._in_use(key, place):
                    continue
                if left:
                    await self._may_take_over(place, owner)
                await self._delete(place, child)

    async def _delete(self, place: _Place, child: Manifest) -> None:
        try:
            await self._cluster.delete(place.kind, child)
        except ApiError as error:
            if error.is_passing:
                raise
            verdict = Verdict("ApplyFailed", f"{place}, no longer wanted, cannot be deleted: {error}")
            raise Problem(verdict, again_in=_REFUSED_SECONDS[-1]) from error
        self._store.drop(place.kind, child)
        self._notes.pop(place, None)

    def forget(self, key: Key) -> None:
        """Forget what is known of the children of a gateway that is gone."""
        self._left.pop(key, None)
        for place in [place for place in self._notes if place.namespace == key.namespace]:
            if self._store.get(*place) is None:
                del self._notes[place]

    async def _bring(self, manifest: Manifest, owner: Owner) -> None:
        place = _place(manifest)
        note = self._notes.setdefault(place, _Note())
        digest = _digest(manifest)
        seen: Manifest | None = None
        try:
            seen = self._store.get(*place) or await self._look(place)
        except ApiError as error:
            raise self._judge(place, note, digest, seen, error) from error
        if seen is not None and note.as_rendered == (digest, seen["metadata"]["resourceVersion"]):
            return
        left = seen is not None and _is_left_over(seen, owner)
        if left:
            await self._may_take_over(place, owner)
        self._still_refused(note, digest, seen)
        try:
            if seen is not None:
                if not left:
                    _check_owner(place, seen, owner)
                seen = await self._take_out(place, manifest, seen)
                if not self._differs(manifest, seen):
                    note.as_rendered = digest, seen["metadata"]["resourceVersion"]
                    return
                manifest = _as_seen(manifest, seen)
            # Not by force where we saw nothing: one that came this moment, and is not ours, is a conflict
            answer = drift.compact(await self._cluster.apply(manifest, force=seen is not None))
        except Problem as problem:
            raise self._refuse(note, digest, seen, problem.verdict) from problem
        except ApiError as error:
            raise self._judge(place, note, digest, seen, error) from error
        self._store.put(place.kind, answer)
        settled = frozenset(drift.differences(manifest, answer))
        self._notes[place] = _Note(digest, settled, answer if settled else {})

    async def _look(self, place: _Place) -> Manifest | None:
        """Look whether there is an object that our watches do not see: they see those with our label."""
        found = await self._cluster.get(*place)
        return None if found is None else drift.compact(found)

    def _differs(self, manifest: Manifest, seen: Manifest) -> bool:
        differences = set(drift.differences(manifest, seen))
        note = self._notes.get(_place(manifest))
        if differences and note is not None and note.settled and note.digest == _digest(manifest):
            changed = set(drift.differences(note.written, seen)) - set(drift.differences(note.written, note.written))
            differences -= note.settled - changed
        return bool(differences) or any(drift.dropped(manifest, seen))

    async def _take_out(self, place: _Place, manifest: Manifest, seen: Manifest) -> Manifest:
        """Take out what others added where nothing may be added."""
        if not (operations := drift.added(manifest, seen)):
            return seen
        version = seen["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        try:
            patched = await self._cluster.patch(*place, [test, *operations], content_type=JSON_PATCH)
        except ApiError as error:
            if error.status == 422:  # a patch whose test fails is no conflict to the API server
                now = await self._look(place)
                if now is None or now["metadata"]["resourceVersion"] != version:
                    raise ApiError(409, f"{place} has changed since it was seen") from error
            raise
        self._store.put(place.kind, drift.compact(patched))
        return drift.compact(patched)

    # --- what an InboundSmtp of the same name has left

    async def _may_take_over(self, place: _Place, owner: Owner) -> None:
        """Return when a child that a deleted InboundSmtp left may be taken over. Raises Problem before, and ApiError.

        Kubernetes collects it, as a rule within a second; but it misses what was deleted and made again while it could
        not watch, and would leave that for ever.
        """
        now = time.monotonic()
        left = self._left.get(owner.key)
        if left is None or left.owner != owner.uid:
            left = self._left[owner.key] = _Left(owner.uid, now)
        if (remaining := left.since + _COLLECTED_SECONDS - now) > 0:
            message = f"{place} is of an InboundSmtp of this name that was deleted, and goes with it"
            raise Problem(Verdict("Pending", message), again_in=remaining)
        async for body in self._cluster.every(INBOUND_SMTP, owner.key.namespace):
            if body["metadata"]["uid"] == owner.uid:
                return
        raise ApiError(409, f"{owner.key} has changed since it was seen")

    # --- what the API server refuses

    def _still_refused(self, note: _Note, digest: str, seen: Manifest | None) -> None:
        """Do not ask again for what was just refused, as long as nothing has changed."""
        uid = None if seen is None else seen["metadata"]["uid"]
        if note.refused is None:
            return
        remaining = note.again_at - time.monotonic()
        if (note.digest, note.refused_uid) == (digest, uid) and remaining > 0:
            raise Problem(note.refused, again_in=remaining)

    def _refuse(self, note: _Note, digest: str, seen: Manifest | None, verdict: Verdict) -> Problem:
        pause = _REFUSED_SECONDS[min(note.refusals, len(_REFUSED_SECONDS) - 1)]
        note.digest, note.settled, note.written = digest, frozenset(), {}
        note.refused, note.refused_uid = verdict, None if seen is None else seen["metadata"]["uid"]
        note.refusals += 1
        note.again_at = time.monotonic() + pause
        return Problem(verdict, again_in=pause)

    def _judge(self, place: _Place, note: _Note, digest: str, seen: Manifest | None, error: ApiError) -> Exception:
        if _namespace_is_gone(error):
            return NamespaceGoneError(place.namespace)
        if error.status == 404:  # gone since we saw it
            return ApiError(409, str(error))
        if error.is_passing and error.status != 500:  # which is a webhook's, or says that a field is unknown
            return error
        if any(words in cause.message for cause in error.causes for words in _CHANGES_NEVER):
            fields = ", ".join(dict.fromkeys(cause.field for cause in error.causes))
            what = f"{fields} of {place} cannot change in place"
            command = f"kubectl delete {place.kind.name.lower()} {place.name} --namespace {place.namespace}"
            lost = ", and its address changes" if place.kind == SERVICE else ""
            return self._refuse(
                note, digest, seen, Verdict("ImmutableField", f"{what}. To have it made anew{lost}: {command}")
            )
        return self._refuse(note, digest, seen, Verdict("ApplyFailed", f"{place}: {error}"))

    # --- what is still needed

    def _in_use(self, key: Key, place: _Place) -> bool:
        """Whether a pod that runs, or that could be started again, needs a ConfigMap or ServiceAccount."""
        if place.kind not in (CONFIG_MAP, SERVICE_ACCOUNT):
            return False
        pods = [pod["spec"] for pod in self._store.children(key, POD)]
        sets = [found for found in self._store.children(key, REPLICA_SET) if found["spec"].get("replicas")]
        templates = [found["spec"]["template"]["spec"] for found in (*sets, *self._store.children(key, DEPLOYMENT))]
        return any(place.name in _needs(spec, place.kind) for spec in (*pods, *templates))


def is_ours(child: Manifest, owner_uid: str) -> bool:
    """Whether a gateway controls a child; or nobody does, and it was us who applied it (`delete --cascade=orphan`)."""
    controller = _controller(child)
    return _is_applied_by_us(child) if controller is None else controller["uid"] == owner_uid


def _is_applied_by_us(child: Manifest) -> bool:
    managed = child["metadata"].get("managedFields", ())
    return any(entry["manager"] == OPERATOR and entry["operation"] == "Apply" for entry in managed)


def _is_left_over(child: Manifest, owner: Owner) -> bool:
    """Whether a child is of an earlier InboundSmtp of the same name: there are never two at a time."""
    controller = _controller(child)
    return (
        controller is not None
        and "deletionTimestamp" not in child["metadata"]
        and (controller["kind"], controller["name"]) == (INBOUND_SMTP.name, owner.key.name)
        and controller["uid"] != owner.uid
        and _is_applied_by_us(child)
    )


def _controller(child: Manifest) -> Manifest | None:
    """Return the owner reference of who looks after a child (metav1.OwnerReference)."""
    return next((owner for owner in child["metadata"].get("ownerReferences", ()) if owner.get("controller")), None)


def _check_owner(place: _Place, seen: Manifest, owner: Owner) -> None:
    """Leave alone what is not ours. Raises Problem."""
    if "deletionTimestamp" in seen["metadata"]:
        raise Problem(Verdict("Pending", f"{place} is being deleted, and comes back when it is gone"))
    if not is_ours(seen, owner.uid):
        controller = _controller(seen)
        whose = "is there already, and is not ours"
        if controller is not None:
            whose = f"belongs to {controller['kind']} {controller['name']}"
        raise Problem(Verdict("ChildConflict", f"{place} {whose}: rename it or the InboundSmtp, or delete it"))


def _namespace_is_gone(error: ApiError) -> bool:
    message = str(error)
    return (error.status == 403 and "is being terminated" in message) or (
        error.status == 404 and message.startswith("namespaces ")
    )


def _as_seen(manifest: Manifest, seen: Manifest) -> Manifest:
    """Return what is applied to that very object, in that very version, and no other."""
    metadata = seen["metadata"]
    identity = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    return {**manifest, "metadata": {**manifest["metadata"], **identity}}


def _needs(spec: Manifest, kind: Kind) -> set[str]:
    if kind == SERVICE_ACCOUNT:
        return {spec.get("serviceAccountName", "")}
    return {volume["configMap"]["name"] for volume in spec.get("volumes", ()) if "configMap" in volume}


def _place(manifest: Manifest) -> _Place:
    return _Place(kind_of(manifest), manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
