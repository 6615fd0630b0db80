"""PURE. What the conditions of an InboundSmtp say of what was observed: docs/conditions.md has them all."""

from __future__ import annotations

from collections.abc import Iterable

from mailport.contract.model import ServiceType
from mailport.contract.references import references
from mailport.operator import rollout
from mailport.operator.metadata import Manifest
from mailport.operator.pods.observed import ObservedPod
from mailport.operator.reason import FALSE, PENDING, SUSPENDED, TABLE, TRUE, UNKNOWN, Reason
from mailport.operator.report.observed import Observed

_MAX_MESSAGE = 2100  # characters: what admit.py says of a spec with many faults fits whole; events.py cuts by itself
_MAX_NAMED = 5  # objects, fields or routes in a message; `missing` has them all

_NOT_FOUND = ("ClaimNotFound", "SecretNotFound", "SecretKeyMissing", "ConfigMapNotFound")  # the worst first

_INFORMS = ("DeliveryDurable", "DestinationsReachable")  # and are not summed up
_MAY_BE_UNKNOWN = ("ConfigLive",)  # of pods that do not answer: mail is taken all the same


def conditions(seen: Observed, missing: list[Manifest], now: str) -> list[Manifest]:
    """Return them in their order. `missing` is status.missing; `now` is as for `status`."""
    found = {
        "Accepted": seen.accepted,
        "ResolvedRefs": _resolved_refs(seen, missing),
        "Programmed": seen.programmed,
        "Available": _available(seen),
        "ConfigLive": _config_live(seen),
        "AddressAssigned": _address_assigned(seen),
        "DeliveryDurable": _delivery_durable(seen),
        "DestinationsReachable": _destinations_reachable(seen),
    }
    assert found.keys() == TABLE.keys()  # noqa: S101 - each has its question
    made = [_condition(seen, now, "Ready", *_sum(seen, found))]
    made += [_condition(seen, now, kind, one.status, one.reason, one.message) for kind, one in found.items()]
    stalled = next((one for one in (seen.accepted, seen.programmed) if one.stalls), None)
    if stalled is not None:
        made.append(_condition(seen, now, "Stalled", TRUE, stalled.reason, stalled.message))
    elif (change := _under_way(seen, found["ConfigLive"])) is not None:
        made.append(_condition(seen, now, "Reconciling", TRUE, *change))
    return made


def _resolved_refs(seen: Observed, missing: list[Manifest]) -> Reason:
    if missing:
        return _not_found(seen, missing)
    if seen.gateway is not None and not any(references(seen.gateway.spec)):
        return Reason("ResolvedRefs", "ResolvedRefs", "no Secret, ConfigMap or claim is missing")
    if _is_not_known_yet(seen, "ResolvedRefs"):
        return Reason("ResolvedRefs", PENDING, "no pod has looked yet")
    if seen.gateway is None:
        return Reason("ResolvedRefs", UNKNOWN, "pods look for what an accepted spec refers to")
    are_silent = seen.ready and all(pod.report is None for pod in seen.pods)
    if are_silent and (found := _found_before(seen, "ResolvedRefs")) is not None:
        return found  # that pods cannot be asked is for ConfigLive to say
    if not seen.witnesses:
        return Reason("ResolvedRefs", UNKNOWN, "no pod has said what it finds of this configuration")
    return Reason("ResolvedRefs", "ResolvedRefs", "all that the spec refers to is there")


def _not_found(seen: Observed, missing: list[Manifest]) -> Reason:
    """Name every object, and give the reason of the worst: without a claim no pod starts."""
    by_object: dict[tuple[str, str], list[Manifest]] = {}
    for entry in missing:
        by_object.setdefault((entry["kind"], entry["name"]), []).append(entry)
    found = [_not_there(seen, kind, name, entries) for (kind, name), entries in by_object.items()]
    found.sort(key=lambda lack: _NOT_FOUND.index(lack.reason))  # and by field within each
    return found[0]._replace(message=_some([lack.message for lack in found], "; "))


