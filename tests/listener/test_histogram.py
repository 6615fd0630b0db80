"""Amounts by their size, and what a scrape shows of them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from mailport.listener import metrics
from mailport.listener.histogram import Histogram


def test_an_amount_is_in_each_bucket_that_holds_it():
    """A bound holds what is equal to it; infinity holds all (Prometheus, "Metric types")."""
    histogram = Histogram((1, 2.5, 5))
    for amount in (0.5, 1, 1.1, 5, 7):
        histogram.observe(amount)

    assert histogram.cumulative() == [(1, 2), (2.5, 3), (5, 4), (float("inf"), 5)]
    assert histogram.total == 14.6


def test_what_prometheus_sees():
    """The names, labels and bounds that prometheus-client's own histograms have."""
    metrics.delivery_seconds("test_what_prometheus_sees").observe(0.003)
    metrics.message_bytes.observe(2000)
    text = metrics.exposition()[0].decode()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    route = ("route", "test_what_prometheus_sees")

    assert samples["mailport_delivery_seconds_bucket", ("le", "0.0025"), route] == 0
    assert samples["mailport_delivery_seconds_bucket", ("le", "0.005"), route] == 1
    assert samples["mailport_delivery_seconds_bucket", ("le", "+Inf"), route] == 1
    assert samples["mailport_delivery_seconds_count", route] == 1
    assert samples["mailport_delivery_seconds_sum", route] == 0.003
    assert ("mailport_message_bytes_bucket", ("le", "1024.0")) in samples
    assert samples["mailport_message_bytes_sum",] >= 2000
