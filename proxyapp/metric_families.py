"""Metrics as plain numbers, before anybody writes them down in a format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

PREFIX = "patchbay_"
Labels = tuple[str, ...]
Buckets = tuple[tuple[str, int], ...]  # (upper bound, how many are not above it)


class Kind(StrEnum):
    """Prometheus' own words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """One combination of labels. `value` is a histogram's sum; only it has buckets."""

    labels: Labels
    value: float
    buckets: Buckets = ()


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name, which is given without the prefix and without `_total`."""

    kind: Kind
    name: str
    text: str
    label_names: tuple[str, ...]
    samples: Sequence[Sample]

    @classmethod
    def counter(
        cls, name: str, text: str, label_names: tuple[str, ...], values: Mapping[Labels, float]
    ) -> Family:
        """Values that only rise."""
        return cls(Kind.COUNTER, name, text, label_names, _samples(values))

    @classmethod
    def gauge(
        cls, name: str, text: str, label_names: tuple[str, ...], values: Mapping[Labels, float]
    ) -> Family:
        """Values of this moment."""
        return cls(Kind.GAUGE, name, text, label_names, _samples(values))


def _samples(values: Mapping[Labels, float]) -> list[Sample]:
    return [Sample(labels, value) for labels, value in values.items()]


def histogram(labels: Labels, bounds: Sequence[float], counts: Sequence[int], total: float) -> Sample:
    """From counts between the bounds to Prometheus' counts up to each bound."""
    names = [*(repr(bound) for bound in bounds), "+Inf"]
    return Sample(labels, total, tuple(zip(names, accumulate(counts), strict=True)))
