from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from analytics.queries import BadFilter, Follower, HistoryFilter, status_range, today
from tests.analytics.history import add_record

pytestmark = pytest.mark.django_db(databases=["history"])


def ids(rows: list[object]) -> list[str]:
    return [row.id for row in rows]  # type: ignore[attr-defined]


def test_the_newest_come_last() -> None:
    old, middle, new = (add_record(age_s=age) for age in (30, 20, 10))
    assert ids(list(HistoryFilter().newest(2))) == [middle.id, new.id]
    assert ids(list(HistoryFilter().newest(9)))[0] == old.id


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"outcome": "error"}, True),
        ({"outcome": "ok"}, False),
        ({"model": "GPT-5"}, True),
        ({"model": "Best"}, True),
        ({"model": "gpt"}, False),
        ({"backend": "OpenAI"}, True),
        ({"account": "work"}, True),
        ({"account": "Work"}, False),
        ({"key": "laptop"}, True),
        ({"session": "s-42"}, True),
        ({"session": "s-4"}, False),
        ({"status": "5xx"}, True),
        ({"status": "503"}, True),
        ({"status": "4xx"}, False),
        ({"outcome": "error", "status": "429"}, False),
        ({"since": timezone.now() - timedelta(hours=1)}, True),
        ({"since": timezone.now() + timedelta(hours=1)}, False),
    ],
)
def test_filters(wanted: dict[str, object], found: bool) -> None:
    add_record(
        outcome="error",
        status=503,
        model_asked="best",
        model_used="gpt-5",
        backend="openai",
        account="work",
        key="laptop",
        session="s-42",
    )
    assert bool(HistoryFilter(**wanted).newest(10)) is found  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "9", "6xx", "abc", "4x", "2000", "-1"])
def test_what_is_no_status(text: str) -> None:
    with pytest.raises(BadFilter):
        status_range(text)


def test_a_follower_shows_each_new_row_once() -> None:
    add_record(age_s=5)
    follower = Follower(HistoryFilter())
    assert len(follower.begin(10)) == 1
    assert follower.look() == []
    row = add_record()
    assert ids(list(follower.look())) == [row.id]
    assert follower.look() == []


def test_a_follower_with_no_history_shown_starts_with_what_comes() -> None:
    add_record()
    follower = Follower(HistoryFilter())
    assert follower.begin(0) == []
    assert follower.look() == []


def test_a_row_that_is_written_late_is_not_missed() -> None:
    follower = Follower(HistoryFilter())
    follower.begin(10)
    recent = add_record()
    assert ids(list(follower.look())) == [recent.id]
    late = add_record(age_s=60)
    assert ids(list(follower.look())) == [late.id]


def test_a_very_long_request_is_found_by_the_far_look() -> None:
    follower = Follower(HistoryFilter(), far_every=2)
    follower.begin(10)
    long = add_record(age_s=3600)
    assert follower.look() == []
    assert ids(list(follower.look())) == [long.id]
    assert follower.look() == follower.look() == []


def test_a_follower_follows_its_filter() -> None:
    follower = Follower(HistoryFilter(outcome="error"))
    follower.begin(10)
    add_record()
    failed = add_record(outcome="error")
    assert ids(list(follower.look())) == [failed.id]


def test_today_counts_and_lists_failures() -> None:
    assert today().error_rate is None
    add_record()
    add_record(outcome="cancelled", status=None)
    rejected = add_record(outcome="rejected", status=404)
    failed = add_record(outcome="error", status=502)
    add_record(outcome="error", age_s=10 * 86_400)
    now = today()
    assert (now.requests, now.failures, now.rejected) == (4, 1, 1)
    assert now.error_rate == 0.25
    assert ids(list(now.last_failures)) == [failed.id, rejected.id]
