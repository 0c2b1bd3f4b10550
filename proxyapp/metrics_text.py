"""Metrics in the text format of Prometheus, by its own client. Imports that client, so import this late."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxyapp.metric_families import PREFIX, Family, Kind


def exposition(families: Sequence[Family]) -> bytes:
    """The whole answer. Label values are escaped; what is not Unicode text is replaced."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(families))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self.families = families

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        return map(_metric, self.families)


def _metric(family: Family) -> Metric:
    name, labels = PREFIX + family.name, family.label_names
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, family.text, labels=labels)
        for sample in family.samples:
            histogram.add_metric(_clean(sample.labels), list(sample.buckets), sample.value)
        return histogram
    plain = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = plain(name, family.text, labels=labels)
    for sample in family.samples:
        metric.add_metric(_clean(sample.labels), sample.value)
    return metric


def _clean(labels: Iterable[str]) -> list[str]:
    """A lone surrogate cannot be written."""
    return [label.encode("utf-8", "replace").decode() for label in labels]
