"""The pods of a gateway: what they run, and that they run what was applied."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mailport import log
from mailport.operator import configuration, kinds, pod, poking, volumes
from mailport.operator.cluster import MERGE_PATCH, ApiError, Cluster
from mailport.operator.metadata import Manifest
from mailport.operator.observed import ObservedPod, Report
from mailport.operator.pods import Pods
from mailport.operator.programming import is_ours
from mailport.operator.store import Key, Store

_STALE_SECONDS = 0.2  # the news of what is not as it was seen is on its way
_MAX_TROUBLE = 300  # characters of what a pod says of its own end

_log = log.get()


@dataclass(slots=True)
class _Known:
    """What is known of a pod besides what the API server says."""

    look: poking.Look = field(default_factory=poking.Look)
    poked: poking.Poked = field(default_factory=poking.Poked)


class Live:
    """Asks pods what they run, and has the kubelet refresh the volumes of those that lag. Kept by the leader alone."""

    def __init__(self, cluster: Cluster, store: Store, pods: Pods) -> None:
        self._cluster = cluster
        self._store = store
        self._pods = pods
        self._known: dict[Key, dict[str, _Known]] = {}  # by the pod's uid

    def forget(self, key: Key) -> None:
        """Forget the pods of a gateway that is gone."""
        self._known.pop(key, None)

    def clear(self) -> None:
        """Forget all: another replica leads, or did until now."""
        self._known.clear()

    def pods(self, key: Key) -> tuple[ObservedPod, ...]:
        """Return the pods as they are known now."""
        known = self._known.get(key, {})
        return tuple(self._observed(key, found, known.get(found["metadata"]["uid"])) for found in self._running(key))

    def applied_hash(self, key: Key) -> str | None:
        """Return the hash of the configuration that new pods mount; None where there is none yet."""
        deployment = self._deployment(key)
        return None if deployment is None else self._hash(key, deployment["spec"]["template"]["spec"])

    def applied_generation(self, key: Key) -> int | None:
        """Return the generation of the InboundSmtp that the same configuration was made of."""
        deployment = self._deployment(key)
        content = None if deployment is None else self._content(key, deployment["spec"]["template"]["spec"])
        try:
            return None if content is None else int(json.loads(content)["metadata"]["generation"])
        except (ValueError, KeyError, TypeError):  # somebody has changed it
            return None

    async def look(self, key: Key, *, may_poke: bool) -> float | None:
        """Ask the pods that it is time to ask, and poke those that lag; return the seconds until the next time."""
        running = [found for found in self._running(key) if found["status"].get("podIP")]
        known = self._known.setdefault(key, {})
        for uid in known.keys() - {found["metadata"]["uid"] for found in running}:
            del known[uid]
        nexts = await asyncio.gather(*(self._look_at(key, found, may_poke) for found in running))
        return min(nexts, default=None)

    async def _look_at(self, key: Key, found: Manifest, may_poke: bool) -> float:
        known = self._known[key].setdefault(found["metadata"]["uid"], _Known())
        expected = self._hash(key, found["spec"])
        ready = _is_ready(found["status"])
        pokes = may_poke and expected is not None
        if poking.look_in(known.look, expected, known.poked, time.monotonic(), ready=ready, pokes=pokes) <= 0:
            report = await self._pods.ask(found["status"]["podIP"], _admin_port(found["spec"]))
            known.look = poking.after(known.look, report, time.monotonic(), ready=ready)
        until_poke = None
        if may_poke and expected is not None and known.look.report is not None:
            until_poke = await self._poke(known, found, known.look.report, expected)
        next_look = poking.look_in(known.look, expected, known.poked, time.monotonic(), ready=ready, pokes=pokes)
        return next_look if until_poke is None else min(next_look, until_poke)

    async def _poke(self, known: _Known, found: Manifest, report: Report, expected: str) -> float | None:
        now = time.monotonic()
        until = poking.poke_in(report, expected, known.poked, now)
        if until is None or until > 0:
            return until
        metadata = found["metadata"]
        attempts = known.poked.attempts
        if known.poked.hash != expected:
            attempts = poking.last_attempt(metadata.get("annotations", {}).get(poking.ANNOTATION), expected)
        body = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {poking.ANNOTATION: poking.value(expected, attempts + 1)},
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
        known.poked = poking.Poked(expected, attempts + 1, now)
        return poking.poke_in(report, expected, known.poked, now)

    # --- what the API server says of them

    def _deployment(self, key: Key) -> Manifest | None:
        """Return the gateway's Deployment, unless that is somebody else's."""
        gateway, deployment = self._store.get(kinds.INBOUND_SMTP, *key), self._store.get(kinds.DEPLOYMENT, *key)
        if gateway is None or deployment is None or not is_ours(deployment, gateway["metadata"]["uid"]):
            return None
        return deployment

    def _running(self, key: Key) -> Iterator[Manifest]:
        """Return the pods that are not on their way out and are our Deployment's: by owner, not by label alone."""
        deployment = self._deployment(key)
        if deployment is None:
            return
        uid = deployment["metadata"]["uid"]
        sets = {
            found["metadata"]["uid"]
            for found in self._store.children(key, kinds.REPLICA_SET)
            if uid in _controllers(found)
        }
        for found in self._store.children(key, kinds.POD):
            over = "deletionTimestamp" in found["metadata"] or found["status"].get("phase") in ("Succeeded", "Failed")
            if not over and not sets.isdisjoint(_controllers(found)):
                yield found

    def _hash(self, key: Key, spec: Manifest) -> str | None:
        """Return the hash of what a pod mounts as its configuration."""
        content = self._content(key, spec)
        return None if content is None else configuration.digest(content.encode())

    def _content(self, key: Key, spec: Manifest) -> str | None:
        """Return what a pod mounts as its configuration."""
        for volume in spec.get("volumes", ()):
            if volume["name"] == volumes.CONFIG_VOLUME and "configMap" in volume:
                config_map = self._store.get(kinds.CONFIG_MAP, key.namespace, volume["configMap"]["name"])
                return None if config_map is None else (config_map.get("data") or {}).get(configuration.KEY)
        return None

    def _observed(self, key: Key, found: Manifest, known: _Known | None) -> ObservedPod:
        spec, its_status = found["spec"], found["status"]
        addresses = [entry["ip"] for entry in its_status.get("hostIPs", ())] or [its_status.get("hostIP")]
        return ObservedPod(
            name=found["metadata"]["name"],
            ready=_is_ready(its_status),
            host_ips=tuple(address for address in addresses if address),
            expected_hash=self._hash(key, spec),
            report=None if known is None else known.look.report,
            ports=frozenset(port["containerPort"] for port in _container(spec).get("ports", ())),
            trouble=_trouble(its_status),
        )


