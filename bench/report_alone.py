"""The part of the page about what only Patchbay was asked. Parts that did not run say why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.markdown import table


def alone_page(found: Mapping[str, Any]) -> str:
    """The section; "" when nothing of it was run."""
    parts = [
        _growth(found.get("growth")),
        _history(found.get("history")),
        _idle(found.get("idle")),
        _workers(found.get("workers")),
    ]
    told = [part for part in parts if part]
    return "\n\n".join(["## Patchbay alone", *told]) if told else ""


def _growth(rows: Any) -> str:
    if not isinstance(rows, Sequence):
        return _failure("The curve", rows)
    cells = [
        [
            f"{row['accounts']:,}",
            f"{row['routes']:,}",
            f"{row['cpu_per_1000_requests']:.2f}",
            f"{row['requests_per_s']:,.0f}",
            f"{row['rss_mb']:.0f}",
        ]
        for row in rows
    ]
    text = "How the cost of a request grows with the configuration: 32 clients, one process."
    heads = ["accounts of the backend", "routes", "CPU s per 1,000 requests", "rq/s", "memory, MB"]
    return f"{text}\n\n{table(heads, cells)}"


def _history(rows: Any) -> str:
    if not isinstance(rows, Sequence):
        return _failure("The curve of the history", rows)
    cells = [
        [
            f"{r['records']:,}",
            f"{r['cpu_per_1000_requests']:.2f}",
            f"{r['requests_per_s']:,.0f}",
            f"{r['rss_mb']:.0f}",
        ]
        for r in rows
    ]
    text = "And with the history: 32 clients, a server started for each size."
    return f"{text}\n\n{table(['records', 'CPU s per 1,000 requests', 'rq/s', 'memory, MB'], cells)}"


def _idle(found: Any) -> str:
    if not found or "failure" in found:
        return _failure("Idle streams", found)
    return (
        f"{found['streams']:,} streams whose upstream says nothing hold {found['kb_per_stream']:.0f} KB each; a plain"
        f" request costs {found['cpu_per_1000_requests_meanwhile']:.2f} CPU s per 1,000 meanwhile (1 client)."
    )


def _workers(found: Any) -> str:
    if not found or "failure" in found:
        return _failure("Workers", found)
    one, two = found["1"], found["2"]
    ratio = two["requests_per_s"] / one["requests_per_s"]
    cells = [
        [
            count,
            f"{row['requests_per_s']:,.0f}",
            f"{row['cpu_per_1000_requests']:.2f}",
            f"{row['share_of_busiest']:.0%}",
            f"{row['helpers_busy']:.2f}",
        ]
        for count, row in (("1", one), ("2", two))
    ]
    heads = [
        "workers",
        "rq/s",
        "CPU s per 1,000 requests",
        "CPU of the busiest",
        "cores used by upstream and clients",
    ]
    text = (
        f"`runproxy --workers` over Redis, {found['clients']} clients: {ratio:.2f}x the answers with the second worker."
        f" {_slices(found)}"
    )
    return f"{text}\n\n{table(heads, cells)}"


def _slices(found: Mapping[str, Any]) -> str:
    if not found.get("unlimited"):
        return (
            f"Each worker may use {found['slice']} % of a core, so that upstream and load generator, on the same cores,"
            " are never short of them."
        )
    return (
        f"The workers were not limited: {found['unlimited']}. Upstream and load generator took what they needed of the"
        " same cores, so the figure is a lower bound unless the machine has two cores to spare for them."
    )


def _failure(what: str, found: Any) -> str:
    return (
        f"{what}: not measured, {found['failure']}."
        if isinstance(found, Mapping) and found.get("failure")
        else ""
    )
