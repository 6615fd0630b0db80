"""What the operator was allowed to do and what not, out of the API server's audit log."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.kube.cluster import Cluster
from tests.kube.operating import OPERATOR

Permission = tuple[str, str, str]  # verb, group, resource or resource/subresource
_Event = dict[str, Any]

AGENTS = ("mailport-operator/", "kopf/")  # other tests ask as the operator's user too: what it may not do
DONE = {*range(200, 300), 404, 409}  # what was not there, or not as it was seen, was asked for all the same
_REFUSED = re.compile(r'cannot (\w+) resource "([\w./-]+)" in API group "([\w.-]*)"')  # of RBAC, not of an admission


def asked(cluster: Cluster) -> Iterator[_Event]:
    """What the operator asked about objects so far."""
    for event in cluster.audit(OPERATOR):
        if event["userAgent"].startswith(AGENTS) and "resource" in event.get("objectRef", {}):
            yield event


def used(events: Iterable[_Event]) -> set[Permission]:
    """Which permissions were needed for what was done."""
    return {permission for event in events for permission in _needed(event)}


def refused(events: Iterable[_Event]) -> set[tuple[str, str, str, str]]:
    """Which were not given, and where; an API server learns of a role a moment after it is made."""
    found = set()
    for event in events:
        namespace = event["objectRef"].get("namespace", "")
        if words := _REFUSED.search(event.get("responseStatus", {}).get("message", "")):
            verb, resource, group = words.groups()
            found.add((verb, group, resource, namespace))
        found -= {(*permission, namespace) for permission in _needed(event)}
    return found


def _needed(event: _Event) -> Iterator[Permission]:
    about, status = event["objectRef"], event.get("responseStatus", {}).get("code")
    what = (about.get("apiGroup", ""), "/".join(about[part] for part in ("resource", "subresource") if part in about))
    if status in DONE:
        yield (event["verb"], *what)
    if (event["verb"], status) == ("patch", 201):  # an apply of what was not there needs both
        yield ("create", *what)
