"""PURE. Why a pod does not start: its place, its image, its volumes, or the listener's own last words."""

from __future__ import annotations

import json
from typing import Any

from mailport.operator.children.pod import CONTAINER
from mailport.operator.metadata import Manifest

_MAX = 300  # characters of what is said of a pod
_BEGINS = ("ContainerCreating", "PodInitializing")  # as every pod does


def trouble(its_status: Manifest, hindrance: str = "") -> str:
    """Say why a pod does not start; empty where nothing is known to be wrong.

    `hindrance` is what Kubernetes said of it in an Event, for one that has been starting for a while.
    """
    for condition in its_status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _shortened(f"{condition.get('reason', '')}: {condition.get('message', '')}")
    for container in its_status.get("containerStatuses", ()):
        if container["name"] == CONTAINER and (words := _of_container(container, hindrance)):
            return _shortened(words)
    return _shortened(hindrance)


def _of_container(container: Manifest, hindrance: str) -> str:
    for state in (container.get("state", {}), container.get("lastState", {})):
        if (ended := state.get("terminated")) is not None:
            return _last_words(ended.get("message", "")) or str(ended.get("reason", ""))
        if (waiting := state.get("waiting")) is not None:
            reason = waiting.get("reason")
            if reason in _BEGINS:
                return f"{reason}: {hindrance}" if hindrance else ""
            if reason != "CrashLoopBackOff":  # the state before says why
                return f"{reason or ''}: {waiting.get('message', '')}".removesuffix(": ")
    return ""


def _last_words(message: str) -> str:
    """Read a listener's last line: JSON with a reason and a message, or whatever else it is."""
    lines = message.strip().splitlines()
    if not lines:
        return ""
    try:
        last_line: Any = json.loads(lines[-1])
        return f"{last_line['reason']}: {last_line['message']}"
    except (ValueError, TypeError, KeyError):
        return lines[-1]


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX else text[: _MAX - 1] + "…"
