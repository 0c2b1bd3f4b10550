from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backends.durations import how_long_ago, parse_duration, span


@pytest.mark.parametrize(
    ("text", "hours"),
    [("90d", 2160.0), ("12h", 12.0), (" 30M ", 0.5), ("2w", 336.0), ("36s", 0.01), ("1 h", 1.0)],
)
def test_durations_as_people_write_them(text: str, hours: float) -> None:
    assert parse_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "0d", "h", "12", "-1h", "1.5h", "1y", "999999d", "1h2m"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


def test_ages_in_their_largest_unit() -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    assert how_long_ago(now - timedelta(days=3, hours=2), now) == "3 days ago"
    assert how_long_ago(now - timedelta(hours=1), now) == "1 hour ago"
    assert how_long_ago(now - timedelta(seconds=30), now) == "just now"
    assert how_long_ago(now + timedelta(seconds=30), now) == "just now"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (11 * 3600 + 42 * 60 + 59.9, "11h 42m"),
        (3600, "1h 0m"),
        (3599, "59m"),
        (59.9, "59s"),
        (0, "0s"),
        (-5, "0s"),
        (364 * 86_400 + 3 * 3600, "364d 3h"),
    ],
)
def test_what_is_left_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
