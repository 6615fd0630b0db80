"""Writes children that are not as rendered: all that a change needs, or nothing of it.

A change of several children is tried first, without effect (`dryRun`): a Service that cannot become what it should must
not leave a Deployment behind that has.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, replace

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.apply import additions, drift, removal
from mailport.operator.apply.compare import MAX_FIELDS, Comparer, Note, Step
from mailport.operator.apply.contest import state
from mailport.operator.apply.leftover import LeftOvers, is_left_over
from mailport.operator.apply.other_operator import LeftTo, OtherOperator
from mailport.operator.apply.place import digest, not_programmed, place_of
from mailport.operator.apply.refused import (
    may_be_of_the_change,
    passes_by_itself,
    raise_what_is_no_refusal,
    under_another_name,
    why,
)
from mailport.operator.apply.turns import AT_ONCE, Turns, as_marked
from mailport.operator.cluster import JSON_PATCH, Cluster
from mailport.operator.contest import Contest
from mailport.operator.kinds import Kind, Place
from mailport.operator.managed_fields import compact
from mailport.operator.metadata import INSTANCE, Manifest
from mailport.operator.ownership import is_ours
from mailport.operator.reason import SUSPENDED, Reason
from mailport.operator.watch.observe import Seen
from mailport.operator.watch.store import Key, Store
from mailport.process import log

_PROGRAMMED = Reason("Programmed", "Programmed", "all objects are as they should be")
_WAITING = (
    f"new pods wait for a turn: an image or setting of the operator's is new, and {AT_ONCE} gateways roll at a time"
)
_WAITS = _PROGRAMMED._replace(message=f"all objects are as they should be; {_WAITING}", still_to_come=_WAITING)
_PODS_NEED = (kinds.SERVICE_ACCOUNT, kinds.CONFIG_MAP)  # to start, and to run what they should

# What is no longer wanted is deleted when the change is written; an autoscaler before, as it would set replicas back
_DELETED_BEFORE = (kinds.AUTOSCALER,)
_DELETED_AFTER = tuple(kind for kind in kinds.CHILDREN if kind not in _DELETED_BEFORE)

_PASSING_SECONDS = (0.5, 2.0, 10.0, 30.0, 60.0)  # before what may pass by itself is tried again
_REFUSED_SECONDS = (10.0, 30.0, 60.0, 300.0)  # before what the API server refused is tried again unchanged

# The mark of whoever applied the Deployment last, where that is all that differs
_MARK = (".metadata.annotations", f".metadata.annotations.{INSTANCE}")

_log = log.get()


@dataclass(frozen=True, slots=True)
class Applied:
    """The condition Programmed, and the children as they are after the writes."""

    programmed: Reason
    seen: Seen  # with the children as they are now


class Applier:
    """Writes children. One a process."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._turns = Turns(store)
        self._other_operator = OtherOperator(cluster, store)
        self._left_overs = LeftOvers(cluster)
        self._comparer = Comparer(cluster, self._left_overs)
        self._notes = self._comparer.notes

    async def apply(self, rendered: tuple[Manifest, ...], seen: Seen) -> Applied:
        """Apply what differs, and delete what is no longer wanted.

        Raises ApiError where all is to be looked at anew, NamespaceGoneError, and NotOurTurnError.
        """
        compared = [await self._compare(as_marked(manifest, seen), seen) for manifest in rendered]
        wanted = [step for step in compared if step is not None]
        to_take = [turn for step in wanted if (turn := await self._turn(step, seen)) is not None]
        steps = await self._try(to_take)
        reasons: list[Reason] = []
        if not any(map(_holds_removal_back, steps)):
            reasons += await self._remove(rendered, seen, _DELETED_BEFORE)
        unwritten = await self._write_all(steps)
        reasons += [step.reason for step in unwritten if step.reason is not None]
        if not any(map(_holds_removal_back, unwritten)):
            reasons += await self._remove(rendered, seen, _DELETED_AFTER)
        first = _first(reasons, _PROGRAMMED if len(to_take) == len(wanted) else _WAITS)
        return Applied(first, self._as_it_is_now(seen))

    def pending(self, rendered: tuple[Manifest, ...], seen: Seen) -> Applied:
        """Name the children that are not as rendered, and their fields: what Suspended holds back. Asks nobody.

        That another operator has applied them, as before a move, is no difference.
        """
        found = []
        for manifest in [as_marked(manifest, seen) for manifest in rendered]:
            place = place_of(manifest)
            there = seen.child(place.kind, place.name)
            if there is None or not is_ours(there, seen.uid):
                found.append(str(place))
            elif fields := [field for field in self._comparer.foreign(manifest, there) if field not in _MARK]:
                found.append(f"{place} ({', '.join(fields[:MAX_FIELDS])})")
        found += [f"{place} (to be deleted)" for place, _ in removal.unwanted(rendered, seen)]
        if not found:
            return Applied(_PROGRAMMED, seen)
        message = f"held back by spec.management Suspended: {', '.join(found)}"
        return Applied(not_programmed(SUSPENDED, message), seen)

    async def left_to(self, seen: Seen, instance: str, *, may_ask: bool) -> LeftTo | None:
        """Return the other operator to which we, `instance`, leave a gateway; None where it is ours.

        Raises ApiError, NotOurTurnError.
        """
        return await self._other_operator.has(seen, instance, may_ask=may_ask)

    def looked_at(self, key: Key) -> set[Key]:
        """End a look at a gateway; return others, whose new pods wait no longer."""
        return self._turns.looked_at(key)

    def forget(self, key: Key) -> None:
        """Forget what is known of the children of a gateway that is gone; those of its neighbours are being written."""
        self._left_overs.forget(key)
        self._other_operator.forget(key)
        of_it = re.compile(rf"{re.escape(key.name)}(-c\d+|-listener)?")  # as metadata.py names children
        for place in [place for place in self._notes if place.namespace == key.namespace]:
            if of_it.fullmatch(place.name) and self._store.get(*place) is None:
                del self._notes[place]

    async def _compare(self, manifest: Manifest, seen: Seen) -> Step | None:
        try:
            return await self._comparer.compare(manifest, seen)
        except ApiError as error:
            step = Step(place_of(manifest), manifest)
            return replace(step, reason=await self._judge(step, error))

    async def _turn(self, step: Step, seen: Seen) -> Step | None:
        """Return a step that may be taken now; None where new pods wait for those of other gateways."""
        if step.there is None or step.place.kind != kinds.DEPLOYMENT:
            return step
        turn = self._turns.take(step, seen, self._comparer.foreign(step.manifest, step.there))
        if turn is None:
            await self._other_operator.take_over(step.manifest, step.there)
        return turn

    # --- writing it

    async def _try(self, steps: list[Step]) -> list[Step]:
        """Ask whether a change of several children would be taken; where one would not, none of it is to be written."""
        changes = [step for step in steps if step.is_change and step.reason is None]
        if len(changes) > 1 and any(step.place.kind != kinds.CONFIG_MAP for step in changes):
            reasons = dict(zip(map(_place, changes), await asyncio.gather(*map(self._try_one, changes)), strict=True))
            steps = [
                replace(step, reason=reason, is_refused=True)
                if (reason := reasons.get(step.place)) is not None
                else step
                for step in steps
            ]
        if not any(step.is_change and step.is_refused for step in steps):
            return steps
        return [step for step in steps if step.reason is not None or step.is_repair]

    async def _try_one(self, step: Step) -> Reason | None:
        if step.there is not None and additions.added(step.manifest, step.there):
            return None  # these go first, and there is no telling before they have
        try:
            await self._apply(step, step.there, dry_run=True)
        except ApiError as error:
            if "does not support dry run" in str(error):  # a webhook that has effects of its own
                return None
            return await self._judge(step, error)
        return None

    async def _write_all(self, steps: list[Step]) -> list[Step]:
        """Bring children to what was rendered; return those that are not, each with its reason."""
        unwritten = []
        refused = False  # a change, which its dry run did not see: nothing more of it is written
        for step in steps:
            if refused and step.reason is None and not step.is_repair:
                continue
            failed = step if step.reason is not None else await self._write(step)
            if failed is not None:
                unwritten.append(failed)
                refused |= failed.is_change and failed.is_refused
                if failed.place.kind in _PODS_NEED:
                    break
        return unwritten

    async def _write(self, step: Step) -> Step | None:
        """Bring a child to what was rendered; where that cannot be, return the step with the reason."""
        there = step.there
        try:
            if there is not None:
                there = await self._take_out(step.place, step.manifest, there)
            answer = compact(await self._apply(step, there))
        except ApiError as error:
            return replace(step, reason=await self._judge(step, error), is_refused=True)
        self._store.put(step.place.kind, answer)
        note = self._notes[step.place]
        contest = note.contest if step.is_repair else Contest()
        if step.is_repair and step.there is not None:
            contest.repaired(state(step.there), time.monotonic())
        settled = frozenset(drift.differences(step.manifest, answer))
        self._notes[step.place] = Note(
            digest=digest(step.manifest),
            settled=settled,
            written=answer if settled else {},
            contest=contest,
            contested=note.contested if step.is_repair else None,
        )
        return None

    async def _apply(self, step: Step, there: Manifest | None, *, dry_run: bool = False) -> Manifest:
        # Not by force where we saw nothing: one that came this moment, and is not ours, is a conflict
        manifest = step.manifest if there is None else _as_seen(step.manifest, there)
        return await self._cluster.apply(manifest, force=there is not None, dry_run=dry_run)

    async def _take_out(self, place: Place, manifest: Manifest, there: Manifest) -> Manifest:
        """Take out what others added where nothing may be added."""
        if not (operations := additions.added(manifest, there)):
            return there
        version = there["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        try:
            patched = await self._cluster.patch(*place, [test, *operations], content_type=JSON_PATCH)
        except ApiError as error:
            if error.status == 422:  # a patch whose test fails is no conflict to the API server
                now = await self._comparer.look(place)
                if now is None or now["metadata"]["resourceVersion"] != version:
                    raise ApiError(409, f"{place} has changed since it was seen") from error
            raise
        self._store.put(place.kind, compact(patched))
        return compact(patched)

    async def _judge(self, step: Step, error: ApiError) -> Reason:
        """Say why a child was not taken. Raises where that says nothing of the child itself."""
        raise_what_is_no_refusal(error, step.place)
        note = self._notes[step.place]
        known, uid = digest(step.manifest), None if step.there is None else step.there["metadata"]["uid"]
        if (note.refused_digest, note.refused_uid) != (known, uid):
            note.refused, note.failures = None, 0
        note.refused_digest, note.refused_uid = known, uid
        note.failures += 1
        passes = passes_by_itself(error)
        if passes and note.failures == 1:
            raise error
        pauses = _PASSING_SECONDS if passes else _REFUSED_SECONDS
        pause = max(pauses[min(note.failures, len(pauses)) - 1], error.retry_after or 0.0)
        note.again_at = time.monotonic() + pause
        cannot_change = may_be_of_the_change(error) and await self._would_be_created(step)
        note.refused = why(error, step.place, cannot_change=cannot_change)._replace(again_in=pause)
        _log.warning("refused", child=str(step.place), namespace=step.place.namespace, detail=str(error))
        return note.refused

    async def _would_be_created(self, step: Step) -> bool:
        """Whether the API server would create such an object: then it refuses the change, and not the object."""
        if step.there is None:
            return False
        try:
            await self._cluster.apply(under_another_name(step.manifest), force=False, dry_run=True)
        except ApiError:
            return False
        return True

    # --- what is left over, and what is no longer wanted

    async def _remove(self, rendered: tuple[Manifest, ...], seen: Seen, of: tuple[Kind, ...]) -> list[Reason]:
        """Delete children of ours that are no longer rendered; return why one cannot be. Raises ApiError."""
        reasons = []
        for place, child in removal.unwanted(rendered, self._as_it_is_now(seen)):
            if place.kind not in of:
                continue
            reason = await self._left_overs.why_not_yet(place, seen) if is_left_over(child, seen) else None
            reason = reason or await self._delete(place, child)
            if reason is not None:
                reasons.append(reason)
        return reasons

    async def _delete(self, place: Place, child: Manifest) -> Reason | None:
        try:
            await self._cluster.delete(place.kind, child)
        except ApiError as error:
            if error.is_conflict:
                raise
            note, passes = self._notes[place], passes_by_itself(error)
            note.failures += 1
            if passes and note.failures == 1:
                raise
            message = f"{place}, no longer wanted, cannot be deleted: {error}"
            pauses = _PASSING_SECONDS if passes else _REFUSED_SECONDS[-1:]
            return not_programmed("ApplyFailed", message, pauses[min(note.failures, len(pauses)) - 1])
        self._store.drop(place.kind, child)
        self._notes.pop(place, None)
        return None

    def _as_it_is_now(self, seen: Seen) -> Seen:
        """Return what was seen, with the children as the answers to our writes have them."""
        return replace(
            seen,
            children={
                (kind, child["metadata"]["name"]): child
                for kind in kinds.CHILDREN
                for child in self._store.children(seen.key, kind)
            },
        )


def _place(step: Step) -> Place:
    return step.place


def _holds_removal_back(step: Step) -> bool:
    """Whether what is no longer wanted stays, as a step was not written: the pods of before may need it.

    A repair holds nothing back, as what is wanted was written before. An object that is not ours holds nothing back
    either, unless it is the Deployment or what its pods need.
    """
    if step.reason is None:
        return False
    return (
        step.place.kind in _PODS_NEED
        or (step.is_change and step.is_refused)
        or (step.place.kind == kinds.DEPLOYMENT and not step.is_repair)
    )


def _as_seen(manifest: Manifest, there: Manifest) -> Manifest:
    """Return what is applied to that very object, in that very version, and no other."""
    identity = {name: there["metadata"][name] for name in ("uid", "resourceVersion")}
    return {**manifest, "metadata": {**manifest["metadata"], **identity}}


def _first(reasons: list[Reason], otherwise: Reason) -> Reason:
    """Return the first reason, with the shortest of the times after which one of them may have passed."""
    if not reasons:
        return otherwise
    pauses = [reason.again_in for reason in reasons if reason.again_in is not None]
    return reasons[0]._replace(again_in=min(pauses, default=None))
