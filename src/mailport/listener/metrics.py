"""The listener's metrics for Prometheus; names and labels are listed in docs/operations.md."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from mailport.listener.histogram import Histogram

REGISTRY = CollectorRegistry(auto_describe=True)
# prometheus-client reserves a counter's name without `_total` too (OpenMetrics does), so that the gauge of open
# connections needs a registry of its own. In the text format that /metrics speaks the names do not meet.
_GAUGES = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240)


class _Histograms(Collector):
    """Histograms by the value of one label, or one without. prometheus-client's own take two locks for each amount."""

    def __init__(self, name: str, documentation: str, label: str | None, bounds: Sequence[float]) -> None:
        self._about = (name, documentation)
        self._labels = [label] if label is not None else []
        self._bounds = bounds
        self._of: dict[str, Histogram] = {}
        REGISTRY.register(self)

    def labels(self, value: str) -> Histogram:
        """Return the one with this label, which there is from now on."""
        found = self._of.get(value)
        if found is None:
            found = self._of[value] = Histogram(self._bounds)
        return found

    def keep(self, values: Collection[str]) -> None:
        """Forget those of other labels."""
        self._of = {value: found for value, found in self._of.items() if value in values}

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        for value, histogram in self._of.copy().items():
            # As prometheus-client writes bounds itself, by a function that has no types
            buckets = [(floatToGoString(bound), count) for bound, count in histogram.cumulative()]  # type: ignore[no-untyped-call]
            family.add_metric([value] if self._labels else [], buckets, histogram.total)
        yield family


_KIB, _MIB = 1024, 1024 * 1024

_connections_total = Counter("mailport_connections", "Connections accepted.", ["listener"], registry=REGISTRY)
_connections = Gauge("mailport_connections", "Connections open now.", ["listener"], registry=_GAUGES)
_refusals = Counter(
    "mailport_refusals", "Refusals, by reason: docs/replies.md.", ["listener", "reason"], registry=REGISTRY
)
_messages = Counter(
    "mailport_messages",
    "Messages that came to their end, by result: accepted, refused (5yz) or deferred (4yz).",
    ["listener", "route", "result"],
    registry=REGISTRY,
)
message_bytes = _Histograms(
    "mailport_message_bytes",
    "Octets of accepted messages as RFC 1870 counts them.",
    None,
    (_KIB, 4 * _KIB, 16 * _KIB, 64 * _KIB, 256 * _KIB, _MIB, 4 * _MIB, 16 * _MIB, 64 * _MIB),
).labels("")
_delivery_seconds = _Histograms(
    "mailport_delivery_seconds",
    "From the end of DATA to the reply, of accepted messages.",
    "route",
    _SECONDS,
)
_destination_seconds = _Histograms(
    "mailport_destination_seconds",
    "What a route's destination takes over a message, whatever comes of it.",
    "route",
    _SECONDS,
)
_destination_up = Gauge(
    "mailport_destination_up",
    "1 where a route's destination answered its last check or has taken mail since, 0 where it did not.",
    ["route"],
    registry=REGISTRY,
)
_destination_breaker_open = Gauge(
    "mailport_destination_breaker_open",
    "1 after failures in a row, while mail for the route is 451 at once and one message at a time tries; else 0.",
    ["route"],
    registry=REGISTRY,
)
_destination_connections = Gauge(
    "mailport_destination_connections",
    "Connections with a route's destination, by state: idle or in_use.",
    ["route", "state"],
    registry=REGISTRY,
)
_auth = Counter("mailport_auth", "AUTH commands, by result: ok, bad, unavailable.", ["result"], registry=REGISTRY)
_tls_handshakes = Counter(
    "mailport_tls_handshakes", "TLS handshakes, by result: ok or failed.", ["version", "result"], registry=REGISTRY
)
_checks = Counter(
    "mailport_checks",
    "Results of what was asked about who sent a message, by check: docs/checks.md.",
    ["check", "result"],
    registry=REGISTRY,
)
_dns_questions = Counter(
    "mailport_dns_questions",
    "Questions that checks have asked DNS servers, by type and outcome: noerror, nodata, nxdomain, servfail, timeout.",
    ["type", "outcome"],
    registry=REGISTRY,
)
_certificate_expiry = Gauge(
    "mailport_certificate_expiry_timestamp_seconds",
    "When the certificate ends, in seconds since 1970.",
    ["secret"],
    registry=REGISTRY,
)
_config_reloads = Counter(
    "mailport_config_reloads",
    "Configurations loaded while running, by result: ok or failed.",
    ["result"],
    registry=REGISTRY,
)
config_last_reload_successful = Gauge(
    "mailport_config_last_reload_successful",
    "1 where what the files say is in use, 0 where it did not load and the last good configuration serves on.",
    registry=REGISTRY,
)
_config_info = Gauge("mailport_config_info", "1 for the configuration that serves.", ["hash"], registry=REGISTRY)

# `labels()` costs as much as the counting: each child is looked up once. Labels are names of a configuration, so few.
connections_total = cache(_connections_total.labels)
connections = cache(_connections.labels)
refusals = cache(_refusals.labels)
messages = cache(_messages.labels)
delivery_seconds = _delivery_seconds.labels
destination_seconds = _destination_seconds.labels
auth = cache(_auth.labels)
tls_handshakes = cache(_tls_handshakes.labels)
checks = cache(_checks.labels)
dns_questions = cache(_dns_questions.labels)
config_reloads = cache(_config_reloads.labels)
for _result in ("ok", "failed"):
    config_reloads(_result)  # there from the start: an increase from nothing is none to Prometheus


def serving(config_hash: str, certificates: dict[str, float]) -> None:
    """Say which configuration serves, and when each certificate (by its Secret's name) ends."""
    _config_info.clear()
    _config_info.labels(config_hash).set(1)
    _certificate_expiry.clear()
    for secret, not_after in certificates.items():
        _certificate_expiry.labels(secret).set(not_after)


class DestinationNow(NamedTuple):
    """The state of a route's destination; None: not known yet, or it has no such state."""

    up: bool | None
    breaker_open: bool | None
    idle: int | None
    in_use: int | None


# Of routes, which come and go with the configuration: not in a cache that never forgets
_routes: set[str] = set()


def destinations(now: Mapping[str, DestinationNow]) -> None:
    """Say how the destinations of the routes that serve are, by the route's name. Of other routes nothing stays."""
    _destination_seconds.keep(now.keys())
    for gone in _routes - now.keys():
        for gauge in (_destination_up, _destination_breaker_open):
            gauge.remove(gone)
        for state in ("idle", "in_use"):
            _destination_connections.remove(gone, state)
    _routes.clear()
    _routes.update(now)
    for route, found in now.items():
        _set(_destination_up, found.up, route)
        _set(_destination_breaker_open, found.breaker_open, route)
        _set(_destination_connections, found.idle, route, "idle")
        _set(_destination_connections, found.in_use, route, "in_use")


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    if value is None:
        gauge.remove(*labels)
    else:
        gauge.labels(*labels).set(value)


def exposition() -> tuple[bytes, str]:
    """Return what /metrics answers, and its content type."""
    return generate_latest(REGISTRY) + generate_latest(_GAUGES), CONTENT_TYPE_LATEST
