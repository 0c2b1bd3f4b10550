"""Benches are schedules of probes: out at once, back on time, one real request tries, and its answer decides."""

from __future__ import annotations

import time

import pytest

from tests.proxyapp.pools import Pool, Pools, eventually, member


def times(pools: Pools, pool: Pool, name: str) -> list[float]:
    """When upstream was asked as this account."""
    entries = pools.upstream.journal.entries
    return [entry.started for entry in entries if entry.key == pool.keys[name] and entry.method == "POST"]


def is_queued(pools: Pools, count: int) -> bool:
    """Whether exactly so many requests wait."""
    return bool(pools.patchbay.get("/accounts").json()["queued"] == count)


def test_a_limited_account_is_out_after_one_answer_and_back_on_time(pools: Pools) -> None:
    pool = pools.make({"a": member(position=1), "b": member(position=2)}, strategy="fill-first")
    pool.script("a", "status=429,ra=2")
    assert [pool.ask().status for _ in range(3)] == [200] * 3
    assert pool.asked() == ["a", "b", "b", "b"]
    row = pool.show("a")
    assert row["status"] == "cooling"
    assert 0 < row["cooldownMs"] <= 2000
    assert "limit" in row["reason"]
    assert eventually(lambda: pool.ask().headers["x-patchbay-account"] == pool.alias("a"))
    first, back = times(pools, pool, "a")
    assert 1.9 < back - first < 5


@pytest.mark.parametrize("clock", ["0s", "10m", "-10m"])
def test_a_date_is_read_by_the_provider_s_own_clock(pools: Pools, clock: str) -> None:
    pool = pools.make({"a": f"status=429,ra=date:30,clock={clock}"})
    answer = pool.ask()
    assert answer.status == 429
    assert 25_000 < pool.show("a")["cooldownMs"] <= 31_000
    assert 25 <= int(answer.headers["retry-after"]) <= 31


