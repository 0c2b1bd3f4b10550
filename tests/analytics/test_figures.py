from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from analytics.figures import cost_of, count, duration, money, percent, unpriced_note
from analytics.pages.queries import PERIODS, ranked
from analytics.pages.window_curves import Noted, held
from analytics.usage_sums import Sums

AT = datetime(2026, 11, 20, 10, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal("1234.56"), "$1,235"),
        (Decimal("12.345"), "$12.34"),
        (Decimal("0.00424"), "$0.0042"),
        (Decimal("0.00000002"), "<$0.0001"),
        (Decimal(0), "$0.00"),
        (None, "unpriced"),
    ],
)
def test_money(amount: Decimal | None, text: str) -> None:
    assert money(amount) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "\u2013"),
        (0, "0"),
        (99_999, "99,999"),
        (123_456, "123k"),
        (4_512_345, "4.51M"),
        (2_000_000_000, "2B"),
    ],
)
def test_counts(number: int | None, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "\u2013"),
        (0, "0 ms"),
        (0.52, "0.5 ms"),
        (843, "843 ms"),
        (999.7, "1.00 s"),
        (12_340, "12.3 s"),
        (59_960, "1m 0s"),
        (7_500_000, "2h 5m"),
    ],
)
def test_durations(ms: float | None, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "\u2013"),
        (0, "0 %"),
        (0.0001, "<0.1 %"),
        (0.034, "3.4 %"),
        (0.5, "50 %"),
        (0.9999, "99 %"),
        (1, "100 %"),
    ],
)
def test_shares_never_round_something_to_nothing_or_to_all(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_what_nobody_could_price_is_never_zero_dollars() -> None:
    assert cost_of(Sums(requests=3, unpriced=3)) == "unpriced"
    assert unpriced_note(Sums(requests=3, unpriced=3)) == ""
    some = Sums(requests=3, priced=1, unpriced=2, spent=Decimal("0.25"))
    assert (cost_of(some), unpriced_note(some)) == ("$0.25", "+ 2 unpriced")
    assert cost_of(Sums()) == "\u2013"
    assert cost_of(Sums(requests=1, rejected=1)) == "\u2013"


def test_lists_rank_by_cost_and_without_any_by_requests() -> None:
    groups = [
        Sums(("a", "x"), requests=9, priced=9, spent=Decimal(1)),
        Sums(("b", "x"), requests=1, priced=1, spent=Decimal(4)),
        Sums(("a", "y"), requests=1, priced=1, spent=Decimal(1)),
    ]
    assert [(one.name, one.sums.requests, one.share) for one in ranked(groups, 0)] == [
        ("b", 1, 100.0),
        ("a", 10, 50.0),
    ]
    free = [Sums(("a",), requests=1, unpriced=1), Sums(("b",), requests=4, unpriced=4)]
    assert [(one.name, one.share) for one in ranked(free, 0)] == [("b", 100.0), ("a", 25.0)]
    assert ranked([], 0) == []


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("24h", datetime(2026, 11, 19, 11, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 13, 12, tzinfo=UTC)),
        ("30d", datetime(2026, 10, 22, tzinfo=UTC)),
    ],
)
def test_a_period_is_made_of_whole_bars_and_its_last_holds_now(name: str, since: datetime) -> None:
    period = PERIODS[name]
    assert period.since(AT) == since
    last = since + timedelta(hours=period.hours * (period.bars - 1))
    assert last <= AT < last + timedelta(hours=period.hours)


def test_a_sample_holds_until_the_next_and_falls_to_nothing_at_its_reset() -> None:
    samples = [Noted(AT, 0.5, AT + timedelta(hours=2)), Noted(AT + timedelta(hours=3), 1.4, None)]
    moments = [AT + timedelta(hours=hour) for hour in (-1, 0, 1, 2, 3, 9)]
    assert held(samples, moments) == [None, 0.5, 0.5, 0.0, 1.0, 1.0]