def _controllers(found: Manifest) -> set[str]:
    return {owner["uid"] for owner in found["metadata"].get("ownerReferences", ()) if owner.get("controller")}


def _is_ready(its_status: Manifest) -> bool:
    conditions = its_status.get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _container(spec: Manifest) -> Manifest:
    return next((container for container in spec["containers"] if container["name"] == pod.CONTAINER), {})


def _admin_port(spec: Manifest) -> int:
    ports = _container(spec).get("ports", ())
    return next((int(port["containerPort"]) for port in ports if port.get("name") == pod.ADMIN), 0)


def _trouble(its_status: Manifest) -> str:
    """Say why a pod does not start: its place, its image, or the listener's own last words."""
    for condition in its_status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _shortened(f"{condition.get('reason', '')}: {condition.get('message', '')}")
    for container in its_status.get("containerStatuses", ()):
        if container["name"] != pod.CONTAINER:
            continue
        for state in (container.get("state", {}), container.get("lastState", {})):
            if (ended := state.get("terminated")) is not None:
                return _shortened(_last_words(ended.get("message", "")) or ended.get("reason", ""))
            if (waiting := state.get("waiting")) is not None and waiting.get("reason") not in (
                "CrashLoopBackOff",  # the state before says why
                "ContainerCreating",
                "PodInitializing",
            ):
                return _shortened(f"{waiting.get('reason', '')}: {waiting.get('message', '')}".removesuffix(": "))
    return ""


def _last_words(message: str) -> str:
    """Read a listener's last line: JSON with a reason and a message, or whatever else it is."""
    lines = message.strip().splitlines()
    if not lines:
        return ""
    try:
        said: Any = json.loads(lines[-1])
        return f"{said['reason']}: {said['message']}"
    except (ValueError, TypeError, KeyError):
        return lines[-1]


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TROUBLE else text[: _MAX_TROUBLE - 1] + "…"
