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
from mailport.operator.pods.observed import ObservedPod
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
    """The result of one refresh."""

    pods: tuple[ObservedPod, ...]
    again_in: float | None = None  # seconds, until the next one is to be poked
    all_asked: bool = True  # each one that is ready has answered, or was silent


@dataclass(frozen=True, slots=True)
class _Known:
    """A pod, and what is known of it."""

    uid: str
    body: Manifest
    look: Look  # what it said last
    expected: str | None  # the hash of what it mounts
    hindrance: str  # why it does not start, as Kubernetes says; empty where it says nothing


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
        key, pods = seen.key, self._known(seen)
        before = self._poked.get(key, {})
        poked = self._poked[key] = {pod.uid: before.get(pod.uid, Poked()) for pod in pods}
        nexts = await asyncio.gather(*(self._poke(pod, poked) for pod in pods)) if may_poke else []
        self._poller.follow(
            key,
            [
                Target(
                    uid=pod.uid,
                    name=pod.body["metadata"]["name"],
                    ip=pod.body["status"].get("podIP", ""),
                    port=admin_port(pod.body["spec"]),
                    ready=is_ready(pod.body),
                    starting=is_starting(pod.body),
                    expected=pod.expected,
                    poked=poked[pod.uid],
                    may_poke=may_poke and pod.expected is not None,
                )
                for pod in pods
            ],
        )
        return Refreshed(
            tuple(observed(pod.body, pod.expected, pod.look, pod.hindrance) for pod in pods),
            min((seconds for seconds in nexts if seconds is not None), default=None),
            all(pod.look.was_asked for pod in pods if is_ready(pod.body)),
        )

    def _known(self, seen: Seen) -> list[_Known]:
        looks, hindrances = self._poller.looks(seen.key), self._poller.hindrances(seen.key)
        known = []
        for body in seen.running:
            uid = body["metadata"]["uid"]
            expected = expected_hash(seen, body["spec"])
            known.append(_Known(uid, body, looks.get(uid, Look()), expected, hindrances.get(uid, "")))
        return known

    async def _poke(self, pod: _Known, known: dict[str, Poked]) -> float | None:
        """Poke one where it is time to; return the seconds until the next time."""
        report, expected = pod.look.report, pod.expected
        if report is None or expected is None:
            return None
        metadata, now = pod.body["metadata"], time.monotonic()
        poked = known[pod.uid]
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
        poked = known[pod.uid] = Poked(expected, attempts + 1, now)
        return poke.poke_in(report, expected, poked, now)