def _not_there(seen: Observed, kind: str, name: str, entries: list[Manifest]) -> Reason:
    """Return the reason for one object that is not there, or has not the keys that are referred to.

    A pod mounts only the keys that are referred to, and cannot tell a Secret without any of them from no Secret.
    """
    keys = list(dict.fromkeys(entry["key"] for entry in entries if "key" in entry))
    fields = list(dict.fromkeys(entry["field"] for entry in entries if "field" in entry))
    message = f"{kind} {name}"
    if fields:
        message += f" ({_some(fields)})"
    without = f"has no key {_some(keys)}"
    if kind == "PersistentVolumeClaim":
        return Reason("ResolvedRefs", "ClaimNotFound", f"{message} is not there")
    some_key_is_there = all("key" in entry for entry in entries) and not _keys(seen, name) <= set(keys)
    if kind == "Secret" and some_key_is_there:
        return Reason("ResolvedRefs", "SecretKeyMissing", f"{message} {without}")
    nothing = f"{message} is not there" + (f", or {without}" if keys else "")
    return Reason("ResolvedRefs", f"{kind}NotFound", nothing)


def _keys(seen: Observed, secret: str) -> set[str]:
    """Return the keys of a Secret that the spec refers to."""
    refs = references(seen.gateway.spec) if seen.gateway is not None else ()
    return {
        key for reference in refs if (reference.kind, reference.name) == ("Secret", secret) for key in reference.keys
    }


def _available(seen: Observed) -> Reason:
    ready, wanted = len(seen.ready), seen.wanted
    if ready:
        return Reason("Available", "MinimumReplicasAvailable", f"{_of(ready, wanted)} are ready")
    if _is_not_known_yet(seen, "Available"):
        return Reason("Available", PENDING, "no pod has been started yet")
    if seen.is_scaled_to_zero:
        return Reason("Available", "ScaledToZero", "spec.replicas is 0")
    message = "no replica is ready" if not wanted else f"{_of(ready, wanted)} are ready"
    return Reason("Available", "NoReplicaReady", _because(message, _trouble(seen)))


def _trouble(seen: Observed) -> str:
    """Say of one pod why it does not start, else why there is none: a quota, or a Pod Security Standard.

    A claim that is also another's may be why, which nobody says who sees one pod alone.
    """
    words = [f"pod {pod.name}: {pod.trouble}" for pod in seen.pods if pod.trouble and not pod.ready][:1]
    words = words or [refused for refused in (seen.condition_of_deployment("ReplicaFailure", TRUE),) if refused]
    if any(not pod.ready for pod in seen.pods):
        words += seen.shared_claims
    return "; ".join(words)


def _config_live(seen: Observed) -> Reason:
    ready = seen.ready
    if not ready and _is_not_known_yet(seen, "ConfigLive"):
        return Reason("ConfigLive", PENDING, "no pod has been started yet")
    if not ready and seen.is_scaled_to_zero:
        return Reason("ConfigLive", "Live", "no pod is to run")
    if seen.is_stuck:
        stuck = seen.condition_of_deployment("Progressing", FALSE) or "the rollout has taken too long"
        return Reason("ConfigLive", "RolloutStuck", _because(stuck, _trouble(seen)))
    if not ready:
        return Reason("ConfigLive", "PodsUnreachable", "no pod is ready")
    for pod in ready:
        if pod.report is not None and pod.report.reload_error:
            return Reason("ConfigLive", "ReloadFailed", f"pod {pod.name}: {pod.report.reload_error}")
    live = f"{sum(pod.is_live for pod in ready)} of {len(ready)} ready pods run this configuration"
    if any(pod.expected_hash is None or (pod.report is not None and not pod.is_live) for pod in ready):
        return Reason("ConfigLive", "Propagating", live)
    if (left := _old_pods(seen)) is not None:
        return Reason("ConfigLive", "RollingOut", _because(left, _trouble(seen)))
    if FALSE in (seen.accepted.status, seen.programmed.status) and not _run_this_generation(seen):
        applied = f"{sum(pod.is_live for pod in ready)} of {len(ready)} ready pods run what was applied last"
        return Reason("ConfigLive", PENDING, f"{applied}, which is not this spec")
    if silent := [pod.name for pod in ready if pod.report is None]:
        return Reason("ConfigLive", "PodsUnreachable", f"these pods do not answer on the admin port: {_some(silent)}")
    return Reason("ConfigLive", "Live", live)


def _run_this_generation(seen: Observed) -> bool:
    """Whether all say so: as where only another child than the ConfigMap could not be written."""
    return all(pod.report is not None and pod.report.generation == seen.metadata["generation"] for pod in seen.ready)


def _old_pods(seen: Observed) -> str | None:
    """Say that pods serve which others are to take the place of; None where none does.

    That there are to be more pods is no such rollout: those that serve run what they should.
    """
    replicas, updated = seen.of_deployment("replicas"), seen.of_deployment("updatedReplicas")
    if replicas > updated and seen.wanted:
        paused = ", and the rollout is paused" if (seen.deployment or {"spec": {}})["spec"].get("paused") else ""
        return f"{updated} of {max(seen.wanted, updated)} replicas are up to date{paused}"
    waiting = [pod.name for pod in seen.ready if pod.report is not None and pod.report.restart_required]
    return f"these pods need a restart to use the new configuration: {_some(waiting)}" if waiting else None


