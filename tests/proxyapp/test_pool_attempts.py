"""How often and where a failing request is tried: accounts, targets, budgets, and never after content."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import pytest

from tests.patchbay import free_port
from tests.proxyapp.pools import PATHS, Pool, Pools, error_of, eventually, member

_names = (f"route-{number}" for number in itertools.count(1))


def route(pools: Pools, *targets: Pool) -> str:
    """A route over these pools, in order; returns its name."""
    name = next(_names)
    order = {"do": "route", "pattern": name, "targets": [f"{target.name}:m" for target in targets]}
    pools.carry_out([order])
    return name


def ask(pools: Pools, name: str, **fields: object):  # type: ignore[no-untyped-def]
    """One chat request for a route."""
    message = {"role": "user", "content": f"opening {next(pools.numbers)}"}
    return pools.patchbay.post(PATHS["openai"], {"model": name, "messages": [message], **fields})


# --- accounts -----------------------------------------------------------------------------------------------


def test_each_account_is_asked_once_and_three_attempts_are_all(pools: Pools) -> None:
    pool = pools.make(dict.fromkeys("abcde", "status=500"))
    answer = pool.ask()
    assert (answer.status, len(pool.asked()), len(set(pool.asked()))) == (500, 3, 3)
    assert answer.headers["x-should-retry"] == "false", "we have tried enough for the client's own retries"


def test_when_attempts_run_out_before_accounts_the_client_may_come_back_at_once(pools: Pools) -> None:
    members = {name: member("status=429,ra=600", position=1) for name in "abc"}
    pool = pools.make({**members, "fine": member(position=2)}, strategy="fill-first")
    answer = pool.ask()
    assert (answer.status, sorted(pool.asked())) == (429, ["a", "b", "c"])
    assert answer.headers["retry-after"] == "1"
    assert "x-should-retry" not in answer.headers
    assert pool.ask().headers["x-patchbay-account"] == pool.alias("fine")


def test_the_retry_after_is_the_least_of_the_pool(pools: Pools) -> None:
    pool = pools.make({"a": member("status=429,ra=600"), "b": member("status=429,ra=40", position=1)})
    answer = pool.ask()
    assert answer.status == 429
    assert sorted(pool.asked()) == ["a", "b"]
    assert 38 <= int(answer.headers["retry-after"]) <= 40


def test_a_client_s_words_in_an_error_bench_nobody(pools: Pools) -> None:
    echo = "status=400,msg=Invalid%20value%3A%20%27insufficient_quota%27%2C%20your%20credit%20balance%20is%20too%20low"
    pool = pools.make({"a": echo})
    assert pool.ask().status == 400
    assert pool.status("a") == "ready"


# --- targets ------------------------------------------------------------------------------------------------


def test_the_next_target_serves_when_every_account_of_the_first_is_spent(pools: Pools) -> None:
    first = pools.make({"a": "status=429,ra=600", "b": "status=429,ra=600"})
    second = pools.make({"c": ""})
    name = route(pools, first, second)
    answer = ask(pools, name)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "3")
    assert answer.headers["x-patchbay-fallback"] == f"{name} -> {second.name}:m"
    again = ask(pools, name)
    assert (again.status, again.headers["x-patchbay-attempts"]) == (200, "1"), (
        "nobody asks the spent ones again"
    )
    assert len(first.asked()) == 2


def test_after_two_accounts_of_a_backend_in_trouble_the_last_attempt_is_the_next_target_s(
    pools: Pools,
) -> None:
    down = pools.make(dict.fromkeys("abc", "status=500"))
    answer = ask(pools, route(pools, down, pools.make({"d": ""})))
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "3")
    assert len(down.asked()) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_backend_that_cannot_be_reached_is_left_for_the_next_target(pools: Pools, scheme: str) -> None:
    base = (
        f"http://127.0.0.1:{free_port()}/v1"
        if scheme == "http"
        else pools.upstream.url.replace("http", "https")
    )
    away = pools.make({"a": ""}, base=base)
    answer = ask(pools, route(pools, away, pools.make({"b": ""})))
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "2")
    alone = away.ask()
    code, attempts = {"http": ("connect_refused", "2"), "https": ("tls_failed", "1")}[scheme]
    assert (alone.status, error_of(alone)["code"]) == (502, code)
    assert alone.headers["x-patchbay-attempts"] == attempts


def test_a_family_that_is_spent_falls_back_to_another_on_the_same_account(pools: Pools) -> None:
    pool = pools.make({"a": ""}, protocol="anthropic")
    pool.script("a", "status=429,rl=unified,u7d_opus=1,reset7d=20h,claim=seven_day_opus")
    name, opus, sonnet = next(_names), "claude-opus-4-8", "claude-sonnet-4-5"
    targets = [f"{pool.name}:{model}" for model in (opus, sonnet)]
    pools.carry_out([{"do": "route", "pattern": name, "targets": targets}])
    answers = [ask(pools, name) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.headers["x-patchbay-model"] for answer in answers] == [sonnet, sonnet]
    assert answers[1].headers["x-patchbay-fallback"] == f"{name} -> {pool.name}:{sonnet}"
    assert len(pool.asked()) == 3


def test_what_a_target_answered_stands_when_the_others_cannot_be_had(pools: Pools) -> None:
    first = pools.make({"a": "status=403"})
    second = pools.make({"b": "status=429,ra=600"})
    assert second.ask().status == 429
    answer = ask(pools, route(pools, first, second))
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (403, "1")


def test_a_refused_account_waits_for_one_that_is_back_in_a_moment(pools: Pools) -> None:
    pool = pools.make(
        {"spent": member(position=1), "bad": member("status=403", position=2)}, strategy="fill-first"
    )
    pool.script("spent", "status=429,ra=1")
    answer = pool.ask()
    assert (answer.status, pool.asked()) == (200, ["spent", "bad", "spent"])


# --- never after content ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut@3", "rst,cut@3", "error@3:overloaded_error", "stall@3"])
@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_nothing_is_sent_again_once_content_came(pools: Pools, protocol: str, fault: str) -> None:
    pool = pools.make({"a": fault, "b": fault}, protocol=protocol)
    answer = pool.ask(stream=True)
    assert (answer.status, len(pool.asked())) == (200, 1)
    assert b'"error"' in answer.body
    assert b"[DONE]" not in answer.body
    assert b"message_stop" not in answer.body
    assert eventually(lambda: set(pool.running().values()) == {0})


def test_an_error_in_the_middle_of_a_stream_counts_against_its_account(pools: Pools) -> None:
    members = {"a": member("error@3:overloaded_error", position=1), "b": member(position=2)}
    pool = pools.make(members, protocol="anthropic", strategy="fill-first")
    assert b'"error"' in pool.ask(stream=True).body
    assert eventually(lambda: pool.status("a") == "cooling", within=1)
    assert pool.ask().headers["x-patchbay-account"] == pool.alias("b")


# --- the retry budget ---------------------------------------------------------------------------------------


def test_retries_stay_a_small_share_when_everything_fails(pools: Pools) -> None:
    pool = pools.make(dict.fromkeys("abc", "status=500"))
    began = time.monotonic()
    answers = [one.result() for one in [pool.asking() for _ in range(200)]]
    seconds = time.monotonic() - began
    assert {answer.status for answer in answers} == {500}
    assert 200 < len(pool.asked()) <= 1.2 * 200 + seconds + 1


def test_a_used_up_budget_does_not_keep_anybody_from_a_healthy_target(pools: Pools) -> None:
    down, fine = pools.make(dict.fromkeys("abc", "status=500")), pools.make({"d": ""})
    name = route(pools, down, fine)
    answers = [one.result() for one in [pools.threads.submit(ask, pools, name) for _ in range(60)]]
    assert Counter(answer.status for answer in answers) == {200: 60}
    assert len(down.asked()) <= 1.2 * 60 + 2


def test_the_last_account_is_never_out_for_faults(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    pool.script("a", *["status=500"] * 6)
    assert [pool.ask().status for _ in range(3)] == [500] * 3
    assert pool.ask().status == 200
    assert pool.status("a") == "ready"
