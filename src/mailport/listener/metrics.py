"""What Prometheus sees. The one door to prometheus-client; names and labels are listed in docs/operations.md."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry(auto_describe=True)
# prometheus-client reserves a counter's name without `_total` too (OpenMetrics does), so that the gauge of open
# connections needs a registry of its own. In the text format that /metrics speaks the names do not meet.
_GAUGES = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

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
message_bytes = Histogram(
    "mailport_message_bytes",
    "Octets of accepted messages as RFC 1870 counts them.",
    buckets=(_KIB, 4 * _KIB, 16 * _KIB, 64 * _KIB, 256 * _KIB, _MIB, 4 * _MIB, 16 * _MIB, 64 * _MIB),
    registry=REGISTRY,
)
_delivery_seconds = Histogram(
    "mailport_delivery_seconds",
    "From the end of DATA to the reply.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240),
    registry=REGISTRY,
)
_auth = Counter("mailport_auth", "AUTH commands, by result: ok, bad, unavailable.", ["result"], registry=REGISTRY)
_tls_handshakes = Counter(
    "mailport_tls_handshakes", "TLS handshakes, by result: ok or failed.", ["version", "result"], registry=REGISTRY
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
delivery_seconds = cache(_delivery_seconds.labels)
auth = cache(_auth.labels)
tls_handshakes = cache(_tls_handshakes.labels)
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


def exposition() -> tuple[bytes, str]:
    """Return what /metrics answers, and its content type."""
    return generate_latest(REGISTRY) + generate_latest(_GAUGES), CONTENT_TYPE_LATEST
