"""Kubernetes Events about an InboundSmtp: what `kubectl describe` shows below the status."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.cluster import Cluster
from mailport.operator.metadata import OPERATOR, Manifest
from mailport.operator.report.transitions import Event
from mailport.process import log

_MAX_OCTETS = 1024  # of an Event's message, as the API server counts them
_ELLIPSIS = "…"

_log = log.get()


class Events:
    """Posts Events. One that cannot be posted is in the log all the same, and holds nothing up."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._posted: set[str] = set()  # names of those that come once

    async def post(self, body: Manifest, event: Event) -> None:
        """Post an Event."""
        await self._post(body, event, secrets.token_hex(8))

    async def post_once(self, body: Manifest, event: Event, *, about: str) -> None:
        """Post an Event, but not again about the same; by another process not while the first is kept (an hour)."""
        name = hashlib.sha256(f"{event.reason} {about}".encode()).hexdigest()[:16]
        if name not in self._posted and await self._post(body, event, name):
            self._posted.add(name)

    async def _post(self, body: Manifest, event: Event, suffix: str) -> bool:
        """Return whether it is there."""
        metadata = body["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        made = {
            "apiVersion": kinds.EVENT.api_version,
            "kind": kinds.EVENT.name,
            "metadata": {"name": f"{metadata['name']}.{suffix}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": body["apiVersion"],
                "kind": body["kind"],
                **{name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")},
            },
            "type": event.type,
            "reason": event.reason,
            "message": _shortened(event.message),
            "source": {"component": OPERATOR},
            "reportingComponent": f"mailport.dev/{OPERATOR}",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._cluster.create(kinds.EVENT, metadata["namespace"], made)
        except ApiError as error:
            if not error.is_conflict:
                _log.warning("an Event could not be posted", reason=event.reason, detail=str(error))
                return False
        return True


def _shortened(message: str) -> str:
    octets = message.encode()
    if len(octets) <= _MAX_OCTETS:
        return message
    return octets[: _MAX_OCTETS - len(_ELLIPSIS.encode())].decode(errors="ignore") + _ELLIPSIS
