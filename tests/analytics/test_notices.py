"""What is worth telling, and that it is told once."""

from __future__ import annotations

from decimal import Decimal

from accounts.reports import Report, Result
from analytics.notices import FORGOTTEN_SECONDS, Budget, NoticeKind, Told, account_notices, budget_notices
from tests.accounts.pools import HOUR, WALL, account, reading, served
from tests.accounts.test_pool_view import Pools

LOW = 0.1


def test_a_window_that_runs_low_is_told_with_what_is_left_and_until_when() -> None:
    pools = Pools(account("a"))
    pools.tell(served(reading("5h", 0.93), reading("7d", 0.4), reading("requests", 0.99)))
    [notice] = account_notices(pools.view(), LOW)
    assert notice.kind is NoticeKind.WINDOW_LOW
    assert notice.text == "Account a of b has 7% of its 5h window left, until 2027-01-15 09:00 UTC."
    assert notice.as_dict() == {
        "source": "patchbay",
        "kind": "window_low",
        "text": notice.text,
        "account": "a",
        "backend": "b",
        "window": "5h",
        "modelClass": None,
        "headroom": 0.07,
        "resetsAt": (WALL + HOUR) * 1000,
    }


def test_there_is_nothing_to_tell_of_an_account_with_room() -> None:
    pools = Pools(account("a"))
    pools.tell(served(reading("5h", 0.89)))
    assert account_notices(pools.view(), LOW) == []


def test_a_refused_credential_is_told_with_its_cure() -> None:
    pools = Pools(account("a"), account("b"))
    pools.tell(Report(Result.REFUSED, reason="401"), only="a")
    [notice] = account_notices(pools.view("a"), LOW)
    assert notice.kind is NoticeKind.NEEDS_LOGIN
    assert "manage.py status a" in notice.text


def test_a_budget_is_told_from_its_share_on() -> None:
    budgets = [
        Budget("ci", "client key", "2027-01", Decimal(20), Decimal("15.99")),
        Budget("team", "client key", "2027-01", Decimal(20), Decimal(16)),
        Budget("own", "account", "2027-01-15", Decimal(5), Decimal(7)),
    ]
    told = budget_notices(budgets, 0.8)
    assert [notice.subject for notice in told] == ["team", "own"]
    assert told[0].text == "Client key team has used $16.00 of $20.00 for 2027-01."


def test_the_same_is_told_once_until_it_was_over_for_a_while() -> None:
    pools, told = Pools(account("a")), Told()
    pools.tell(served(reading("5h", 0.95)))
    notices = account_notices(pools.view(), LOW)
    assert told.news(notices, 0.0) == notices
    assert told.news(notices, 100.0) == []
    assert told.news([], 101.0) == []
    assert told.news(notices, 100.0 + FORGOTTEN_SECONDS - 1) == []  # it swings around the threshold
    assert told.news([], 100.0 + 3 * FORGOTTEN_SECONDS) == []
    assert told.news(notices, 100.0 + 3 * FORGOTTEN_SECONDS) == notices


def test_the_next_window_is_another_story_and_a_reset_that_moves_by_seconds_is_not() -> None:
    told = Told()
    for resets_at, is_news in ((WALL + HOUR, True), (WALL + HOUR + 20, False), (WALL + 6 * HOUR, True)):
        pools = Pools(account("a"))
        pools.tell(served(reading("5h", 0.95, resets_at)))
        assert bool(told.news(account_notices(pools.view(), LOW), 0.0)) is is_news
