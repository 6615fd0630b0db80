"""Whether another operator has taken a gateway that was ours, and whether that one is still there.

Each operator puts its mark (INSTANCE) on the Deployments that it applies. One that starts takes over what another has
applied; where the other's mark then is where ours was, we leave the gateway to the other: two that go on would roll the
pods for ever. But a mark is no proof of life: an operator that was moved away may have left it a moment before its end,
`kubectl rollout undo` brings back the one of before, and anybody may write it. So we ask: we take the mark away, and no
more. An operator that is there puts it back at once, as any field of its own, and keeps the gateway; no pod is touched.
Where nobody does, the gateway is ours again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mailport.operator.api_error import ApiError
from mailport.operator.cluster import MERGE_PATCH, Cluster
from mailport.operator.kinds import DEPLOYMENT, Place
from mailport.operator.managed_fields import compact
from mailport.operator.metadata import INSTANCE, Manifest
from mailport.operator.watch.observe import Seen
from mailport.operator.watch.store import Key, Store
from mailport.process import log

_FIRST_SECONDS = 60.0  # before the other is asked: most that are moved away are gone by then
_NEXT_SECONDS = 600.0  # before it is asked again, when it has answered
_ANSWER_SECONDS = 60.0  # that it has: time enough for another replica of it to become leader

_log = log.get()


@dataclass(frozen=True, slots=True)
class LeftTo:
    """Another operator that has a gateway, which we leave to it."""

    operator: str
    until: float  # monotonic seconds: when it is to be asked, or to have answered
    is_asked: bool = False

    @property
    def again_in(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self.until - time.monotonic())


class OtherOperator:
    """Knows which gateways are another operator's. One a process."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._left: dict[Key, LeftTo] = {}

    async def has(self, seen: Seen, instance: str, *, may_ask: bool) -> LeftTo | None:
        """Return to whom we, `instance`, leave a gateway; None where it is ours. Raises ApiError, NotOurTurnError."""
        left = self._left_to(seen, instance)
        if left is None:
            self._left.pop(seen.key, None)
            return None
        if left.again_in == 0.0 and not left.is_asked:
            left = await self._ask(seen, left) if may_ask else _later(left.operator, _NEXT_SECONDS)
        self._left[seen.key] = left
        return left

    async def take_over(self, manifest: Manifest, there: Manifest) -> None:
        """Put our mark on a Deployment that is applied later, so that another leaves it already. Raises ApiError."""
        if (ours := _mark(manifest)) not in (None, _mark(there)):
            await self._set_mark(there, ours)

    def forget(self, key: Key) -> None:
        """Forget a gateway that is gone."""
        self._left.pop(key, None)

    def _left_to(self, seen: Seen, instance: str) -> LeftTo | None:
        deployment, left = seen.deployment, self._left.get(seen.key)
        if deployment is None or not self._store.was_ours(seen.key):
            return None
        mark = _mark(deployment)
        if mark == instance:
            return None
        if mark is None:  # we took it away, or somebody else has: to give the gateway back
            if left is None or not left.is_asked:
                return None
            if left.again_in > 0.0:
                return left
            _log.info("taken back", gateway=str(seen.key), silent=left.operator)
            return None
        if left is None:
            return _later(mark, _FIRST_SECONDS)
        return _later(mark, _NEXT_SECONDS) if left.is_asked else replace(left, operator=mark)

    async def _ask(self, seen: Seen, left: LeftTo) -> LeftTo:
        """Take the other's mark away. Raises ApiError, NotOurTurnError."""
        assert seen.deployment is not None  # noqa: S101 - it has the mark
        asked = replace(_later(left.operator, _ANSWER_SECONDS), is_asked=True)
        self._left[seen.key] = asked  # before we know: without an answer of the API server it may be gone
        try:
            await self._set_mark(seen.deployment, None)
        except ApiError as error:
            if error.is_conflict:
                self._left[seen.key] = left
            raise
        return asked

    async def _set_mark(self, deployment: Manifest, mark: str | None) -> None:
        metadata = deployment["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": {INSTANCE: mark}}}
        place = Place(DEPLOYMENT, metadata["namespace"], metadata["name"])
        self._store.put(DEPLOYMENT, compact(await self._cluster.patch(*place, body, content_type=MERGE_PATCH)))


def _mark(deployment: Manifest) -> str | None:
    mark: str | None = (deployment["metadata"].get("annotations") or {}).get(INSTANCE)
    return mark


def _later(operator: str, seconds: float) -> LeftTo:
    return LeftTo(operator, time.monotonic() + seconds)
