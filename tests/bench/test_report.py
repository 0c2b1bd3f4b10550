"""The page of results: what is missing or wrong is said, never left out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bench.measure import Report
from bench.report import render
from bench.targets import checks


def load(cpu: float, *, errors: dict[str, int] | None = None, busy: float = 0.5) -> dict[str, object]:
    times = {"count": 10, "p50": 2.0, "p90": 3.0, "p99": 8.0, "worst": 9.0}
    return {
        "latency_ms": times,
        "first_content_ms": times,
        "wall_s": 1.0,
        "errors": errors or {},
        "requests_per_s": 1000.0,
        "events_per_s": 0.0,
        "cpu_s": cpu,
        "cpu_per_1000_requests": cpu,
        "cpu_per_1000_events": None,
        "helpers_busy": busy,
    }


def page(*reports: Report) -> str:
    data: dict[str, Any] = {
        "run": {"date": "2026-01-01 00:00 UTC", "command": "python -m bench"},
        "machine": {"cpu": "one, 2 cores usable"},
        "subjects": [asdict(report) for report in reports],
    }
    return render(data)


def row(text: str, heading: str, title: str) -> list[str]:
    """The cells of one subject in the table under a heading."""
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    line = next(line for line in section.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


OURS = Report("patchbay", "Patchbay", "1.0", loads={"plain-1": load(0.5)}, rss_end=120.0, cold_start=0.5)


def test_a_peer_stands_beside_patchbay_with_its_multiple() -> None:
    peer = Report("litellm", "LiteLLM", "2.0", loads={"plain-1": load(6.0)}, rss_end=240.0)
    text = page(OURS, peer)
    assert row(text, "In short", "Patchbay")[1] == "0.50"
    assert row(text, "In short", "LiteLLM")[1] == "6.00 (12x)"
    assert row(text, "In short", "LiteLLM")[4] == "240 (2x)"
    assert "Patchbay 1.0; LiteLLM 2.0" in text


def test_a_peer_that_did_not_start_is_in_the_table_with_the_reason_above() -> None:
    text = page(OURS, Report("litellm", "LiteLLM", failure="pip exited 1: no such package"))
    assert "**LiteLLM** was not measured to the end: pip exited 1: no such package." in text
    assert row(text, "In short", "LiteLLM")[1] == "not measured, see above"


def test_errors_are_listed_and_counted() -> None:
    text = page(OURS, Report("nginx", "nginx", loads={"plain-1": load(0.1, errors={"BadAnswer: cut": 3})}))
    assert "- nginx, plain-1: 3 x BadAnswer: cut" in text
    assert row(text, "In short", "nginx")[6] == "3"


def test_a_load_that_the_helpers_could_not_keep_up_with_is_named() -> None:
    text = page(OURS, Report("nginx", "nginx", loads={"plain-1": load(0.1, busy=0.97)}))
    assert "nginx: plain-1." in text


def test_targets_say_passed_failed_or_not_measured() -> None:
    found = {check.title: check for check in checks([asdict(OURS)])}
    assert found["CPU s per 1,000 requests, 1 client"].passed is True
    assert found["resident memory after the loads of ordinary size"].passed is False
    assert found["CPU s per 1,000 requests, 32 clients"].passed is None
    assert found["wrong or missing answers, all loads"].passed is True


def test_p99_far_above_p50_at_256_clients_is_a_collapse() -> None:
    report = Report("patchbay", "Patchbay", loads={"plain-256": load(0.5, errors={"TimeoutError: x": 1})})
    found = {check.title: check for check in checks([asdict(report)])}
    assert found["256 clients: p99 over p50"].measured == "4 x"
    assert found["256 clients: p99 over p50"].passed is False
    assert found["wrong or missing answers, all loads"].passed is False


def test_what_only_patchbay_was_asked_has_targets_too() -> None:
    alone = {
        "idle": {"kb_per_stream": 36.0},
        "workers": {"1": {"requests_per_s": 300.0}, "2": {"requests_per_s": 560.0}},
    }
    found = {check.title: check for check in checks([asdict(OURS)], alone)}
    assert found["memory of an idle stream"].passed is False
    assert found["answers of two workers over those of one"].passed is True
    assert found["answers of two workers over those of one"].limit == "≥ 1.8 x"


def test_added_latency_is_what_comes_on_top_of_nginx() -> None:
    def report(name: str, p50: float) -> dict[str, object]:
        return asdict(
            Report(name, name, latency={"plain": {"added_p50": p50}, "stream": {"added_first_p50": p50}})
        )

    found = {check.title: check for check in checks([report("nginx", 0.3), report("patchbay", 1.9)])}
    assert found["added p50 over nginx"].measured == "1.6 ms"
    assert found["added p50 over nginx"].passed is False
    assert found["first content of a stream, added p50"].passed is True
