"""PURE. Which children are no longer wanted, and may go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailport.operator.apply.leftover import is_left_over
from mailport.operator.apply.place import place_of
from mailport.operator.kinds import DEPLOYMENT, SERVICE, Place
from mailport.operator.metadata import Manifest
from mailport.operator.ownership import is_ours
from mailport.operator.watch.observe import Seen

_KEPT = frozenset({SERVICE, DEPLOYMENT})


def unwanted(rendered: Iterable[Manifest], seen: Seen) -> Iterator[tuple[Place, Manifest]]:
    """Yield what is ours, or of an earlier gateway of this name, and no longer rendered.

    Never a Service, whose address would be lost, nor a Deployment, which mail is taken by; and nothing that pods still
    need to start.
    """
    wanted = {place_of(manifest) for manifest in rendered}
    for (kind, name), child in seen.children.items():
        place = Place(kind, seen.key.namespace, name)
        if place in wanted or kind in _KEPT or "deletionTimestamp" in child["metadata"]:
            continue
        if (is_ours(child, seen.uid) or is_left_over(child, seen)) and not seen.is_needed(kind, name):
            yield place, child
