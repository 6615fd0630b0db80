"""Which gateways get new pods that nobody but the operator asks for: a few at a time.

Another listener image, another default and the like concern all gateways at once. If new pods do not start, a few
gateways are to show that, and the others go on with the pods that they have. So a gateway takes one of AT_ONCE turns
before its Deployment is written, and keeps it until the rollout is finished: for as long as that is stuck, too, unless
the InboundSmtp changes or goes. What its author changes waits for no turn, and takes none. Nor does a gateway without
a ready pod: it has nothing to lose, and one that never starts is not to hold up the others.

Who has a turn stands in the cluster: the Deployment names the generation of the InboundSmtp whose pods were replaced
(REPLACED). So an operator that starts in the middle of it counts the rollouts that its predecessor began.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from mailport.operator import kinds, rollout
from mailport.operator.apply.compare import Step
from mailport.operator.children import configuration, volumes
from mailport.operator.metadata import REPLACED, Manifest
from mailport.operator.watch.observe import Seen
from mailport.operator.watch.store import Key, Store
from mailport.process import log

AT_ONCE = 3
"""Gateways that roll at the same time: enough to come through hundreds in an hour, few to have broken."""

_TEMPLATE = ".spec.template"

_log = log.get()


class Turns:
    """Who has a turn, and who waits for one. One a process."""

    def __init__(self, store: Store) -> None:
        """`store` has all gateways already."""
        self._store = store
        self._waiting: dict[Key, None] = {}  # in order
        self._rolling: set[Key] = set()
        self._rolling |= set(filter(self._is_rolling, store.keys()))

    def take(self, step: Step, seen: Seen, differing: list[str]) -> Step | None:
        """Return the step as it may be taken now; None where it has to wait. `differing` are its fields."""
        if not _is_of_the_operator(step, seen, differing):
            return step
        if seen.key not in self._rolling and len(self._rolling) >= AT_ONCE:
            if seen.key not in self._waiting:
                self._waiting[seen.key] = None
                rolling = ", ".join(sorted(map(str, self._rolling)))
                _log.info("new pods wait", gateway=str(seen.key), rolling=rolling)
            return None
        self._rolling.add(seen.key)
        return replace(step, manifest=_marked(step.manifest, str(_generation(seen.body))))

    def looked_at(self, key: Key) -> set[Key]:
        """Take note of how far a gateway has come; return those that wait and may have a turn now."""
        if self._is_rolling(key):
            self._rolling.add(key)
        else:
            self._rolling.discard(key)
        free = max(0, AT_ONCE - len(self._rolling))
        following = set(islice(self._waiting, free))
        for one in following:
            del self._waiting[one]  # who still needs a turn then, and gets none, waits again
        return following

    def _is_rolling(self, key: Key) -> bool:
        body, deployment = (self._store.get(kind, *key) for kind in (kinds.INBOUND_SMTP, kinds.DEPLOYMENT))
        if body is None or deployment is None or _mark(deployment) != str(_generation(body)):
            return False
        if key in self._rolling:
            return bool(rollout.unfinished(deployment))
        return not rollout.was_completed(deployment)  # a pod that fails long after that is no rollout


def as_marked(manifest: Manifest, seen: Seen) -> Manifest:
    """Return a child as rendered, with the mark of the last turn that it has in the cluster, which stays."""
    there = seen.deployment
    if manifest["kind"] != kinds.DEPLOYMENT.name or there is None or (mark := _mark(there)) is None:
        return manifest
    return _marked(manifest, mark)


def _is_of_the_operator(step: Step, seen: Seen, differing: list[str]) -> bool:
    """Whether pods that serve would be replaced, though their author has changed nothing."""
    there = step.there
    if there is None or step.place.kind != kinds.DEPLOYMENT or not step.is_change or step.reason is not None:
        return False
    replaces_pods = any(path.startswith(_TEMPLATE) for path in differing)
    return replaces_pods and _is_applied(seen, there) and rollout.count(there, "readyReplicas") > 0


def _is_applied(seen: Seen, deployment: Manifest) -> bool:
    """Whether this generation of the InboundSmtp was applied before: its configuration is there, and was reported."""
    template = deployment["spec"]["template"]["spec"]
    content = seen.mounted(template, volumes.CONFIG_VOLUME, configuration.KEY)
    generation = _generation(seen.body)
    return seen.status.get("observedGeneration") == generation == configuration.generation(content)


def _generation(body: Manifest) -> int:
    generation: int = body["metadata"]["generation"]
    return generation


def _mark(deployment: Manifest) -> str | None:
    mark: str | None = (deployment["metadata"].get("annotations") or {}).get(REPLACED)
    return mark


def _marked(manifest: Manifest, mark: str) -> Manifest:
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), REPLACED: mark}}}
