"""The counts behind `/metrics`: what is counted, and that no client can make them grow."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from analytics.drafts import AttemptDraft, Outcome
from analytics.recorder import recorder
from analytics.spool import Spool, stored_row
from analytics.tallies import MOST_MODELS, OTHER, Counts, Histogram, Tallies
from backends.prices import NO_PRICES
from proxyapp.metric_families import Family
from proxyapp.metrics import counted
from proxyapp.metrics_text import exposition
from tests.analytics.ledgers import USAGE, draft

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(families: list[Family]) -> Samples:
    text = exposition(families).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"patchbay_{name}", frozenset(labels.items())]


def test_a_record_is_counted_everywhere() -> None:
    tallies = Tallies()
    made = draft(status=200, ttft_ms=200.0, overhead_ms=2.0)
    made.duration_ms = 1500.0
    made.attempts = [AttemptDraft("openai", "work", "gpt-4o") for _ in range(2)]
    made.attempts[0].end("status_429", "next_account")
    made.attempts[1].end("ok", "go_on")
    tallies.count(made)
    found = read(counted(tallies))
    where = {"backend": "openai", "kind": "chat"}
    assert value(found, "requests_total", **where, outcome="ok", status_class="2xx") == 1
    assert value(found, "failovers_total", backend="openai") == 1
    account = {"backend": "openai", "account": "work"}
    assert value(found, "attempts_total", **account, outcome="status_429", verdict="next_account") == 1
    model = {"backend": "openai", "model": "gpt-4o"}
    told = {name: value(found, "tokens_total", **model, direction=name) for name in ("input", "output")}
    assert told == {"input": USAGE.fresh_input, "output": USAGE.output}
    assert value(found, "tokens_total", **model, direction="cache_write") == USAGE.cache_write
    assert value(found, "request_duration_seconds_bucket", **where, le="1.0") == 0
    assert value(found, "request_duration_seconds_bucket", **where, le="2.5") == 1
    assert value(found, "request_duration_seconds_count", **where) == 1
    assert value(found, "time_to_first_content_seconds_sum", **where) == pytest.approx(0.2)
    assert value(found, "overhead_seconds_bucket", **where, le="0.0025") == 1


def test_a_rejected_request_has_no_duration_and_no_tokens() -> None:
    tallies = Tallies()
    tallies.count(draft(Outcome.REJECTED, status=404, backend="", model_used=""))
    found = read(counted(tallies))
    labels = {"backend": "none", "kind": "chat", "outcome": "rejected", "status_class": "4xx"}
    assert value(found, "requests_total", **labels) == 1
    assert list(found) == [("patchbay_requests_total", frozenset(labels.items()))]


def test_models_and_outcomes_that_clients_and_upstreams_make_up_do_not_pile_up() -> None:
    tallies = Tallies()
    for number in range(3 * MOST_MODELS):
        made = draft(status=200, model_used=f"model-{number}")
        made.attempts[0].end(f"code-{number}", "go_on")
        tallies.count(made)
    assert len({model for _, model, _ in tallies.tokens}) == MOST_MODELS + 1
    assert tallies.tokens["openai", OTHER, "output"] == 2 * MOST_MODELS * USAGE.output
    assert len(tallies.attempts) <= 101


def test_what_waits_in_the_spool_is_not_lost(tmp_path: Path) -> None:
    tallies, made = Tallies(), draft(status=200)
    before = recorder.spool, recorder.queue_rows
    recorder.spool, recorder.queue_rows = Spool(tmp_path), 2
    try:
        assert recorder.spool.add([stored_row(made, NO_PRICES)] * 3)
        tallies.count(made)
        assert tallies.dropped == 0
        for _ in range(3):
            tallies.count(made)
            recorder.record(made)
        assert tallies.dropped == recorder.dropped == 1
    finally:
        recorder.spool.close()
        recorder.spool, recorder.queue_rows = before
        recorder._queue.clear()
        recorder.dropped = 0


def test_a_model_that_no_upstream_has_served_is_no_label() -> None:
    tallies = Tallies()
    tallies.count(draft(Outcome.ERROR, status=404, model_used="made-up"))
    assert {model for _, model, _ in tallies.tokens} == {OTHER}


@pytest.mark.parametrize(
    "name", ['quo"te', "back\\slash", "new\nline", '"} evil 1\n# HELP x', "\ud800", "é世"]
)
def test_hostile_names_stay_inside_their_quotes(name: str) -> None:
    tallies = Tallies()
    tallies.count(draft(status=200, model_used=name))
    found = read(counted(tallies))
    shown = name.encode("utf-8", "replace").decode()
    assert value(found, "tokens_total", backend="openai", model=shown, direction="input") == USAGE.fresh_input
    assert all(key[0].startswith("patchbay_") for key in found)


def counted_by(numbers: list[int]) -> Tallies:
    """What a process has counted that served these requests."""
    tallies = Tallies()
    for number in numbers:
        made = draft(status=200, model_used="\ud800" * (number % 2) + "model", ttft_ms=40.0 * number)
        made.duration_ms = 300.0 * number
        made.attempts[0].end(f"code-{number % 3}", "go_on")
        tallies.count(made)
    tallies.dropped += len(numbers)
    return tallies


def sent(tallies: Tallies) -> Counts:
    """As another process reads it."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(tallies.counts()), type=Counts)


@given(st.lists(st.lists(st.integers(0, 8), max_size=8), max_size=4))
def test_the_sum_over_processes_is_what_one_would_have_counted(parts: list[list[int]]) -> None:
    together = Tallies()
    for part in parts:
        together.add(sent(counted_by(part)))
    alone = counted_by([number for part in parts for number in part])
    assert read(counted(together)) == pytest.approx(read(counted(alone)))
    assert together.dropped == alone.dropped


def test_a_successor_goes_on_with_the_models_that_have_a_label() -> None:
    before, after = Tallies(), Tallies()
    for number in range(MOST_MODELS):
        before.count(draft(status=200, model_used=f"model-{number}"))
    after.add(sent(before))
    after.count(draft(status=200, model_used="one-more"))
    after.count(draft(status=200, model_used="model-7"))
    assert after.tokens["openai", OTHER, "output"] == USAGE.output
    assert after.tokens["openai", "model-7", "output"] == 2 * USAGE.output


def test_a_histogram_with_other_bounds_is_left_out() -> None:
    mine, other = Histogram((1.0, 2.0)), Histogram((1.0,))
    mine.observe(0.5)
    other.observe(0.5)
    mine.add(other)
    assert (mine.counts, mine.total) == ([1, 0, 0], 0.5)
