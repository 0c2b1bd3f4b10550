"""What is good enough: the figures that Patchbay set itself, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def checks(subjects: Iterable[Data], alone: Mapping[str, Any] | None = None) -> list[Check]:
    """All targets of Patchbay, in the order of the table; none where it was not measured. `alone`: bench/alone.py."""
    named = {subject["name"]: subject for subject in subjects}
    ours, floor = named.get("patchbay"), named.get("nginx")
    return [*_loads(ours), *_latencies(ours, floor), *_alone(alone or {})] if ours is not None else []


def _loads(patchbay: Data) -> list[Check]:
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


def _latencies(patchbay: Data, floor: Data | None) -> list[Check]:
    ours, least = _latency(patchbay, "plain", "added_p50"), _latency(floor or {}, "plain", "added_p50")
    over = ours - least if ours is not None and least is not None else None
    first = _latency(patchbay, "stream", "added_first_p50")
    return [
        _at_most("added p50 over nginx", 1.5, "ms", over),
        _at_most("first content of a stream, added p50", 2.0, "ms", first),
    ]


def _alone(found: Mapping[str, Any]) -> list[Check]:
    workers = found.get("workers", {})
    one, two = (workers.get(count, {}).get("requests_per_s") for count in ("1", "2"))
    gain = two / one if one and two else None
    return [
        _at_most("memory of an idle stream", 35, "KB", found.get("idle", {}).get("kb_per_stream")),
        _at_least("answers of two workers over those of one", 1.8, "x", gain),
    ]


def _load(data: Data, scenario: str, key: str) -> float | None:
    value: float | None = data["loads"].get(scenario, {}).get(key)
    return value


def _latency(data: Data, name: str, key: str) -> float | None:
    value: float | None = data.get("latency", {}).get(name, {}).get(key)
    return value


def _collapse(data: Data) -> float | None:
    times = data["loads"].get("plain-256", {}).get("latency_ms", {})
    return times["p99"] / times["p50"] if times.get("p50") else None


def _errors(data: Data) -> float | None:
    counts: list[int] = [sum(load["errors"].values()) for load in data["loads"].values()]
    return sum(counts) if counts else None


def _at_most(title: str, limit: float, unit: str, measured: float | None) -> Check:
    is_met = None if measured is None else measured <= limit
    return Check(title, f"≤ {_shown(limit, unit)}", _shown(measured, unit), is_met)


def _at_least(title: str, limit: float, unit: str, measured: float | None) -> Check:
    is_met = None if measured is None else measured >= limit
    return Check(title, f"≥ {_shown(limit, unit)}", _shown(measured, unit), is_met)


def _shown(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.3g} {unit}".strip()
