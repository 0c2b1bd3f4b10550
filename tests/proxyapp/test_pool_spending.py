"""The operator's own limits: money per day and month, and which windows may pay."""

from __future__ import annotations

import pytest

from tests.proxyapp.pools import Pools, error_of, eventually, member

OPUS = "claude-opus-4-8"


def test_who_has_spent_the_day_s_money_is_left_out_and_says_so(pools: Pools) -> None:
    members = {
        "small": member(daily_limit="0.0001", position=1),
        "open": member(position=2),
    }
    pool = pools.make(members, protocol="anthropic", preset="anthropic", strategy="fill-first")
    # Nobody knows the cost before the first answer, but what the request may cost at most is known.
    assert [pool.ask(model=OPUS).headers["x-patchbay-account"] for _ in range(2)] == [pool.alias("open")] * 2
    said = pool.ask(model=OPUS).headers["x-patchbay-decision"]
    assert f"{pool.alias('small')}: $" in said


@pytest.mark.parametrize("stream", [False, True])
def test_a_limit_is_reached_by_what_was_really_spent(pools: Pools, stream: bool) -> None:
    pool = pools.make({"a": member(daily_limit="0.12")}, protocol="anthropic", preset="anthropic")
    answers = [pool.ask(model=OPUS, stream=stream).status for _ in range(3)]
    assert answers == [200, 200, 200], "each may cost ten cents at most, and did cost far less"
    pool.do("edit", "a", daily_limit="0.0001")
    answer = pool.ask(model=OPUS, stream=stream)
    assert (answer.status, error_of(answer)["code"]) == (429, "pool_exhausted")
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    row = pool.show("a")
    assert (row["status"], "for this day" in row["reason"]) == ("limited", True)
    pool.do("edit", "a", daily_limit=None, monthly_limit="0.0001")
    assert "for this month" in pool.show("a")["reason"]
    pool.do("edit", "a", monthly_limit=None)
    assert pool.ask(model=OPUS).status == 200


def test_what_is_running_counts(pools: Pools) -> None:
    pool = pools.make(
        {"a": member("ttfb=700ms", daily_limit="0.15")}, protocol="anthropic", preset="anthropic"
    )
    first = pool.asking(model=OPUS)
    assert eventually(lambda: pool.running() == {"a": 1})
    second = pool.ask(model=OPUS)
    assert (first.result().status, second.status) in ((200, 429), (200, 200))
    assert len(pool.asked()) <= 2
    assert pool.ask(model=OPUS).status == 200, "what was reserved is given back"


def test_a_model_without_a_price_may_begin_as_long_as_something_is_left(pools: Pools) -> None:
    pool = pools.make({"a": member(daily_limit="0.01")})
    assert [pool.ask().status for _ in range(3)] == [200] * 3


def test_overage_is_not_used_unless_it_is_allowed(pools: Pools) -> None:
    spent = "rl=unified,u5h=1.01,claim=five_hour,overage=allowed,reset=1h"
    members = {"plan": member(spent, allowed_claims=["5h", "7d"]), "paid": member(spent)}
    pool = pools.make(members, protocol="anthropic")
    for _ in members:
        assert pool.ask().status == 200
    assert {pool.ask().headers["x-patchbay-account"] for _ in range(3)} == {pool.alias("paid")}
    row = pool.show("plan")
    assert row["status"] == "limited"
    assert "overage" in row["reason"]
    pool.do("pause", "paid")
    answer = pool.ask()
    assert (answer.status, "overage" in error_of(answer)["message"]) == (429, True)
    assert 3_000 < int(answer.headers["retry-after"]) <= 3_600
