"""Which account a request gets: headroom by reported windows, strategies, reserves, pace and load."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from concurrent.futures import wait

import pytest

from tests.proxyapp.pools import Pool, Pools, eventually, member

OPUS, SONNET = "claude-opus-4-8", "claude-sonnet-4-5"


def learn(pool: Pool, model: str = "m") -> None:
    """Requests until every account has been asked once: what nobody has seen yet counts as unspent."""
    for _ in pool.keys:
        assert pool.ask(model=f"{pool.name}:{model}").status == 200
    assert set(pool.asked()) == set(pool.keys)


def next_ones(pool: Pool, count: int, model: str = "m") -> list[str]:
    """Who serves the next requests."""
    before = len(pool.asked())
    for _ in range(count):
        assert pool.ask(model=f"{pool.name}:{model}").status == 200
    return pool.asked()[before:]


# --- headroom -----------------------------------------------------------------------------------------------


def test_the_most_headroom_over_all_windows_wins(pools: Pools) -> None:
    members = {
        "low": "rl=unified,u5h=0.7,u7d=0.2",
        "best": "rl=unified,u5h=0.3,u7d=0.4",
        "week": "rl=unified,u5h=0.1,u7d=0.9",
    }
    pool = pools.make(members, protocol="anthropic")
    learn(pool)
    assert next_ones(pool, 5) == ["best"] * 5
    shown = pool.shown()
    assert {name: pytest.approx(row["headroom"]) for name, row in shown.items()} == {
        "low": 0.3,
        "best": 0.6,
        "week": 0.1,
    }
    assert (shown["week"]["util5h"], shown["week"]["util7d"], shown["week"]["claim"]) == (0.1, 0.9, "7d")


def test_the_answer_says_why(pools: Pools) -> None:
    pool = pools.make({"a": "rl=unified,u5h=0.7", "b": "rl=unified,u5h=0.2"}, protocol="anthropic")
    learn(pool)
    answer = pool.ask()
    said = answer.headers["x-patchbay-decision"]
    assert said.startswith(f"headroom: {pool.alias('b')} (best by headroom)")
    assert f"{pool.alias('a')} 30%" in said
    assert answer.headers["x-patchbay-account"] == pool.alias("b")


def test_a_window_of_one_family_does_not_block_another(pools: Pools) -> None:
    members = {"a": "rl=unified,u5h=0.1,u7d_opus=0.99", "b": "rl=unified,u5h=0.5"}
    pool = pools.make(members, protocol="anthropic")
    learn(pool, SONNET)
    assert next_ones(pool, 3, OPUS) == ["b"] * 3
    assert next_ones(pool, 3, SONNET) == ["a"] * 3
    assert pool.status("a") == "ready"


@pytest.mark.parametrize("protocol", ["anthropic", "openai"])
def test_windows_of_api_keys_count_for_their_model(pools: Pools, protocol: str) -> None:
    pool = pools.make({"a": "used=0.9", "b": "used=0.5"}, protocol=protocol)
    learn(pool)
    assert next_ones(pool, 3) == ["b"] * 3
    assert {window["modelClass"] for window in pool.show("a")["windows"]} == {"m"}
    learn_other = next_ones(pool, 2, "other")
    assert sorted(learn_other) == ["a", "b"], "nothing is known of this model yet"


def test_an_answer_without_limit_headers_changes_nothing(pools: Pools) -> None:
    pool = pools.make({"a": "", "b": "rl=unified,u5h=0.5"}, protocol="anthropic")
    pool.script("a", "rl=unified,u5h=0.6", "rl=none")
    learn(pool)
    pool.do("pause", "b")
    assert pool.ask().status == 200
    assert pool.show("a")["util5h"] == 0.6


# --- what stays unspent -------------------------------------------------------------------------------------


def test_a_reserve_is_kept_per_account_and_per_window(pools: Pools) -> None:
    members = {
        "usual": member("rl=unified,u5h=0.985"),  # 2 % stay unspent by default
        "large": member("rl=unified,u5h=0.75", reserve_percent=30),
        "week": member("rl=unified,u7d=0.6", reserves={"7d": 50}),
        "none": member("rl=unified,u5h=0.995", reserve_percent=0),
    }
    pool = pools.make(members, protocol="anthropic")
    learn(pool)
    assert next_ones(pool, 3) == ["none"] * 3
    assert {name: row["status"] for name, row in pool.shown().items()} == {
        "usual": "limited",
        "large": "limited",
        "week": "limited",
        "none": "ready",
    }
    assert "reserve" in pool.show("large")["reason"]


def test_a_rate_per_minute_is_used_to_the_full(pools: Pools) -> None:
    pool = pools.make({"a": "used=0.995"})
    learn(pool)
    assert next_ones(pool, 2) == ["a", "a"]


# --- strategies ---------------------------------------------------------------------------------------------


def test_round_robin_takes_turns(pools: Pools) -> None:
    pool = pools.make({"a": "", "b": "", "c": ""}, strategy="round-robin")
    assert Counter(next_ones(pool, 9)) == {"a": 3, "b": 3, "c": 3}


def test_weights_are_shares(pools: Pools) -> None:
    pool = pools.make({"a": member(weight=3), "b": member()}, strategy="weighted")
    assert Counter(next_ones(pool, 8)) == {"a": 6, "b": 2}


def test_fill_first_keeps_to_its_order_until_an_account_is_spent(pools: Pools) -> None:
    pool = pools.make({"a": member(position=2), "b": member(position=1)}, strategy="fill-first")
    assert next_ones(pool, 3) == ["b"] * 3
    pool.script("b", "status=429,ra=60")
    assert next_ones(pool, 3) == ["b", "a", "a", "a"]


def test_forecast_spends_first_what_lapses_first(pools: Pools) -> None:
    soon = "rl=unified,u5h=0.5,u7d=0.3,reset=20m,reset7d=30m"
    late = "rl=unified,u5h=0.2,u7d=0.3,reset=4h,reset7d=5d"
    by_forecast = pools.make({"soon": soon, "late": late}, protocol="anthropic", strategy="forecast")
    by_headroom = pools.make({"soon": soon, "late": late}, protocol="anthropic")
    assert (learnt_at_once(by_forecast), learnt_at_once(by_headroom)) == ("soon", "late")


def learnt_at_once(pool: Pool) -> str:
    """Show the pool every account's windows by requests that run beside each other; then who serves."""
    for name in pool.keys:
        pool.script(name, "ttfb=300ms")
    wait([pool.asking() for _ in pool.keys])
    assert set(pool.asked()) == set(pool.keys)
    (name,) = set(next_ones(pool, 3))
    return name


