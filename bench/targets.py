"""What is good enough: the figures that Patchbay set itself, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Data = Mapping[str, Any]
"""One subject's report as JSON data."""


@dataclass(frozen=True, slots=True)
class Check:
    """One target and what became of it. `passed` is None where nothing was measured."""

    title: str
    limit: str
    measured: str
    passed: bool | None


def checks(patchbay: Data) -> list[Check]:
    """All targets, in the order of the table."""
    cpu = "CPU s per 1,000"
    return [
        _at_most(f"{cpu} requests, 1 client", 0.75, "s", _load(patchbay, "plain-1", "cpu_per_1000_requests")),
        _at_most(
            f"{cpu} requests, 32 clients", 0.6, "s", _load(patchbay, "plain-32", "cpu_per_1000_requests")
        ),
        _at_most(
            f"{cpu} stream events, 1 client", 0.07, "s", _load(patchbay, "stream-1", "cpu_per_1000_events")
        ),
        _at_most(
            f"{cpu} paced events, 32 clients", 0.07, "s", _load(patchbay, "paced-32", "cpu_per_1000_events")
        ),
        _at_most("256 clients: p99 over p50", 2.0, "x", _collapse(patchbay)),
        _at_most("wrong or missing answers, all loads", 0, "", _errors(patchbay)),
        _at_most("resident memory after the loads of ordinary size", 100, "MB", patchbay.get("rss_end")),
        _at_most("first answer after the start, existing home", 1.0, "s", patchbay.get("cold_start")),
    ]


def _load(data: Data, scenario: str, key: str) -> float | None:
    value: float | None = data["loads"].get(scenario, {}).get(key)
    return value


def _collapse(data: Data) -> float | None:
    times = data["loads"].get("plain-256", {}).get("latency_ms", {})
    return times["p99"] / times["p50"] if times.get("p50") else None


def _errors(data: Data) -> float | None:
    counts: list[int] = [sum(load["errors"].values()) for load in data["loads"].values()]
    return sum(counts) if counts else None


def _at_most(title: str, limit: float, unit: str, measured: float | None) -> Check:
    def show(value: float) -> str:
        return f"{value:.3g} {unit}".strip()

    if measured is None:
        return Check(title, f"≤ {show(limit)}", "not measured", None)
    return Check(title, f"≤ {show(limit)}", show(measured), measured <= limit)
