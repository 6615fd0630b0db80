"""PURE. Which Events tell of a change of status: one for what a person should read, none for what passes by itself."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mailport.operator.metadata import Manifest
from mailport.operator.reason import TABLE


class Event(NamedTuple):
    """An Event of Kubernetes, as `kubectl describe` shows it below the conditions."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


# Reasons of False that are no Warning, or not always
_PASSES = frozenset({"Propagating", "RollingOut", "NoService"})
_CHANGES = frozenset({"Propagating", "RollingOut"})
_ASKED_FOR = frozenset({"Suspended"})
_ONLY_AFTER_TRUE = frozenset(
    {"NoReplicaReady", "ScaledToZero", "AddressNotAssigned"}
)  # while a gateway starts, these are expected

# Their message is what a person must repair. Where it is another one there is something new to read; elsewhere messages
# count pods, or name one of several.
_MESSAGE_MATTERS = frozenset(
    {
        "Invalid",
        "NotPermitted",
        "UnsupportedField",
        "ClaimNotShared",
        "BindAddressUnavailable",
        "ChildConflict",
        "ImmutableField",
    }
)

_SINCE = "lastTransitionTime"
_NOTHING: Manifest = {"status": "", "reason": "", "message": ""}  # before the first visit


def transitions(before: Manifest, after: Manifest) -> tuple[Event, ...]:
    """Return the Events of one change from a status to the next."""
    was, now = _by_type(before), _by_type(after)
    found = [_failed(was.get(kind, _NOTHING), now[kind]) for kind in TABLE if kind in now]
    if not _was_only_a_setting(was):
        found.append(_ready(was.get("Ready", _NOTHING), now.get("Ready", _NOTHING)))
    return tuple(transition for transition in found if transition is not None)


def _by_type(status: Manifest) -> dict[str, Manifest]:
    return {condition["type"]: condition for condition in status.get("conditions", ())}


def _failed(was: Manifest, now: Manifest) -> Event | None:
    reason, message = now["reason"], now["message"]
    if now["status"] != "False" or reason in _PASSES:
        return None
    if reason in _ONLY_AFTER_TRUE and was["status"] != "True":
        return None
    same_reason = (was["status"], was["reason"]) == ("False", reason)
    if same_reason and (reason not in _MESSAGE_MATTERS or was["message"] == message):
        return None
    return Event("Normal" if reason in _ASKED_FOR else "Warning", reason, message)


def _ready(was: Manifest, now: Manifest) -> Event | None:
    if now["status"] != "True" or was["status"] == "True":
        return None
    return Event("Normal", now["reason"], now["message"])


def _was_only_a_setting(was: dict[str, Manifest]) -> bool:
    """Whether it was not Ready until pods took up a change, or gave way to new ones, and for no reason before that.

    What was wrong before is repaired by a change of the spec, and that passes through Propagating too.
    """
    ready, config_live = was.get("Ready", _NOTHING), was.get("ConfigLive", _NOTHING)
    return ready["reason"] in _CHANGES and ready.get(_SINCE) == config_live.get(_SINCE)