def test_one_request_probes_while_the_others_wait_and_then_all_go(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    pool.script("a", "status=429,ra=1", "ttfb=700ms")
    asked = [pool.asking()]
    assert eventually(lambda: is_queued(pools, 1))
    asked += [pool.asking() for _ in range(4)]
    assert eventually(lambda: is_queued(pools, 5))
    assert {one.result().status for one in asked} == {200}
    first, probe, *others = times(pools, pool, "a")
    assert probe - first > 0.95
    assert len(others) == 4
    assert min(others) - probe > 0.65, "nobody else goes before the probe has shown how it is"


def test_a_probe_that_fails_benches_again_and_nobody_else_tries(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    pool.script("a", "status=429,ra=1", "status=429,ra=600")
    asked = [pool.asking()]
    assert eventually(lambda: is_queued(pools, 1))
    asked += [pool.asking() for _ in range(3)]
    assert eventually(lambda: is_queued(pools, 4))
    answers = [one.result() for one in asked]
    assert {answer.status for answer in answers} == {429}
    assert min(int(answer.headers["retry-after"]) for answer in answers) > 500
    assert len(pool.asked()) == 2


def test_a_stream_s_first_bytes_end_the_probe(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    pool.script("a", "status=429,ra=1", "events=4,gap=600ms")
    first = pool.asking(stream=True)
    assert eventually(lambda: is_queued(pools, 1))
    second = pool.asking()
    assert second.result().status == 200
    assert not first.done(), "the probe's stream runs for long; its start was enough"
    assert first.result().status == 200


def test_a_probe_that_takes_long_does_not_hold_the_others_up_for_ever(pools: Pools) -> None:
    pool = pools.make({"a": ""}, first_byte_plain_timeout_s=20.0)
    pool.script("a", "status=429,ra=1", "ttfb=9s")
    slow = pool.asking()
    assert eventually(lambda: len(pool.asked()) == 2)
    assert eventually(lambda: pool.ask().status == 200)
    assert not slow.done(), "a refusal would have come at once, and this answer may still take minutes"


@pytest.mark.parametrize("fault", ["status=429,ra=600", "status=402", "status=401"])
def test_resuming_ends_every_bench_at_once(pools: Pools, fault: str) -> None:
    pool = pools.make({"a": ""})
    pool.script("a", fault)
    assert pool.ask().status != 200
    refused = pool.ask()
    assert (refused.status in (429, 503), len(pool.asked())) == (True, 1)
    pool.do("resume", "a")
    assert pool.status("a") == "ready"
    assert pool.ask().status == 200


def test_a_resume_reaches_those_who_wait(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    pool.script("a", "status=429,ra=3")
    asked = pool.asking()
    assert eventually(lambda: is_queued(pools, 1))
    began = time.monotonic()
    pool.do("resume", "a")
    assert asked.result().status == 200
    assert time.monotonic() - began < 2.5


def test_a_burst_of_refusals_counts_once(pools: Pools) -> None:
    pool = pools.make({"a": "ttfb=300ms,status=401"})
    answers = [one.result() for one in [pool.asking() for _ in range(6)]]
    assert {answer.status for answer in answers} == {503}
    row = pool.show("a")
    assert row["status"] == "needs-login"
    assert 50_000 < row["cooldownMs"] <= 67_000, "as after one refusal, not six"
    assert "401" in row["reason"]


def test_a_good_answer_proves_the_key(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    slow, refused = "ttfb=700ms", "status=401"
    pool.script("a", slow, refused)
    good = pool.asking()
    assert eventually(lambda: len(pool.asked()) == 1)
    assert pool.ask().status == 503
    assert pool.status("a") == "needs-login"
    assert good.result().status == 200
    assert eventually(lambda: pool.status("a") == "ready")


def test_a_reading_with_room_ends_the_bench_of_its_window(pools: Pools) -> None:
    pool = pools.make({"a": ""}, protocol="anthropic")
    pool.script(
        "a", "status=429,rl=unified,u7d_opus=1,claim=seven_day_opus,ra=600", "rl=unified,u7d_opus=0.3"
    )
    assert pool.ask(model="claude-opus-4-8").status == 429
    assert pool.ask(model="claude-opus-4-8").status == 429
    assert (
        pool.ask(model="claude-sonnet-4-5").status == 200
    )  # and its headers tell that the other is free again
    assert pool.ask(model="claude-opus-4-8").status == 200
    assert len(pool.asked()) == 3


def test_a_subscription_s_429_names_its_window_and_its_reset(pools: Pools) -> None:
    refusal = "status=429,rl=unified,u5h=1.01,reset=40m,claim=five_hour"
    pool = pools.make(
        {"a": member(position=1), "b": member(position=2)}, protocol="anthropic", strategy="fill-first"
    )
    pool.script("a", refusal)
    assert pool.ask().status == 200
    row = pool.show("a")
    assert (row["claim"], row["headroom"]) == ("5h", 0)
    assert 2_300_000 < row["cooldownMs"] <= 2_400_000


def test_a_family_s_429_leaves_the_other_families(pools: Pools) -> None:
    refusal = "status=429,rl=unified,u5h=0.2,u7d_opus=1,reset7d=2h,claim=seven_day_opus"
    pool = pools.make({"a": ""}, protocol="anthropic")
    pool.script("a", refusal)
    assert pool.ask(model="claude-opus-4-8").status == 429
    assert pool.ask(model="claude-sonnet-4-5").status == 200
    assert pool.ask(model="claude-opus-4-8").status == 429
    assert len(pool.asked()) == 2
    assert pool.status("a") == "ready"


def test_counting_tokens_says_nothing_about_messages(pools: Pools) -> None:
    pool = pools.make({"a": "rl=unified,u5h=0.3"}, protocol="anthropic")
    body = pool.body("x")
    body.pop("max_tokens")
    pool.script("a", "status=429,ra=600")
    assert pools.patchbay.post("/v1/messages/count_tokens", body).status == 429
    assert pool.status("a") == "ready"
    assert pool.ask().status == 200
