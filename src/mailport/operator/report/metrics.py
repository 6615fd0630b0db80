"""What Prometheus sees of the operator. Names and labels are listed in docs/operations.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=_REGISTRY)
PlatformCollector(registry=_REGISTRY)

reconcile_seconds = Histogram(
    "mailport_operator_reconcile_seconds",
    "One look at one InboundSmtp, with all that it wrote.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=_REGISTRY,
)
reconciles = Counter(
    "mailport_operator_reconciles",
    "Looks at InboundSmtps, by result: ok, conflict (looked again) or error (looked again later).",
    ["result"],
    registry=_REGISTRY,
)
watch_restarts = Counter(
    "mailport_operator_watch_restarts", "Times that all watches had to be begun anew.", registry=_REGISTRY
)
_queue_depth = Gauge("mailport_operator_queue_depth", "InboundSmtps that wait for a worker.", registry=_REGISTRY)
_ready = Gauge(
    "mailport_operator_inboundsmtp_ready",
    "1 where the condition Ready of an InboundSmtp is True, else 0, with its reason; of the replica that leads.",
    ["namespace", "name", "reason"],
    registry=_REGISTRY,
)
_leader = Gauge("mailport_operator_leader", "1 while this replica leads.", registry=_REGISTRY)


def watch(queue_depth: Callable[[], float], leads: Callable[[], bool]) -> None:
    """Say where the gauges read their values."""
    _queue_depth.set_function(queue_depth)
    _leader.set_function(lambda: float(leads()))


_reasons: dict[tuple[str, str], str] = {}  # that is said now


def ready(namespace: str, name: str, status: Mapping[str, Any]) -> None:
    """Say of an InboundSmtp whether it is ready, and why it is not, as its status has it."""
    found = next((one for one in status.get("conditions", ()) if one["type"] == "Ready"), None)
    if found is not None:
        _say(namespace, name, found["reason"], is_ready=found["status"] == "True")


def of_another_operator(namespace: str, name: str) -> None:
    """Say of an InboundSmtp that another operator has it: else nobody hears of it where that one is gone."""
    _say(namespace, name, "OtherOperator", is_ready=False)


def _say(namespace: str, name: str, reason: str, *, is_ready: bool) -> None:
    if _reasons.get((namespace, name)) != reason:
        forget(namespace, name)
        _reasons[namespace, name] = reason
    _ready.labels(namespace, name, reason).set(is_ready)


def forget(namespace: str, name: str) -> None:
    """Say nothing more of an InboundSmtp that is gone."""
    reason = _reasons.pop((namespace, name), None)
    if reason is not None:
        _ready.remove(namespace, name, reason)


def exposition() -> tuple[bytes, str]:
    """Return what /metrics answers, and its content type."""
    return generate_latest(_REGISTRY), CONTENT_TYPE_LATEST
