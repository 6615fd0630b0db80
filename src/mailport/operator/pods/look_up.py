"""What Kubernetes says of a pod that does not start: its last Warning (a volume that does not mount, an image)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.cluster import Cluster
from mailport.operator.metadata import Manifest
from mailport.operator.pods.poller import LookUp
from mailport.operator.pods.schedule import Target
from mailport.operator.watch.store import Key
from mailport.process import log

_log = log.get()


def in_events(cluster: Cluster) -> LookUp:
    """Return what looks it up in the pod's Events."""

    async def look_up(key: Key, target: Target) -> str:
        selector = f"involvedObject.uid={target.uid},type=Warning"
        try:
            return last(await cluster.select(kinds.EVENT, key.namespace, selector))
        except ApiError as error:  # nothing depends on it
            _log.debug("events of a pod", pod=target.name, detail=str(error))
            return ""

    return look_up


def last(events: list[Manifest]) -> str:
    """Return the reason and message of the last one; empty where there is none."""
    if not events:
        return ""
    event = max(events, key=_when)
    return f"{event.get('reason', '')}: {event.get('message', '')}"


def _when(event: Mapping[str, Any]) -> str:
    """Return when it happened last, in RFC 3339: texts that sort as times do."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")
