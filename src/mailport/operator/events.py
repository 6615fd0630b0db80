"""Kubernetes Events about an InboundSmtp: what `kubectl describe` shows below the status."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

from mailport import log
from mailport.operator import kinds
from mailport.operator.cluster import ApiError, Cluster
from mailport.operator.metadata import OPERATOR, Manifest
from mailport.operator.transitions import Transition

_MAX_MESSAGE = 1024  # of an Event's message, as the API server checks it
_ELLIPSIS = "…"

_log = log.get()


class Events:
    """Posts Events. One that cannot be posted is in the log all the same, and holds nothing up."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._posted: set[str] = set()  # names of those that come once

    async def post(self, body: Manifest, transition: Transition) -> None:
        """Post an Event."""
        await self._post(body, transition, secrets.token_hex(8))

    async def post_once(self, body: Manifest, transition: Transition, *, about: str) -> None:
        """Post an Event, but not again about the same; by another process not while the first is kept (an hour)."""
        name = hashlib.sha256(f"{transition.reason} {about}".encode()).hexdigest()[:16]
        if name not in self._posted:
            await self._post(body, transition, name)
            self._posted.add(name)

    async def _post(self, body: Manifest, transition: Transition, suffix: str) -> None:
        metadata = body["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": kinds.EVENT.api_version,
            "kind": kinds.EVENT.name,
            "metadata": {"name": f"{metadata['name']}.{suffix}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": body["apiVersion"],
                "kind": body["kind"],
                **{name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")},
            },
            "type": transition.type,
            "reason": transition.reason,
            "message": _shortened(transition.message),
            "source": {"component": OPERATOR},
            "reportingComponent": f"mailport.dev/{OPERATOR}",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._cluster.create(kinds.EVENT, metadata["namespace"], event)
        except ApiError as error:
            if not error.is_conflict:
                _log.warning("an Event could not be posted", reason=transition.reason, detail=str(error))


def _shortened(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 1] + _ELLIPSIS
