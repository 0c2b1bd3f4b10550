"""Sums over any span agree with the records one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.drafts import Outcome
from analytics.latency import bucket_of, percentile, value_of
from analytics.models import RequestRecord
from analytics.recorder import Recorder
from analytics.usage_sums import Sums, latency_counts, series, sums
from tests.analytics.ledgers import AT, draft

database = pytest.mark.django_db(databases=["default", "history"])
MIDNIGHT = AT.replace(hour=0, minute=0)
START = datetime(2026, 11, 18, 20, tzinfo=UTC)
MOMENTS = [START + timedelta(minutes=37 * number) for number in range(120)]  # some three days


def write(*drafts: object) -> None:
    recorder = Recorder()
    for each in drafts:
        recorder.record(each)  # type: ignore[arg-type]
    while recorder.waiting:
        assert recorder.flush()


def write_days() -> None:
    write(
        *(
            draft(
                Outcome.REJECTED if number % 7 == 0 else Outcome.OK,
                at=at,
                model_used="" if number % 7 == 0 else ("gpt-4o", "gpt-5")[number % 2],
                key=("laptop", "ci")[number % 3 == 0],
            )
            for number, at in enumerate(MOMENTS)
        )
    )


@database
@pytest.mark.parametrize(
    ("first", "last"),
    [(0, 120), (1, 2), (3, 5), (5, 60), (10, 119), (17, 18), (0, 6), (40, 110), (20, 20)],
)
def test_any_span_counts_exactly(first: int, last: int, django_assert_max_num_queries: object) -> None:
    write_days()
    since = MOMENTS[first]
    until = MOMENTS[last] if last < len(MOMENTS) else MOMENTS[-1] + timedelta(seconds=1)
    with django_assert_max_num_queries(3, using="history"):  # type: ignore[operator]
        [found] = sums(since, until)
    rows = RequestRecord.objects.filter(started_at__gte=since, started_at__lt=until)
    assert found.requests == rows.count() == last - first
    assert found.rejected == rows.filter(outcome="rejected").count()
    assert found.spent == sum((row.cost or Decimal(0) for row in rows), Decimal(0))
    assert found.input_tokens == sum(row.input_tokens or 0 for row in rows)
    by_key = {group.group[0]: group.requests for group in sums(since, until, by=("key",))}
    assert by_key == {
        name: rows.filter(key=name).count() for name in ("ci", "laptop") if rows.filter(key=name).exists()
    }
    assert sums(since, until, where={"model": "gpt-5"})[0].requests == rows.filter(model_used="gpt-5").count()


@database
def test_what_has_no_price_is_never_worth_nothing() -> None:
    write(draft(provider="ollama", model_used="llama3"), draft(Outcome.ERROR, usage=None))
    by_model = {group.group: group for group in sums(AT, AT + timedelta(hours=1), by=("model",))}
    assert (by_model[("llama3",)].cost, by_model[("llama3",)].unpriced) == (None, 1)
    assert by_model[("gpt-4o",)].cost == 0  # it failed, and nothing was used
    assert Sums().cost == 0
    assert (Sums().error_rate, Sums().mean_ms, Sums().cache_ratio) == (None, None, None)


@database
def test_without_an_end_all_up_to_now_counts() -> None:
    now = timezone.now()
    write(draft(at=now - timedelta(seconds=1)), draft(at=now - timedelta(minutes=90)), draft(at=AT))
    assert sums(now - timedelta(minutes=2))[0].requests == 1
    assert sums(now - timedelta(hours=2))[0].requests == 2
    assert sums(AT)[0].requests == 3


@database
def test_a_series_has_a_sum_for_each_step() -> None:
    write_days()
    days = series(MOMENTS[0], MOMENTS[-1], "day")
    assert [one.at for one in days] == [START.replace(hour=0) + timedelta(days=day) for day in range(4)]
    assert sum(one.requests for one in days) == 120
    hours = series(MIDNIGHT, MIDNIGHT + timedelta(hours=6), "hour", by=("key",))
    assert {one.group for one in hours} == {("ci",), ("laptop",)}
    rows = RequestRecord.objects.filter(
        started_at__gte=MIDNIGHT, started_at__lt=MIDNIGHT + timedelta(hours=6)
    )
    assert sum(one.requests for one in hours) == rows.count() > 0


@database
def test_percentiles_come_from_buckets() -> None:
    write(*(draft(ttft_ms=float(ms)) for ms in range(100, 1100)))
    counts = latency_counts(AT, metric="ttft")
    assert sum(counts.values()) == 1000
    assert percentile(counts, 0.5) == pytest.approx(600, rel=0.05)
    assert percentile(counts, 0.99) == pytest.approx(1090, rel=0.05)
    assert latency_counts(AT + timedelta(hours=1), metric="ttft") == {}
    assert percentile({}, 0.5) is None


@given(st.floats(min_value=1.001, max_value=1e8))
@settings(max_examples=settings().max_examples)
def test_a_bucket_is_close_to_what_is_in_it(ms: float) -> None:
    assert value_of(bucket_of(ms)) == pytest.approx(ms, rel=0.0501)


@pytest.mark.parametrize(
    ("ms", "bucket"), [(0.0, 0), (-1.0, 0), (float("nan"), 0), (float("inf"), 200), (1e300, 200)]
)
def test_odd_durations_have_a_bucket(ms: float, bucket: int) -> None:
    assert bucket_of(ms) == bucket