# --- pause, load, pace --------------------------------------------------------------------------------------


def test_a_paused_account_is_left_out_and_comes_back_within_a_second(pools: Pools) -> None:
    pool = pools.make({"a": "", "b": ""}, strategy="round-robin")
    pool.do("pause", "a")
    assert next_ones(pool, 4) == ["b"] * 4
    assert (pool.status("a"), pool.show("a")["reason"]) == ("paused", "paused")
    began = time.monotonic()
    pool.do("resume", "a")
    assert "a" in next_ones(pool, 2)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_requests_spread_and_nothing_is_left_in_flight(pools: Pools, stream: bool) -> None:
    script = "events=4,gap=150ms" if stream else "ttfb=600ms"
    pool = pools.make({"a": script, "b": script, "c": script})
    asked = [pool.asking(stream=stream) for _ in range(9)]
    assert eventually(lambda: sum(pool.running().values()) == 9)
    assert pool.running() == {"a": 3, "b": 3, "c": 3}
    assert {one.result().status for one in asked} == {200}
    assert eventually(lambda: set(pool.running().values()) == {0})
    assert {row["requestCount"] for row in pool.shown().values()} == {3}


def arrivals(pools: Pools, pool: Pool, name: str) -> list[float]:
    """When upstream was asked as this account, in seconds."""
    key = pool.keys[name]
    entries = [e for e in pools.upstream.journal.entries if key in (e.key, e.login) and e.method == "POST"]
    return sorted(entry.started for entry in entries)


def test_the_least_time_between_two_requests_is_kept(pools: Pools) -> None:
    pool = pools.make({"a": member(min_interval_ms=300)})
    answers = [one.result() for one in [pool.asking() for _ in range(4)]]
    assert {answer.status for answer in answers} == {200}
    times = arrivals(pools, pool, "a")
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) > 0.2
    assert 0.85 < times[-1] - times[0] < 3


def test_an_account_that_paces_does_not_hold_up_a_session_of_another(pools: Pools) -> None:
    pool = pools.make({"slow": member(min_interval_ms=1500, position=1), "free": member(position=2)})
    first, other = {"session-id": "one"}, {"session-id": "two"}
    pool.do("pause", "free")
    assert pool.ask(headers=first).status == 200
    pool.do("resume", "free")
    queued = [
        pool.asking(headers=first) for _ in range(2)
    ]  # each waits for the pace of the session's account
    assert eventually(lambda: pools.patchbay.get("/accounts").json()["queued"] == 2)
    began = time.monotonic()
    answer = pool.ask(headers=other)
    assert answer.headers["x-patchbay-account"] == pool.alias("free")
    assert time.monotonic() - began < 1.2
    assert {one.result().headers["x-patchbay-account"] for one in queued} == {pool.alias("slow")}


def test_logins_are_paced_by_half_a_second(pools: Pools) -> None:
    pool = pools.make({"a": member(login=True)}, protocol="anthropic")
    answers = [one.result() for one in [pool.asking(), pool.asking()]]
    assert {answer.status for answer in answers} == {200}
    first, second = arrivals(pools, pool, "a")
    assert 0.4 < second - first < 2


def test_a_token_that_ends_in_a_moment_is_not_used(pools: Pools) -> None:
    tokens = pools.upstream.login("short")
    soon = {"access_token": tokens["access_token"], "expires_at": time.time() + 25}
    pool = pools.make({"a": member(credential={"oauth": soon}), "b": ""}, protocol="anthropic")
    assert next_ones(pool, 3) == ["b"] * 3
    assert pool.status("a") == "expired"