def _address_assigned(seen: Observed) -> Reason:
    if seen.has_no_service:
        return Reason("AddressAssigned", "NoService", "spec.service.type is None")
    if seen.service is None:
        return Reason("AddressAssigned", PENDING, "there is no Service yet")
    if seen.service["spec"].get("type") == str(ServiceType.LOAD_BALANCER) and not seen.addresses_of_load_balancer:
        return Reason("AddressAssigned", "AddressNotAssigned", "the load balancer has no address yet")
    return Reason("AddressAssigned", "Assigned", "the gateway has an address")


def _delivery_durable(seen: Observed) -> Reason:
    """Judge the spec and the pods that serve: where it could not be applied, they go on with what was."""
    kind, lost = "DeliveryDurable", "EphemeralMailbox"
    if seen.is_held_back:
        before = seen.before_of(kind)
        if before is not None and (before["reason"] == lost or not seen.loses_mail):
            return Reason(kind, before["reason"], before["message"])
    elif passing := _routes_without_claim(seen):
        return Reason(kind, lost, f"without a claimName the mail of a route is lost with the pod: {_some(passing)}")
    if seen.loses_mail:
        return Reason(kind, lost, "running pods keep mail on an emptyDir: it is lost with the pod")
    if seen.is_held_back:
        return Reason(kind, PENDING, f"the spec is not {'accepted' if seen.gateway is None else 'applied'}")
    if (of_streams := _of_streams(seen)) is not None:
        return of_streams
    return Reason("DeliveryDurable", "Durable", "accepted mail outlives the pod")


def _routes_without_claim(seen: Observed) -> list[str]:
    mailboxes = [(route.name, route.deliver.maildir) for route in seen.gateway.spec.routes] if seen.gateway else []
    return [name for name, maildir in mailboxes if maildir is not None and maildir.claim_name is None]


def _of_streams(seen: Observed) -> Reason | None:
    """Say what pods found of the streams that routes name: the worst first; None where nothing speaks against any."""
    kind = "DeliveryDurable"
    routes = seen.gateway.spec.routes if seen.gateway is not None else ()
    names = [route.name for route in routes if route.deliver.nats is not None]
    reports = [pod.report for pod in seen.ready if pod.report is not None]
    said = {(one.get("route"), one.get("reason")): one for report in reports for one in report.not_durable}
    for reason in TABLE[kind].false:
        bad = [f"route {name}: {said[name, reason].get('message', '')}" for name in names if (name, reason) in said]
        if bad:
            return Reason(kind, reason, _some(bad, "; "))
    looked = _reached(pod for pod in seen.witnesses if pod.ready)  # an old one may have another stream
    if unseen := [name for name in names if name not in looked]:
        if (found := _found_before(seen, kind)) is not None:
            return found  # that a server does not answer now is for DestinationsReachable to say
        return Reason(kind, PENDING, f"no pod has checked the stream yet for routes: {_some(unseen)}")
    return None


def _reached(pods: Iterable[ObservedPod]) -> set[str]:
    """Return the routes whose destination answers one of these."""
    said = [one for pod in pods if pod.report is not None for one in pod.report.destinations]
    return {str(one.get("route")) for one in said if one.get("state") == TABLE["DestinationsReachable"].true}


def _destinations_reachable(seen: Observed) -> Reason:
    """Name the routes whose destination some pod does not reach: first those that a person has to set up otherwise."""
    kind = "DestinationsReachable"
    if not seen.ready:
        if _is_not_known_yet(seen, kind):
            return Reason(kind, PENDING, "no pod has been started yet")
        return Reason(kind, "NoReplicaReady", "no replica is ready, so no destination is checked")
    asked = [pod for pod in seen.ready if pod.report is not None]
    asked = [pod for pod in asked if pod.is_live] or asked
    said = [one for pod in asked if pod.report is not None for one in pod.report.destinations]
    runs_another_spec = seen.is_held_back and not seen.witnesses  # and that one's routes are what mail takes
    routes = () if seen.gateway is None or runs_another_spec else seen.gateway.spec.routes
    reached = _reached(asked if runs_another_spec else [pod for pod in seen.witnesses if pod.ready])
    found, silent = [], []
    for name in [route.name for route in routes] or dict.fromkeys(str(one.get("route")) for one in said):
        of_route = [one for one in said if one.get("route") == name]
        bad = [one for one in of_route if one.get("state") in TABLE[kind].false]
        if bad:
            reason = next(reason for reason in TABLE[kind].false if any(one["state"] == reason for one in bad))
            where = f" ({len(bad)} of {len(of_route)} pods)" if len(bad) < len(of_route) else ""
            error = next(one.get("error", "") for one in bad if one["state"] == reason)
            found.append(Reason(kind, reason, f"route {name}{where}: {error}"))
        elif name not in reached:
            silent.append(name)
    if found:
        found.sort(key=lambda one: TABLE[kind].false.index(one.reason))
        return found[0]._replace(message=_some([one.message for one in found], "; "))
    if silent or not said:
        of_routes = f" of routes: {_some(silent)}" if silent else ""
        return Reason(kind, PENDING, f"no pod has reported yet on the destinations{of_routes}")
    return Reason(kind, "Reachable", "the destinations of all routes answer")


