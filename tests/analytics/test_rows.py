from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from analytics.models import RequestRecord
from analytics.rows import cost_text, dollars, iso, record_json, record_line

REQUEST = ["id", "startedAt", "durationMs", "kind", "status", "outcome", "protocol", "lane", "stream"]
SERVED = ["modelAsked", "modelUsed", "backend", "account", "key", "session", "attempts"]
TOKENS = [
    "inputTokens",
    "outputTokens",
    "cacheReadTokens",
    "cacheWriteTokens",
    "reasoningTokens",
    "usageSource",
]
FIELDS = [*REQUEST, *SERVED, *TOKENS, "cost", "ttftMs", "error"]


def row(**fields: object) -> RequestRecord:
    plain: dict[str, object] = {
        "id": "req_1",
        "started_at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "duration_ms": 1234.5678,
        "outcome": "ok",
        "protocol": "openai",
    }
    return RequestRecord(**(plain | fields))


def test_the_fields_stand_in_their_order() -> None:
    assert list(record_json(row())) == FIELDS


def test_what_never_came_to_be_is_null() -> None:
    answer = record_json(row())
    absent = [
        "kind",
        "status",
        "lane",
        "modelAsked",
        "modelUsed",
        "backend",
        "account",
        "key",
        "session",
        "inputTokens",
    ]
    assert {name: answer[name] for name in [*absent, "error", "ttftMs", "cost"]} == dict.fromkeys(
        [*absent, "error", "ttftMs", "cost"]
    )
    assert (answer["usageSource"], answer["attempts"], answer["stream"]) == ("none", 0, False)


def test_input_holds_the_caches_and_output_the_reasoning() -> None:
    answer = record_json(
        row(
            fresh_input_tokens=1,
            cache_read_tokens=10,
            cache_write_5m_tokens=100,
            cache_write_1h_tokens=1000,
            output_tokens=7,
            reasoning_tokens=5,
        )
    )
    assert (answer["inputTokens"], answer["cacheReadTokens"], answer["cacheWriteTokens"]) == (1111, 10, 1100)
    assert (answer["outputTokens"], answer["reasoningTokens"]) == (7, 5)


def test_times_are_utc_with_milliseconds() -> None:
    assert iso(row().started_at) == "2026-01-02T03:04:05.678Z"
    assert record_json(row())["durationMs"] == 1234.6


def test_the_line_says_what_changed_and_what_went_wrong() -> None:
    line = record_line(
        row(
            kind="chat",
            status=502,
            outcome="error",
            model_asked="fast",
            model_used="llama3",
            backend="ollama",
            account="a",
            key="laptop",
            attempts=2,
            fresh_input_tokens=3,
            output_tokens=4,
            usage_source="estimated",
            error="no answer",
        )
    )
    for part in (
        "502",
        "fast → llama3",
        "ollama/a",
        "1,235 ms",
        "~3 in, 4 out",
        "key laptop",
        "2 attempts",
        "no answer",
    ):
        assert part in line


@pytest.mark.parametrize(
    ("cost", "source", "number", "text"),
    [
        (Decimal("0.00207000"), "priced", 0.00207, "$0.00207"),
        (Decimal("1234.50000000"), "estimated", 1234.5, "~$1,234.50"),
        (None, "unpriced", None, "unpriced"),
        (None, "", None, ""),
        (None, None, None, ""),
    ],
)
def test_a_cost_is_a_number_or_null_and_an_unknown_one_is_no_zero(
    cost: Decimal | None, source: str | None, number: float | None, text: str
) -> None:
    made = row(cost=cost, cost_source=source)
    assert record_json(made)["cost"] == number
    assert cost_text(made) == text


def test_the_line_shows_a_cost_that_is_known() -> None:
    assert "$0.045" in record_line(row(cost=Decimal("0.045"), cost_source="priced"))
    assert "unpriced" not in record_line(row(cost_source="unpriced"))


@pytest.mark.parametrize(
    ("amount", "text"), [("0", "$0.00"), ("0.1", "$0.10"), ("0.00000002", "$0.00000002")]
)
def test_dollars_keep_their_decimals(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text
