"""Children of a deleted InboundSmtp of the same name, until Kubernetes' garbage collector deletes them."""

from __future__ import annotations

import time
from typing import NamedTuple

from mailport.operator.api_error import ApiError
from mailport.operator.apply.place import not_programmed
from mailport.operator.cluster import Cluster
from mailport.operator.kinds import INBOUND_SMTP, Place
from mailport.operator.metadata import OPERATOR, SELECTOR_LABEL, Manifest
from mailport.operator.ownership import controller, is_applied_by_us
from mailport.operator.reason import PENDING, Reason
from mailport.operator.watch.observe import Seen
from mailport.operator.watch.store import Key

_COLLECTED_SECONDS = 30.0  # within which Kubernetes collects what a deleted owner leaves, unless it has missed it


def is_left_over(child: Manifest, seen: Seen) -> bool:
    """Whether a child is of an earlier InboundSmtp of the same name: there are never two at a time.

    Of one that was restored from a backup without managedFields the labels say that it was ours.
    """
    owning = controller(child)
    return (
        owning is not None
        and "deletionTimestamp" not in child["metadata"]
        and (owning["kind"], owning["name"]) == (INBOUND_SMTP.name, seen.key.name)
        and owning["uid"] != seen.uid
        and (is_applied_by_us(child) or _has_our_labels(child, seen))
    )


def _has_our_labels(child: Manifest, seen: Seen) -> bool:
    labels = child["metadata"].get("labels") or {}
    return (labels.get("app.kubernetes.io/managed-by"), labels.get(SELECTOR_LABEL)) == (OPERATOR, seen.key.name)


class _Since(NamedTuple):
    """When the children of a deleted InboundSmtp were first seen beside those of the one that has its name now."""

    owner: str  # the uid of the gateway that is there now
    since: float  # monotonic seconds


class LeftOvers:
    """Decides when such children may be taken over. One a process."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._since: dict[Key, _Since] = {}

    def forget(self, key: Key) -> None:
        """Forget a gateway that is gone."""
        self._since.pop(key, None)

    async def why_not_yet(self, place: Place, seen: Seen) -> Reason | None:
        """Say why a child that a deleted InboundSmtp left may not be taken over yet. Raises ApiError.

        Kubernetes collects it, as a rule within a second; but it misses what was deleted and made again while it could
        not watch, and would leave that for ever.
        """
        now = time.monotonic()
        left = self._since.get(seen.key)
        if left is None or left.owner != seen.uid:
            left = self._since[seen.key] = _Since(seen.uid, now)
        if (remaining := left.since + _COLLECTED_SECONDS - now) > 0:
            message = f"{place} belongs to a deleted InboundSmtp of the same name, and waits for garbage collection"
            return not_programmed(PENDING, message, remaining)
        async for body in self._cluster.every(INBOUND_SMTP, seen.key.namespace):
            if body["metadata"]["uid"] == seen.uid:
                return None
        raise ApiError(409, f"{seen.key} has changed since it was seen")
