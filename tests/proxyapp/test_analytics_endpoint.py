"""`/analytics`, `/metrics` and the forecast headers over TCP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.pools import Pool, Pools, eventually
from tests.servers import SimulatorThread

KEY = {"x-api-key": "test-fixed-key-of-this-module"}
ASKS = {**KEY, "x-patchbay-forecast": "1"}
WINDOW = {
    *(
        "minutes",
        "requests",
        "totalInputTokens",
        "totalOutputTokens",
        "totalCacheReadTokens",
        "estimatedCost",
    ),
    *("avgLatencyMs", "p50LatencyMs", "p99LatencyMs", "avgTtftMs", "errorRate", "claimBreakdown"),
}
ROW = {
    *("requests", "inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens", "estimatedCost"),
    *("unpricedRequests", "avgLatencyMs", "errorRate"),
}
PREDICTION = {"burnPerMinute", "exhaustsAt", "minutesLeft", "resetsAt", "outlastsReset"}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Two accounts with subscription windows, one of which has burnt 40 % of its 5h window in the last hour."""
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_API_KEY": KEY["x-api-key"]}) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(4) as threads,
    ):
        made = Pools(patchbay, upstream, desk, threads).make(
            {"a": "rl=unified,u5h=0.5,u7d=0.2", "b": "status=429,ra=600"},
            protocol="anthropic",
            strategy="fill-first",
        )
        store_an_hour(patchbay, made)
        patchbay.stop()
        patchbay.start()
        for number in range(3):
            assert made.ask(f"question {number}", model="claude-opus-4-8", headers=KEY).status == 200
        yield made


