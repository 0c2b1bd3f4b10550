"""RESULTS.md: the measurements as tables that a person can compare and repeat. Pure: data in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.markdown import table
from bench.report_alone import alone_page
from bench.targets import Data, checks

OURS = "patchbay"
BUSY = 0.9
Value = Callable[[Data], float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """A figure that every subject has or has not. `ratio`: shown beside Patchbay's own."""

    title: str
    value: Value
    digits: int = 2
    ratio: bool = True


def _load(scenario: str, *keys: str) -> Value:
    """A figure out of one load; None if it had no good answer."""

    def get(data: Data) -> float | None:
        found: Any = data["loads"].get(scenario)
        if found is not None and not found["latency_ms"]["count"]:
            return None
        for key in keys:
            found = found.get(key) if found is not None else None
        return None if found is None else float(found)

    return get


def _latency(name: str, key: str) -> Value:
    def get(data: Data) -> float | None:
        found: float | None = data["latency"].get(name, {}).get(key)
        return found

    return get


def _top(key: str) -> Value:
    def get(data: Data) -> float | None:
        found: float | None = data.get(key)
        return found

    return get


def _all_errors(data: Data) -> float | None:
    loads = sum(sum(load["errors"].values()) for load in data["loads"].values())
    rounds = sum(figures["errors"] for figures in data["latency"].values())
    return float(loads + rounds) if data["loads"] else None


_CPU, _EVENTS = "cpu_per_1000_requests", "cpu_per_1000_events"
TABLES: Sequence[tuple[str, str, Sequence[Column]]] = (
    (
        "In short",
        "CPU seconds of the whole process tree; memory resident after all loads of ordinary size; seconds to the first"
        " answer on an existing home.",
        (
            Column("per 1,000 requests, 1 client", _load("plain-1", _CPU)),
            Column("32 clients", _load("plain-32", _CPU)),
            Column("per 1,000 stream events, 32 clients", _load("paced-32", _EVENTS), 3),
            Column("memory, MB", _top("rss_end"), 0),
            Column("first answer, s", _top("cold_start")),
            Column("errors", _all_errors, 0, ratio=False),
        ),
    ),
    (
        "Added latency",
        "Milliseconds over going straight to the upstream: one client, low rate, all subjects asked in turn. p50 is the"
        " median of the rounds' medians, p99 that of all requests. First content: of a stream.",
        (
            Column("added p50", _latency("plain", "added_p50")),
            Column("added p99", _latency("plain", "added_p99")),
            Column("first content, added p50", _latency("stream", "added_first_p50")),
            Column("first content, added p99", _latency("stream", "added_first_p99")),
            Column("p50 itself", _latency("plain", "p50"), ratio=False),
        ),
    ),
    (
        "Plain requests under load",
        "Each client sends the next request when the last is answered. rq/s: answers per second; times in ms.",
        (
            Column("1: rq/s", _load("plain-1", "requests_per_s"), 0),
            Column("p50", _load("plain-1", "latency_ms", "p50"), ratio=False),
            Column("p99", _load("plain-1", "latency_ms", "p99"), ratio=False),
            Column("32: rq/s", _load("plain-32", "requests_per_s"), 0),
            Column("p50", _load("plain-32", "latency_ms", "p50"), 1, ratio=False),
            Column("p99", _load("plain-32", "latency_ms", "p99"), 1, ratio=False),
            Column("256: rq/s", _load("plain-256", "requests_per_s"), 0),
            Column("p50", _load("plain-256", "latency_ms", "p50"), 0, ratio=False),
            Column("p99", _load("plain-256", "latency_ms", "p99"), 0, ratio=False),
            Column("CPU s/1,000", _load("plain-256", _CPU)),
        ),
    ),
    (
        "Large requests",
        "CPU seconds per 1,000 requests, and p50 in milliseconds.",
        (
            Column("100 KB, 1 client", _load("100k-1", _CPU)),
            Column("p50", _load("100k-1", "latency_ms", "p50"), ratio=False),
            Column("100 KB, 32", _load("100k-32", _CPU)),
            Column("1 MB, 1 client", _load("1m-1", _CPU)),
            Column("p50", _load("1m-1", "latency_ms", "p50"), 1, ratio=False),
            Column("1 MB, 32", _load("1m-32", _CPU)),
        ),
    ),
    (
        "Streams of 1,000 events",
        "CPU seconds per 1,000 events; events per second over all clients; p99 in ms until the first content. At full"
        " speed the upstream sends many events in one piece; paced, each event comes alone (1 ms apart for 1 client,"
        " 5 ms for 32).",
        (
            Column("1 client: CPU s", _load("stream-1", _EVENTS), 3),
            Column("events/s", _load("stream-1", "events_per_s"), 0, ratio=False),
            Column("32 clients: CPU s", _load("stream-32", _EVENTS), 3),
            Column("events/s", _load("stream-32", "events_per_s"), 0, ratio=False),
            Column("paced, 1 client: CPU s", _load("paced-1", _EVENTS), 3),
            Column("paced, 32: CPU s", _load("paced-32", _EVENTS), 3),
            Column("first p99", _load("paced-32", "first_content_ms", "p99"), 1, ratio=False),
        ),
    ),
    (
        "The translated lane",
        "Clients speak Anthropic's protocol, the upstream OpenAI's (the first row: the upstream answers both itself)."
        " CPU seconds per 1,000 requests and per 1,000 events of paced streams; p50 in ms.",
        (
            Column("1 client", _load("translated-1", _CPU)),
            Column("p50", _load("translated-1", "latency_ms", "p50"), ratio=False),
            Column("32 clients", _load("translated-32", _CPU)),
            Column("rq/s", _load("translated-32", "requests_per_s"), 0, ratio=False),
            Column("events, 32 streams", _load("translated-paced-32", _EVENTS), 3),
        ),
    ),
    (
        "Start and memory",
        "Seconds from the start of the process to its first answer; memory of the process tree in MB.",
        (
            Column("existing home", _top("cold_start")),
            Column("empty home", _top("cold_start_empty")),
            Column("memory after start", _top("rss_start"), 0),
            Column("after the run", _top("rss_end"), 0),
            Column("after the large requests", _top("rss_large"), 0),
        ),
    ),
)