def _sum(seen: Observed, found: dict[str, Reason]) -> tuple[str, str, str]:
    """Sum up, in the order of the table: status, reason and message of Ready."""
    deciding = [one for kind, one in found.items() if kind not in _INFORMS and one.reason != "NoService"]
    for one in deciding:
        if one.status == FALSE:
            return FALSE, one.reason, one.message
    for one in deciding:
        if one.status == UNKNOWN and one.condition not in _MAY_BE_UNKNOWN:
            return UNKNOWN, one.reason, one.message
    count, generation = _of(len(seen.ready), seen.wanted), f"generation {seen.metadata['generation']}"
    if found["ConfigLive"].status == TRUE:
        return TRUE, "Ready", f"{count} serve {generation}"
    return TRUE, "Ready", f"{count} are ready; not all of them say whether they serve {generation}"


def _under_way(seen: Observed, config_live: Reason) -> tuple[str, str] | None:
    """Say what change is on its way, where one is; what a person has suspended or must repair is none."""
    if seen.accepted.status != TRUE or seen.programmed.reason == SUSPENDED or config_live.reason == "RolloutStuck":
        return None
    if seen.programmed.reason in {PENDING, "ApplyFailed"}:
        return seen.programmed.reason, seen.programmed.message
    if unfinished := _left_of_rollout(seen) or seen.programmed.still_to_come:
        return "RollingOut", unfinished
    if config_live.reason in {"Propagating", "RollingOut"}:
        return config_live.reason, config_live.message
    return None


def _left_of_rollout(seen: Observed) -> str:
    return "there is no Deployment yet" if seen.deployment is None else rollout.unfinished(seen.deployment)


# --- conditions


def _found_before(seen: Observed, kind: str) -> Reason | None:
    """Return what was found of this generation before, and was good; None where that is not so."""
    before = seen.before_of(kind)
    generation = seen.metadata["generation"]
    if before is None or (before["status"], before.get("observedGeneration")) != (TRUE, generation):
        return None
    return Reason(kind, TABLE[kind].true, before["message"])


def _is_not_known_yet(seen: Observed, kind: str) -> bool:
    """Whether it is the first visit, or nothing has come of that yet."""
    before = seen.before_of(kind)
    first = before is None or before["reason"] == PENDING
    return first and seen.programmed.reason == PENDING and not seen.pods


def _condition(seen: Observed, now: str, kind: str, *says: str) -> Manifest:
    """Return a condition that says a status, reason and message."""
    status, reason, message = says
    before = seen.before_of(kind)
    since = before["lastTransitionTime"] if before is not None and before["status"] == status else now
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": _bounded(message),
        "observedGeneration": seen.metadata["generation"],
        "lastTransitionTime": since,
    }


def _because(message: str, trouble: str) -> str:
    return f"{message}: {trouble}" if trouble else message


def _of(count: int, wanted: int) -> str:
    """Return "2 of 3 replicas". During a rollout there may be more pods than are wanted."""
    return f"{count} of {max(count, wanted)} replicas"


def _some(names: Iterable[str], separator: str = ", ") -> str:
    named = list(names)
    rest = [f"and {len(named) - _MAX_NAMED} more"] if len(named) > _MAX_NAMED else []
    return separator.join([*named[:_MAX_NAMED], *rest])


def _bounded(message: str) -> str:
    """Put a message on one line of what can be printed, and cut it: some of it is what a program said as it died."""
    lines = ("".join(letter if letter.isprintable() else " " for letter in line) for line in message.splitlines())
    text = "; ".join(words for line in lines if (words := " ".join(line.split())))
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"