def store_an_hour(patchbay: Patchbay, pool: Pool) -> None:
    """What the server would have written down; the simulated provider's reset is two hours away."""
    now, rows = time.time(), []
    for back in range(12, 0, -1):
        used = 0.5 - 0.4 * back / 12
        rows.append((stamp(now - 300 * back), pool.name, pool.alias("a"), "5h", "", used, stamp(now + 7200)))
    columns = 'at, backend, account, "window", model_class, used, resets_at'
    for row in rows:
        statement = f"INSERT INTO analytics_windowsample ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        patchbay.sql("history", statement, *row)


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def analytics(pool: Pool, query: str = "") -> Any:
    answer = pool.servers.patchbay.get(f"/analytics{query}", KEY)
    assert answer.status == 200, answer.body
    return json.loads(answer.body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_analytics_has_its_shape(pool: Pool) -> None:
    assert eventually(lambda: analytics(pool)["window"]["requests"] >= 3)
    told = analytics(pool)
    assert set(told["window"]) >= WINDOW
    assert set(told["allTime"]) >= WINDOW - {"minutes"}
    assert (told["window"]["minutes"], told["window"]["claimBreakdown"]) == (60, {"5h": 3})
    row = told["perAccount"][pool.alias("a")]
    assert set(row) == ROW | {"currentUtil5h", "currentUtil7d"}
    assert (row["requests"], row["currentUtil5h"], row["currentUtil7d"]) == (3, 0.5, 0.2)
    assert pool.alias("b") in told["perAccount"]
    assert set(told["perModel"]["claude-opus-4-8"]) == set(told["perBackend"][pool.name]) == ROW
    rows = pool.rows(3)
    assert row["inputTokens"] == sum(one["inputTokens"] for one in rows)
    assert row["outputTokens"] == sum(one["outputTokens"] for one in rows)
    assert set(told["utilization"][0]) == {"at", "accounts"}
    known = [
        bucket["accounts"][pool.alias("a")]["5h"] for bucket in told["utilization"] if bucket["accounts"]
    ]
    assert known == sorted(known)
    assert len(known) >= 11


def test_predictions_are_the_same_everywhere(pool: Pool) -> None:
    patchbay = pool.servers.patchbay
    told = analytics(pool)["predictions"]
    prediction = told[pool.alias("a")]["5h"]
    assert set(prediction) == PREDICTION
    assert prediction["minutesLeft"] == pytest.approx(75, rel=0.1)
    assert prediction["exhaustsAt"] < prediction["resetsAt"]
    assert prediction["outlastsReset"] is False
    weekly = told[pool.alias("a")]["7d"]
    assert [weekly[name] for name in ("burnPerMinute", "exhaustsAt", "minutesLeft", "outlastsReset")] == [
        None
    ] * 4
    assert {"tokenBurnRate", "costBurnRate", "estimatedExhaustionMinutes"} <= set(told)
    shown = {row["alias"]: row for row in patchbay.get("/accounts", KEY).json()["accounts"]}
    here = shown[pool.alias("a")]["predictions"]["5h"]
    assert here["exhaustsAt"] == pytest.approx(prediction["exhaustsAt"], abs=60_000)
    answer = pool.ask("headers", model="claude-opus-4-8", headers=ASKS)
    assert answer.headers["x-patchbay-headroom"] == "0.50"
    moment = datetime.fromisoformat(answer.headers["x-patchbay-exhausts-at"])
    assert moment.timestamp() * 1000 == pytest.approx(prediction["exhaustsAt"], abs=60_000)


def test_nobody_is_told_of_forecasts_who_does_not_ask(pool: Pool) -> None:
    answer = pool.ask("no headers", model="claude-opus-4-8", headers=KEY)
    assert not {"x-patchbay-headroom", "x-patchbay-exhausts-at"} & set(answer.headers)
    assert "x-patchbay-forecast" not in str(pool.servers.upstream.journal.entries[-1])


@pytest.mark.parametrize("minutes", ["0", "-1", "525601", "1.5", "nan", "", "60;drop", "%D9%A3", "9" * 400])
def test_minutes_that_make_no_sense_are_refused_in_words(pool: Pool, minutes: str) -> None:
    answer = pool.servers.patchbay.get(f"/analytics?minutes={minutes}", KEY)
    assert answer.status == 400
    assert "525600" in answer.json()["error"]["message"]


@pytest.mark.parametrize("minutes", [1, 1440, 525_600])
def test_any_span_is_answered(pool: Pool, minutes: int) -> None:
    told = analytics(pool, f"?minutes={minutes}")
    assert told["window"]["minutes"] == minutes
    assert len(told["utilization"]) == min(288, max(1, minutes // 5))


@pytest.mark.parametrize("path", ["/analytics", "/metrics"])
def test_a_key_is_needed_where_one_is_needed(pool: Pool, path: str) -> None:
    patchbay = pool.servers.patchbay
    refused = patchbay.get(path)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert patchbay.request("POST", path, b"{}", KEY).status == 405


def test_metrics_can_be_scraped(pool: Pool) -> None:
    pool.ask('hostile "model"\n', model='evil"} 1\\n', headers=KEY)
    answer = pool.servers.patchbay.get("/metrics", KEY)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    assert all(name.startswith("patchbay_") for name, _ in found)
    account = {"backend": pool.name, "account": pool.alias("a")}
    quota = frozenset({**account, "window": "5h"}.items())
    assert found["patchbay_window_used_ratio", quota] == 0.5
    assert found["patchbay_window_exhausts_timestamp_seconds", quota] == pytest.approx(
        time.time() + 75 * 60, abs=600
    )
    assert found["patchbay_account_headroom_ratio", frozenset(account.items())] == 0.5
    assert found["patchbay_account_requests_in_flight", frozenset(account.items())] == 0
    assert found["patchbay_queue_length", frozenset()] == 0
    assert found["patchbay_history_dropped_records_total", frozenset()] == 0
    served = {"backend": pool.name, "kind": "messages", "outcome": "ok", "status_class": "2xx"}
    assert found["patchbay_requests_total", frozenset(served.items())] >= 3
    cost = found.get(("patchbay_cost_dollars_total", frozenset(account.items())))
    unpriced = found["patchbay_unpriced_requests_total", frozenset(account.items())]
    assert cost is not None or unpriced > 0