def render(data: Mapping[str, Any]) -> str:
    """The whole page."""
    subjects: Sequence[Data] = data["subjects"]
    parts = [_HEAD, _facts(data), _failures(subjects), _target_table(data)]
    parts += [_table(title, text, columns, subjects) for title, text, columns in TABLES]
    parts += [alone_page(data.get("alone", {})), _bottlenecks(subjects), _METHOD]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(data: Mapping[str, Any]) -> str:
    lines = [f"- {name}: {value}" for name, value in data["run"].items()]
    lines += [f"- {name}: {value}" for name, value in data["machine"].items()]
    named = [f"{subject['title']} {subject['version']}" for subject in data["subjects"] if subject["version"]]
    return "\n".join([*lines, f"- versions: {'; '.join(named)}"])


def _failures(subjects: Sequence[Data]) -> str:
    lines = [
        f"- **{s['title']}** was not measured to the end: {s['failure']}." for s in subjects if s["failure"]
    ]
    for subject in subjects:
        if subject["note"]:
            lines.append(f"- {subject['title']}: {subject['note']}.")
        for name, figures in subject["latency"].items():
            if figures["errors"]:
                lines.append(f"- {subject['title']}, latency of {name} requests: {figures['errors']} errors")
        for name, load in subject["loads"].items():
            lines += [f"- {subject['title']}, {name}: {n} x {text}" for text, n in load["errors"].items()]
    return "## Failures and notes\n\n" + "\n".join(lines) if lines else ""


def _target_table(data: Mapping[str, Any]) -> str:
    found = checks(data["subjects"], data.get("alone"))
    if not found:
        return ""
    words = {True: "pass", False: "**FAIL**", None: "-"}
    rows = [[c.title, c.limit, c.measured, words[c.passed]] for c in found]
    text = "The limits were set on one machine; on another, look at the ratios below."
    return f"## Patchbay's targets\n\n{text}\n\n" + table(["", "limit", "measured", ""], rows)


def _table(title: str, text: str, columns: Sequence[Column], subjects: Sequence[Data]) -> str:
    ours = next((subject for subject in subjects if subject["name"] == OURS), None)
    rows = []
    for subject in subjects:
        cells = [_cell(column, subject, ours) for column in columns]
        if any(cell != "-" for cell in cells):
            rows.append([subject["title"], *cells])
        elif subject["failure"]:
            rows.append([subject["title"], "not measured, see above", *[""] * (len(columns) - 1)])
    if not rows:
        return ""
    return f"## {title}\n\n{text}\n\n" + table(["", *(column.title for column in columns)], rows)


def _cell(column: Column, subject: Data, ours: Data | None) -> str:
    value = column.value(subject)
    if value is None:
        return "-"
    text = f"{value:,.{column.digits}f}"
    base = column.value(ours) if ours is not None and column.ratio and subject["name"] != OURS else None
    if not base or value <= 0 or base <= 0:
        return text
    ratio = value / base
    return f"{text} ({ratio:,.0f}x)" if ratio >= 10 else f"{text} ({ratio:.2g}x)"


def _bottlenecks(subjects: Sequence[Data]) -> str:
    """Loads where the mock or the load generator had no time left: speeds there are lower bounds."""
    busy = [
        f"{subject['title']}: {name}"
        for subject in subjects
        for name, load in subject["loads"].items()
        if load["helpers_busy"] > BUSY
    ]
    if not busy:
        return "The mock upstream and the load generator had time to spare in every load."
    return (
        "Mock upstream and load generator used more than"
        f" {BUSY:.0%} of a core in these loads, so answers per second and latencies there say little about the subject"
        f" (CPU time is not affected): {'; '.join(busy)}."
    )


_HEAD = """# Measurements

Written by `make bench`; every figure comes from this one run on one machine. In parentheses: the multiple of Patchbay's
figure. For CPU, latency, memory and time, more than 1x is worse than Patchbay; for answers per second it is better."""

_METHOD = """## Method

- Everything talks over the loopback interface to the same mock upstream (`python -m backends.simulator`).
  The subject has one core to itself, mock and load generator share another (two others, where there are
  three).
- Patchbay runs as `manage.py runproxy` starts it: client key checked, route decided, account leased, usage
  read from the answer, every request recorded in the history. The peers run one process without a database;
  LiteLLM with a master key.
- The load generator keeps its connections alive and checks every answer: status, framing, and that the text
  is the upstream's, or that a stream has all its content events and its terminal event. Anything else is an
  error.
- CPU time is that of the whole process tree, from the kernel's per-process clocks, between the end of the
  warm-up and 0.6 s after the last answer, so that work put off (such as writing history) counts.
- Added latency: 15 requests to warm up, then rounds of 25 requests to each subject in turn, 5 ms apart.
- Cold start: from the start of the process until a real request is answered with 200; the median of up to
  three."""
