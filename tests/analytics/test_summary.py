"""The figures of `/analytics` and `usage`, against records that can be added up by hand."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analytics.drafts import Outcome
from analytics.models import LatencyHour, RequestRecord, UsageDay
from analytics.recorder import Recorder
from analytics.summary import EXACT, Older, all_time, burn, session_groups, window_summary
from analytics.summary_json import burn_json, group_json, groups_json, window_json
from backends.wire.usage import Usage
from proxyapp.analytics_view import Live, answer
from tests.analytics.ledgers import USAGE, draft

pytestmark = pytest.mark.django_db(databases=["default", "history"])
NOBODY = Live((), {}, None, {})


def write(*drafts: Any) -> None:
    recorder = Recorder()
    for each in drafts:
        recorder.record(each)
    while recorder.waiting:
        assert recorder.flush()


def ended(minutes_ago: float, outcome: Outcome = Outcome.OK, *, ms: float = 100.0, **fields: Any) -> Any:
    made = draft(outcome, at=timezone.now() - timedelta(minutes=minutes_ago), **fields)
    made.duration_ms = ms
    return made


def test_a_window_has_its_sums_in_every_grouping() -> None:
    write(
        ended(5, ms=100),
        ended(30, ms=300, model_used="gpt-5", key="ci", account="home"),
        ended(59, Outcome.ERROR, ms=200, usage=None),
        ended(10, Outcome.REJECTED, model_used="", account="", backend="", key="", ms=1),
        ended(61, ms=9000),
    )
    summary = window_summary(60, timezone.now())
    shown = window_json(summary, {"5h": 3})
    cost = sum((row.cost or Decimal(0) for row in recent_rows()), Decimal(0))
    assert shown == {
        "minutes": 60,
        "requests": 4,
        "rejectedRequests": 1,
        "totalInputTokens": 2 * USAGE.input_tokens,
        "totalOutputTokens": 2 * USAGE.output,
        "totalCacheReadTokens": 200,
        "totalCacheWriteTokens": 60,
        "totalReasoningTokens": 100,
        "estimatedCost": float(cost),
        "unpricedRequests": 0,
        "avgLatencyMs": 200.0,
        "p50LatencyMs": 200.0,
        "p99LatencyMs": 300.0,
        "avgTtftMs": 20.0,
        "errorRate": 0.25,
        "claimBreakdown": {"5h": 3},
    }
    assert {name: one.requests for name, one in summary.groups["model"].items()} == {"gpt-4o": 2, "gpt-5": 1}
    assert {name: one.requests for name, one in summary.groups["key"].items()} == {"laptop": 2, "ci": 1}
    assert list(summary.groups["account"]) == ["work", "home"]
    assert summary.groups["backend"]["openai"].errors == 1


def recent_rows() -> list[RequestRecord]:
    return list(RequestRecord.objects.filter(started_at__gte=timezone.now() - timedelta(minutes=60)))


def test_what_is_unpriced_is_null_and_counted() -> None:
    write(ended(1, model_used="no-such-model"))
    shown = group_json(window_summary(60, timezone.now()).groups["model"]["no-such-model"])
    assert (shown["estimatedCost"], shown["unpricedRequests"], shown["requests"]) == (None, 1, 1)
    write(ended(1))
    total = window_json(window_summary(60, timezone.now()), {})
    assert isinstance(total["estimatedCost"], float)
    assert total["estimatedCost"] > 0
    assert total["unpricedRequests"] == 1


def test_all_time_outlives_the_records() -> None:
    write(*(ended(60.0 * 24 * number, ms=100 * (number + 1)) for number in range(5)))
    RequestRecord.objects.all().delete()
    totals, accounts = all_time(timezone.now(), Older())
    assert (totals.sums.requests, accounts["work"].requests) == (5, 5)
    assert totals.p50_ms == pytest.approx(300, rel=0.05)
    assert totals.p99_ms == pytest.approx(500, rel=0.05)


def test_older_days_are_remembered_and_today_is_not() -> None:
    older = Older()
    write(ended(60.0 * 24 * 3))
    assert all_time(timezone.now(), older)[0].sums.requests == 1
    write(ended(0))
    with CaptureQueriesContext(connections["history"]) as queries:
        assert all_time(timezone.now(), older)[0].sums.requests == 2
    assert len(queries) == 2


def test_many_durations_are_read_from_buckets() -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    UsageDay.objects.create(day=hour.date(), backend="b", account="a", key="", model="m", requests=EXACT + 1)
    LatencyHour.objects.create(hour=hour, metric="duration", bucket=50, count=EXACT + 1)
    two_days = window_summary(2880, timezone.now())
    assert two_days.totals.p50_ms == two_days.totals.p99_ms == pytest.approx(1.1**50, rel=0.06)


def test_burn_is_of_the_last_hour_and_needs_five_minutes() -> None:
    assert burn_json(burn(timezone.now())) == {"tokenBurnRate": None, "costBurnRate": None}
    write(ended(2))
    assert burn(timezone.now()).tokens_per_minute is None
    write(ended(30))
    now = timezone.now()
    rates = burn(now)
    spent = sum((row.cost or Decimal(0) for row in recent_rows()), Decimal(0))
    assert rates.tokens_per_minute == pytest.approx(2 * (USAGE.input_tokens + USAGE.output) / 30, rel=0.01)
    assert rates.dollars_per_hour == pytest.approx(float(spent) * 2, rel=0.01)
    assert burn(now, window_summary(60, now)) == rates
    write(ended(600, usage=Usage(10**6, 0, 0, 0, 0, 0, b"")))
    tokens = burn(timezone.now()).tokens_per_minute
    assert tokens == pytest.approx(2 * (USAGE.input_tokens + USAGE.output) / 60, rel=0.01)


def test_money_of_unpriced_requests_burns_at_no_rate() -> None:
    write(ended(30, model_used="no-such-model"))
    assert burn(timezone.now()).dollars_per_hour is None


def test_sessions_are_those_that_were_active() -> None:
    write(ended(5), ended(4), ended(3, session="s2"), ended(500, session="old"))
    found = session_groups(60, timezone.now())
    assert {name: one.requests for name, one in found.items()} == {"s1": 2, "s2": 1}
    shown = groups_json(found)["s1"]
    assert isinstance(shown, dict)
    assert (shown["inputTokens"], shown["avgLatencyMs"]) == (2 * USAGE.input_tokens, None)


@pytest.mark.parametrize("minutes", [1, 60, 1500, 525_600])
def test_the_answer_is_finite_and_takes_ten_queries_at_most(minutes: int) -> None:
    write(*(ended(7.0 * number, ttft_ms=None) for number in range(300)), ended(40, Outcome.CANCELLED))
    with CaptureQueriesContext(connections["history"]) as queries:
        told = answer(minutes, NOBODY, Older())
    assert len(queries) <= 10
    text = json.dumps(told, allow_nan=False)
    assert "Infinity" not in text
    everything = told["allTime"]
    assert isinstance(everything, dict)
    assert everything["requests"] == 301


def test_an_empty_history_has_nulls_and_zeros_and_no_division() -> None:
    told = answer(60, NOBODY, Older())
    window: Any = told["window"]
    assert (window["requests"], window["estimatedCost"], window["totalInputTokens"]) == (0, 0.0, 0)
    nothing = ("avgLatencyMs", "p50LatencyMs", "p99LatencyMs", "avgTtftMs", "errorRate")
    assert [window[name] for name in nothing] == [None] * 5
    assert told["perModel"] == told["perKey"] == told["perBackend"] == told["perAccount"] == {}
    assert not any(math.isnan(value) for value in window.values() if isinstance(value, float))
