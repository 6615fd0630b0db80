"""What has to be done about a child: it is as rendered, it is to be written, or there is a reason not to."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field, replace

from mailport.operator.apply import additions, drift
from mailport.operator.apply.contest import managers, state
from mailport.operator.apply.leftover import LeftOvers, is_left_over
from mailport.operator.apply.place import digest, not_programmed, place_of
from mailport.operator.cluster import Cluster
from mailport.operator.contest import Contest
from mailport.operator.kinds import Place
from mailport.operator.managed_fields import compact
from mailport.operator.metadata import Manifest
from mailport.operator.ownership import controller, is_ours
from mailport.operator.reason import PENDING, Reason
from mailport.operator.watch.observe import Seen

MAX_FIELDS = 5
"""Fields of a child that are named in a message."""

_CALM_SECONDS = 30.0  # after which nobody contests what was put back
_UNSEEN_SECONDS = 10.0  # before what stands in the way is looked at again, where no watch tells that it has gone


@dataclass(slots=True)
class Note:
    """What earlier looks have found out about a child. It saves requests whose answer is known."""

    digest: str = ""  # of the manifest that was applied last
    settled: frozenset[str] = frozenset()  # what the API server wrote in its own way: 0.1 as 100m
    written: Manifest = field(default_factory=dict)  # the object as it was then, where there is such
    as_rendered: tuple[str, str] = ("", "")  # the last digest and resourceVersion between which nothing differed
    contest: Contest = field(default_factory=Contest)
    contested: Reason | None = None

    # What was refused, or has failed so far
    refused: Reason | None = None
    refused_digest: str = ""
    refused_uid: str | None = None  # of the object that stood in the way
    failures: int = 0
    again_at: float = 0.0  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Step:
    """A child that is not as rendered."""

    place: Place
    manifest: Manifest
    there: Manifest | None = None
    is_repair: bool = False  # the same was applied before: somebody has changed what is there
    reason: Reason | None = None  # why it is not written; None where it is to be
    is_refused: bool = False  # the API server does not take it

    @property
    def is_change(self) -> bool:
        """Whether what is rendered has changed, and not what is there."""
        return self.there is not None and not self.is_repair


class Comparer:
    """Compares children with what was rendered. The notes are the applier's too, which writes the children."""

    def __init__(self, cluster: Cluster, left_overs: LeftOvers) -> None:
        self._cluster = cluster
        self._left_overs = left_overs
        self.notes: defaultdict[Place, Note] = defaultdict(Note)

    async def compare(self, manifest: Manifest, seen: Seen) -> Step | None:
        """Return what is to be done about a child, or why nothing is; None where it is as rendered. Raises ApiError."""
        place = place_of(manifest)
        note = self.notes[place]
        known = digest(manifest)
        there = seen.child(place.kind, place.name) or await self.look(place)
        if there is not None and note.as_rendered == (known, there["metadata"]["resourceVersion"]):
            return None
        step = Step(place, manifest, there, is_repair=note.digest == known)
        reason = await self._why_not(step, seen)
        if reason is not None:
            return replace(step, reason=reason)
        if there is None:
            return self._still_refused(step)
        if not self.foreign(manifest, there):
            note.as_rendered = known, there["metadata"]["resourceVersion"]
            if note.digest != known:  # another process has applied it: what comes to differ, somebody has changed
                note.digest, note.settled, note.written = known, frozenset(), {}
                note.contest, note.contested = Contest(), None
            note.refused, note.failures = None, 0
            return None
        step = self._still_refused(step)
        if step.is_repair and step.reason is None:
            return replace(step, reason=await self._why_contested(step, note))
        return step

    async def _why_not(self, step: Step, seen: Seen) -> Reason | None:
        """Say why a child may not be written, whatever is to be written."""
        there, note, now = step.there, self.notes[step.place], time.monotonic()
        if there is not None and is_left_over(there, seen):
            reason = await self._left_overs.why_not_yet(step.place, seen)
            if reason is not None:
                return reason
        elif there is not None and (reason := _why_not_ours(step.place, there, seen.uid)) is not None:
            is_watched = seen.child(step.place.kind, step.place.name) is not None
            return reason if is_watched else reason._replace(again_in=_UNSEEN_SECONDS)
        # A change is no matter of the contest: held back, it would be written by half
        if note.contested is None or not step.is_repair or now >= note.contest.until + _CALM_SECONDS:
            return None
        # What was put back after the pause may come back once more: until that is seen, nothing else is said
        is_put_back = there is not None and not self.foreign(step.manifest, there)
        if now < note.contest.until or is_put_back:
            return note.contested._replace(again_in=note.contest.until + _CALM_SECONDS - now)
        return None

    def _still_refused(self, step: Step) -> Step:
        """Return the step with the reason of its last refusal, while the same would be asked again too soon."""
        note, now = self.notes[step.place], time.monotonic()
        uid = None if step.there is None else step.there["metadata"]["uid"]
        same = (note.refused_digest, note.refused_uid) == (digest(step.manifest), uid)
        if note.refused is None or not same or note.again_at <= now:
            return step
        return replace(step, reason=note.refused._replace(again_in=note.again_at - now), is_refused=True)

    async def look(self, place: Place) -> Manifest | None:
        """Ask for an object that our watches do not see, as it has not our label; None where there is none."""
        found = await self._cluster.get(*place)
        return None if found is None else compact(found)

    def foreign(self, manifest: Manifest, there: Manifest) -> list[str]:
        """Return the fields that are not as rendered, and those that others added where they may not."""
        return [*self._differences(manifest, there), *additions.named(manifest, there)]

    def _differences(self, manifest: Manifest, there: Manifest) -> list[str]:
        differences = list(drift.differences(manifest, there))
        note = self.notes.get(place_of(manifest))
        if differences and note is not None and note.settled and note.digest == digest(manifest):
            changed = set(drift.differences(note.written, there)) - set(drift.differences(note.written, note.written))
            settled = note.settled - changed
            differences = [path for path in differences if path not in settled]
        return [*differences, *drift.dropped(manifest, there)]

    async def _why_contested(self, step: Step, note: Note) -> Reason | None:
        """Say that somebody else sets the same fields back, again and again; None where they are to be repaired."""
        assert step.there is not None  # noqa: S101 - a repair is of something
        now = time.monotonic()
        if not note.contest.is_too_often(state(step.there), now):
            return None
        paths = self.foreign(step.manifest, step.there)
        found = await self._cluster.get(*step.place)
        others = managers(found, paths) if found is not None else []
        by = f"by the field manager {' and '.join(others)}" if others else "by another mailport-operator"
        fields = ", ".join(paths[:MAX_FIELDS])
        message = f"{step.place}: these fields are set back repeatedly {by}: {fields}. Remove them from one of the two"
        note.contested = not_programmed("ChildContested", message, note.contest.until - now)
        return note.contested


def _why_not_ours(place: Place, there: Manifest, owner_uid: str) -> Reason | None:
    """Say why an object is to be left alone."""
    if "deletionTimestamp" in there["metadata"]:
        return not_programmed(PENDING, f"{place} is being deleted; it will be created again afterwards")
    if is_ours(there, owner_uid):
        return None
    owning = controller(there)
    whose = "is there already, and is not ours"
    if owning is not None:
        whose = f"belongs to {owning['kind']} {owning['name']}"
    return not_programmed("ChildConflict", f"{place} {whose}: rename it or the InboundSmtp, or delete it")
