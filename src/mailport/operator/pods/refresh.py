"""Has the kubelet refresh the volumes of pods that do not run what was applied, and says what is known of all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.cluster import MERGE_PATCH, Cluster
from mailport.operator.metadata import POKE, Manifest
from mailport.operator.pods import poke
from mailport.operator.pods.observed import ObservedPod, Report
from mailport.operator.pods.poke import Poked
from mailport.operator.pods.poller import Poller
from mailport.operator.pods.running import admin_port, expected_hash, is_ready, is_starting, observed
from mailport.operator.pods.schedule import Look, Target
from mailport.operator.watch.observe import Seen
from mailport.operator.watch.store import Key
from mailport.process import log

_STALE_SECONDS = 0.2  # the news of what is not as it was seen is on its way

_log = log.get()


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came of it."""

    pods: tuple[ObservedPod, ...]
    again_in: float | None = None  # seconds, until the next one is to be poked
    all_asked: bool = True  # each one that is ready has answered, or was silent


class Refresher:
    """Pokes pods. One a process; what it remembers is when it did."""

    def __init__(self, cluster: Cluster, poller: Poller) -> None:
        self._cluster = cluster
        self._poller = poller
        self._poked: dict[Key, dict[str, Poked]] = {}  # by the pod's uid

    def forget(self, key: Key) -> None:
        """Forget the pods of a gateway that is gone."""
        self._poked.pop(key, None)
        self._poller.forget(key)

    async def refresh(self, seen: Seen, *, may_poke: bool) -> Refreshed:
        """Poke the pods that lag, where it is time to, by what they said last; have them asked again."""
        key, pods = seen.key, tuple(seen.running)
        looks, hindrances = self._poller.looks(key), self._poller.hindrances(key)
        before = self._poked.get(key, {})
        poked = self._poked[key] = {uid: before.get(uid, Poked()) for uid in map(_uid, pods)}
        expected = {_uid(found): expected_hash(seen, found["spec"]) for found in pods}
        nexts = await asyncio.gather(
            *(self._poke(found, looks.get(_uid(found), Look()).report, expected[_uid(found)], poked) for found in pods)
            if may_poke
            else ()
        )
        self._poller.follow(
            key,
            [
                Target(
                    uid=_uid(found),
                    name=found["metadata"]["name"],
                    ip=found["status"].get("podIP", ""),
                    port=admin_port(found["spec"]),
                    ready=is_ready(found),
                    starting=is_starting(found),
                    expected=expected[_uid(found)],
                    poked=poked[_uid(found)],
                    may_poke=may_poke and expected[_uid(found)] is not None,
                )
                for found in pods
            ],
        )
        return Refreshed(
            tuple(
                observed(found, expected[_uid(found)], looks.get(_uid(found), Look()), hindrances.get(_uid(found), ""))
                for found in pods
            ),
            min((seconds for seconds in nexts if seconds is not None), default=None),
            all(looks.get(_uid(found), Look()).was_asked for found in pods if is_ready(found)),
        )

    async def _poke(
        self, found: Manifest, report: Report | None, expected: str | None, known: dict[str, Poked]
    ) -> float | None:
        """Poke one where it is time to; return the seconds until the next time."""
        if report is None or expected is None:
            return None
        metadata, now = found["metadata"], time.monotonic()
        poked = known[metadata["uid"]]
        until = poke.poke_in(report, expected, poked, now)
        if until is None or until > 0:
            return until
        attempts = poked.attempts
        if poked.hash != expected:
            attempts = poke.last_attempt(metadata.get("annotations", {}).get(POKE), expected)
        body = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {POKE: poke.value(expected, attempts + 1)},
            }
        }
        try:
            await self._cluster.patch(
                kinds.POD, metadata["namespace"], metadata["name"], body, content_type=MERGE_PATCH
            )
        except ApiError as error:
            if error.status in (404, 409):  # gone, or changed meanwhile
                return _STALE_SECONDS
            _log.warning("a pod could not be poked", pod=metadata["name"], detail=str(error))
        now = time.monotonic()  # the pause is from when the kubelet may have heard of it
        poked = known[metadata["uid"]] = Poked(expected, attempts + 1, now)
        return poke.poke_in(report, expected, poked, now)


def _uid(found: Manifest) -> str:
    uid: str = found["metadata"]["uid"]
    return uid
