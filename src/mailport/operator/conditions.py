"""PURE. What the conditions of an InboundSmtp say of what was observed: docs/conditions.md has them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mailport.operator.metadata import Manifest
from mailport.operator.observed import Observed, Verdict
from mailport.operator.references import references

# Waiting does not help with these
STALLS = frozenset(
    {
        "Invalid",
        "NotPermitted",
        "UnsupportedField",
        "ConfigTooLarge",
        "ClaimNotShared",
        "ChildConflict",
        "ImmutableField",
    }
)

_TRUE, _FALSE, _UNKNOWN = "True", "False", "Unknown"
_PENDING = "Pending"
_SUSPENDED = "Suspended"

_MAX_OCTETS = 1000  # of a message; it becomes an Event's, which may have 1024
_MAX_NAMED = 5  # objects, fields or routes in a message; `missing` has them all

_NOT_FOUND = ("ClaimNotFound", "SecretNotFound", "SecretKeyMissing", "ConfigMapNotFound")  # the worst first


class Judgement(NamedTuple):
    """What a condition says."""

    status: str
    reason: str
    message: str


def conditions(seen: Observed, missing: list[Manifest], now: str) -> list[Manifest]:
    """Return them in their order. `missing` is status.missing; `now` is as for `status`."""
    return [_condition(seen, now, kind, judged) for kind, judged in _judgements(seen, missing)]


def _judgements(seen: Observed, missing: list[Manifest]) -> Iterator[tuple[str, Judgement]]:
    judged = {
        "Accepted": _verdict(seen.accepted, good="Accepted"),
        "ResolvedRefs": _resolved_refs(seen, missing),
        "Programmed": _verdict(seen.programmed, good="Programmed"),
        "Available": _available(seen),
        "ConfigLive": _config_live(seen),
        "DeliveryDurable": _delivery_durable(seen),
    }
    yield "Ready", _sum(seen, judged)
    yield from judged.items()
    stalled = next((verdict for verdict in (seen.accepted, seen.programmed) if verdict.reason in STALLS), None)
    if stalled is not None:
        yield "Stalled", Judgement(_TRUE, *stalled)
    elif (change := _under_way(seen, judged["ConfigLive"])) is not None:
        yield "Reconciling", Judgement(_TRUE, *change)


def _verdict(verdict: Verdict, *, good: str) -> Judgement:
    return Judgement({good: _TRUE, _PENDING: _UNKNOWN}.get(verdict.reason, _FALSE), *verdict)


def _resolved_refs(seen: Observed, missing: list[Manifest]) -> Judgement:
    if missing:
        return _not_found(seen, missing)
    if seen.gateway is not None and not any(references(seen.gateway.spec)):
        return Judgement(_TRUE, "ResolvedRefs", "no Secret, ConfigMap or claim is missing")
    if _is_not_known_yet(seen, "ResolvedRefs"):
        return Judgement(_UNKNOWN, _PENDING, "no pod has looked yet")
    if seen.gateway is None:
        return Judgement(_UNKNOWN, "Unknown", "pods look for what an accepted spec refers to")
    if not any(pod.is_live for pod in seen.pods):
        return Judgement(_UNKNOWN, "Unknown", "no pod has said what it finds of this configuration")
    return Judgement(_TRUE, "ResolvedRefs", "all that the spec refers to is there")


def _not_found(seen: Observed, missing: list[Manifest]) -> Judgement:
    """Name every object, and give the reason of the worst: without a claim no pod starts."""
    by_object: dict[tuple[str, str], list[Manifest]] = {}
    for entry in missing:
        by_object.setdefault((entry["kind"], entry["name"]), []).append(entry)
    found = [_lack(seen, kind, name, entries) for (kind, name), entries in by_object.items()]
    found.sort(key=lambda judged: _NOT_FOUND.index(judged.reason))  # and by field within each
    return found[0]._replace(message=_some([judged.message for judged in found], "; "))


def _lack(seen: Observed, kind: str, name: str, entries: list[Manifest]) -> Judgement:
    """Judge one object.

    A pod mounts only the keys that are referred to, and cannot tell a Secret without any of them from no Secret.
    """
    keys = list(dict.fromkeys(entry["key"] for entry in entries if "key" in entry))
    fields = list(dict.fromkeys(entry["field"] for entry in entries if "field" in entry))
    message = f"{kind} {name}"
    if fields:
        message += f" ({_some(fields)})"
    without = f"has no key {_some(keys)}"
    if kind == "PersistentVolumeClaim":
        return Judgement(_FALSE, "ClaimNotFound", f"{message} is not there")
    some_key_is_there = all("key" in entry for entry in entries) and not _keys(seen, name) <= set(keys)
    if kind == "Secret" and some_key_is_there:
        return Judgement(_FALSE, "SecretKeyMissing", f"{message} {without}")
    return Judgement(_FALSE, f"{kind}NotFound", f"{message} is not there" + (f", or {without}" if keys else ""))


def _keys(seen: Observed, secret: str) -> set[str]:
    """Return the keys of a Secret that the spec refers to."""
    refs = references(seen.gateway.spec) if seen.gateway is not None else ()
    return {
        key for reference in refs if (reference.kind, reference.name) == ("Secret", secret) for key in reference.keys
    }


def _available(seen: Observed) -> Judgement:
    ready, wanted = len(seen.ready), seen.wanted
    if ready:
        return Judgement(_TRUE, "MinimumReplicasAvailable", f"{_of(ready, wanted)} are ready")
    if _is_not_known_yet(seen, "Available"):
        return Judgement(_UNKNOWN, _PENDING, "no pod has been started yet")
    if seen.is_scaled_to_zero:
        return Judgement(_FALSE, "ScaledToZero", "spec.replicas is 0")
    message = "no replica is ready" if not wanted else f"{_of(ready, wanted)} are ready"
    return Judgement(_FALSE, "NoReplicaReady", ": ".join(part for part in (message, _trouble(seen)) if part))


def _trouble(seen: Observed) -> str:
    """Say of one pod why it does not start, else why there is none: a quota, or a Pod Security Standard."""
    for pod in seen.pods:
        if pod.trouble:
            return f"pod {pod.name}: {pod.trouble}"
    for condition in ((seen.deployment or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == _TRUE:
            return str(condition.get("message", ""))
    return ""


def _config_live(seen: Observed) -> Judgement:
    ready = seen.ready
    if not ready and _is_not_known_yet(seen, "ConfigLive"):
        return Judgement(_UNKNOWN, _PENDING, "no pod has been started yet")
    if not ready and seen.is_scaled_to_zero:
        return Judgement(_TRUE, "Live", "no pod is to run")
    if not ready:
        return Judgement(_UNKNOWN, "PodsUnreachable", "no pod is ready")
    live = sum(pod.is_live for pod in ready)
    for pod in ready:
        if pod.report is not None and pod.report.reload_error:
            return Judgement(_FALSE, "ReloadFailed", f"pod {pod.name}: {pod.report.reload_error}")
    if any(pod.expected_hash is None or (pod.report is not None and not pod.is_live) for pod in ready):
        return Judgement(_FALSE, "Propagating", f"{live} of {len(ready)} ready pods run this configuration")
    if live < len(ready):
        silent = [pod.name for pod in ready if pod.report is None]
        return Judgement(_UNKNOWN, "PodsUnreachable", f"these do not say what they run: {_some(silent)}")
    return Judgement(_TRUE, "Live", f"{live} of {len(ready)} ready pods run this configuration")


def _delivery_durable(seen: Observed) -> Judgement:
    if seen.gateway is None:
        before = _before(seen, "DeliveryDurable")
        if before is not None:
            return Judgement(before["status"], before["reason"], before["message"])
        return Judgement(_UNKNOWN, _PENDING, "the spec is not accepted")
    mailboxes = [(route.name, route.deliver.maildir) for route in seen.gateway.spec.routes]
    passing = [name for name, maildir in mailboxes if maildir is not None and maildir.claim_name is None]
    if passing:
        message = f"without a claimName the mail of a route is lost with the pod: {_some(passing)}"
        return Judgement(_FALSE, "EphemeralMailbox", message)
    return Judgement(_TRUE, "Durable", "what was taken is where it outlives the pod")


def _sum(seen: Observed, judged: dict[str, Judgement]) -> Judgement:
    """Sum up, in the order of the table. Whether mail outlives the pod is for information."""
    deciding = [judged[kind] for kind in ("Accepted", "ResolvedRefs", "Programmed", "Available")]
    for judgement in (*deciding, judged["ConfigLive"]):
        if judgement.status == _FALSE:
            return judgement
    for judgement in deciding:
        if judgement.status == _UNKNOWN:
            return judgement
    count, generation = _of(len(seen.ready), seen.wanted), f"generation {seen.metadata['generation']}"
    if judged["ConfigLive"].status == _TRUE:
        return Judgement(_TRUE, "Ready", f"{count} serve {generation}")
    return Judgement(_TRUE, "Ready", f"{count} are ready; not all of them say whether they serve {generation}")


def _under_way(seen: Observed, config_live: Judgement) -> tuple[str, str] | None:
    """Say what change is on its way, where one is; what a person has suspended or must repair is none."""
    if seen.accepted.reason != "Accepted" or seen.programmed.reason == _SUSPENDED:
        return None
    if seen.programmed.reason in {_PENDING, "ApplyFailed"}:
        return seen.programmed
    if unfinished := _unfinished_rollout(seen):
        return "RollingOut", unfinished
    if config_live.reason == "Propagating":
        return config_live.reason, config_live.message
    return None


def _unfinished_rollout(seen: Observed) -> str:
    """Say what is left of it, as `kubectl rollout status` judges."""
    if seen.deployment is None:
        return "there is no Deployment yet"
    wanted = seen.wanted
    replicas, updated, available = (
        seen.of_deployment(field) for field in ("replicas", "updatedReplicas", "availableReplicas")
    )
    if seen.of_deployment("observedGeneration") < seen.deployment["metadata"].get("generation", 0):
        return "the Deployment has changed, and its controller has not looked yet"
    if updated < wanted:
        return f"{updated} of {wanted} replicas are up to date"
    if replicas > updated:
        return f"{replicas - updated} replicas of before are still to go"
    if available < updated:
        return f"{available} of {updated} replicas are available"
    return ""


# --- conditions


def _before(seen: Observed, kind: str) -> Manifest | None:
    return next((condition for condition in seen.before.get("conditions", ()) if condition["type"] == kind), None)


def _is_not_known_yet(seen: Observed, kind: str) -> bool:
    """Whether it is the first visit, or nothing has come of that yet."""
    before = _before(seen, kind)
    first = before is None or before["reason"] == _PENDING
    return first and seen.programmed.reason == _PENDING and not seen.pods


def _condition(seen: Observed, now: str, kind: str, judged: Judgement) -> Manifest:
    before = _before(seen, kind)
    since = before["lastTransitionTime"] if before is not None and before["status"] == judged.status else now
    return {
        "type": kind,
        "status": judged.status,
        "reason": judged.reason,
        "message": _bounded(judged.message),
        "observedGeneration": seen.metadata["generation"],
        "lastTransitionTime": since,
    }


def _of(count: int, wanted: int) -> str:
    """Count replicas. While pods give way to others there are more than are wanted."""
    return f"{count} of {max(count, wanted)} replicas"


def _some(names: Iterable[str], separator: str = ", ") -> str:
    named = list(names)
    rest = [f"and {len(named) - _MAX_NAMED} more"] if len(named) > _MAX_NAMED else []
    return separator.join([*named[:_MAX_NAMED], *rest])


def _bounded(message: str) -> str:
    """Put a message on one line of what can be printed, and cut it: some of it is what a program said as it died."""
    lines = ("".join(letter if letter.isprintable() else " " for letter in line) for line in message.splitlines())
    text = "; ".join(words for line in lines if (words := " ".join(line.split())))
    octets = text.encode()
    return text if len(octets) <= _MAX_OCTETS else octets[: _MAX_OCTETS - 3].decode(errors="ignore") + "…"
