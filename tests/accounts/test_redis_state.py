"""The shared state behaves as the local one, and several of them as one."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from accounts.clock import clock
from accounts.pool_state import LocalPoolState
from accounts.reports import Report, Result
from accounts.standing import ObstacleKind
from accounts.windows import BenchKind, BenchState
from backends.wire.limits import Limits, Reading
from tests.accounts.sharing import account, leased, refused, shared, until
from tests.redis_server import RedisServer, one_redis, redis

__all__ = ["one_redis", "redis"]
A, B, C = account("a"), account("b"), account("c")
SLOW = account("slow", interval_s=30.0)
REFUSED = Report(Result.REFUSED, reason="no")
SERVED = Report(Result.SERVED)


@pytest.fixture(params=["local", "redis"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[LocalPoolState]:
    if request.param == "local":
        yield LocalPoolState()
        return
    server: RedisServer = request.getfixturevalue("redis")
    async with shared(server.url) as states:
        yield states[0]


def reading(
    used: float, *, window: str = "5h", resets_in: float | None = 3600, model_class: str = ""
) -> Reading:
    resets_at = None if resets_in is None else time.time() + resets_in
    return Reading(window, model_class, used, None, None, resets_at, False)


def saw(*readings: Reading, claim: str = "") -> Report:
    return Report(Result.SERVED, Limits(tuple(readings), claim=claim))


def put_due_bench(state: LocalPoolState) -> None:
    """Account a was limited, and the time is up: the next request is the probe."""
    now = state.now()
    bench = BenchState(BenchKind.LIMITED, "", "limited", 1, now - 2, now - 1)
    state.put_bench(state.account("a"), bench)


# --- as the local state -------------------------------------------------------------------------------------------


async def test_equal_accounts_take_turns(state: LocalPoolState) -> None:
    order = []
    for _ in range(4):
        lease = await leased(state, A, B)
        order.append(lease.account.alias)
        lease.settle()
    assert order == ["a", "b", "a", "b"]


async def test_what_runs_counts_until_it_is_settled_once(state: LocalPoolState) -> None:
    first, second = await leased(state, A, B), await leased(state, A, B)
    assert {first.account.uid, second.account.uid} == {"a", "b"}
    assert state.account("a").in_flight == 1
    first.settle()
    first.settle()
    second.settle()
    assert [state.account(uid).in_flight for uid in "ab"] == [0, 0]


async def test_a_session_stays_with_its_account(state: LocalPoolState) -> None:
    first = await leased(state, A, B, session="s", key="k")
    again = await leased(state, A, B, session="s", key="k")
    assert again.account is first.account
    assert again.choice.reason == "the session's account"
    other = await leased(state, A, B, session="s", key="another client")
    assert other.account is not first.account


async def test_a_session_moves_when_its_account_cannot_serve_and_stays_there(state: LocalPoolState) -> None:
    first = await leased(state, A, B, session="s")
    other = await leased(state, A, B, session="s", exclude={first.account.uid})
    again = await leased(state, A, B, session="s")
    assert other.account is not first.account
    assert again.account is other.account


async def test_the_pace_of_an_account_is_kept(state: LocalPoolState) -> None:
    (await leased(state, SLOW)).settle()
    failure = await refused(state, SLOW)
    assert failure.is_brief(math.inf)
    assert failure.recovers_at is not None
    assert 20 < failure.recovers_at - state.now() <= 30


async def test_a_session_waits_for_the_pace_of_its_account(state: LocalPoolState) -> None:
    (await leased(state, SLOW, A, session="s", exclude={"a"})).settle()
    assert (await refused(state, SLOW, A, session="s")).is_brief(math.inf)
    assert (await leased(state, SLOW, A)).account is A


async def test_a_benched_account_is_probed_by_one_request(state: LocalPoolState) -> None:
    put_due_bench(state)
    probe = await leased(state, A)
    failure = await refused(state, A)
    assert failure.obstacles["a"].kind is ObstacleKind.PROBING
    probe.report(SERVED)
    second = await leased(state, A)
    assert not state.account("a").benches
    for each in (probe, second):
        each.settle()


async def test_a_probe_that_says_nothing_makes_room_for_the_next(state: LocalPoolState) -> None:
    put_due_bench(state)
    (await leased(state, A)).settle()
    (await leased(state, A)).settle()


async def test_money_is_reserved_then_spent(state: LocalPoolState) -> None:
    capped = account("capped", daily_limit=Decimal(1))
    lease = await leased(state, capped, cost=Decimal("0.6"))
    assert "reserved" in str(await refused(state, capped, cost=Decimal("0.6")))
    lease.settle(Decimal("0.1"))
    lease = await leased(state, capped, cost=Decimal("0.6"))
    lease.settle(Decimal("0.9"))
    assert (await refused(state, capped)).obstacles["capped"].kind is ObstacleKind.GUARD


async def test_readings_decide_who_is_chosen(state: LocalPoolState) -> None:
    lease = await leased(state, A)
    lease.report(saw(reading(0.9)))
    lease.settle()
    assert (await leased(state, A, B)).account is B


# --- several as one -----------------------------------------------------------------------------------------------


async def test_the_pace_holds_over_all(redis: RedisServer) -> None:
    async with shared(redis.url, 3) as states:
        results = await asyncio.gather(*(leased(state, SLOW) for state in states), return_exceptions=True)
        assert sum(not isinstance(result, Exception) for result in results) == 1


async def test_a_probe_is_one_over_all(redis: RedisServer) -> None:
    async with shared(redis.url, 3) as states:
        put_due_bench(states[0])
        await until(lambda: all(state.account("a").benches for state in states), *states)
        results = await asyncio.gather(*(leased(state, A) for state in states), return_exceptions=True)
        probes = [result for result in results if not isinstance(result, BaseException)]
        assert len(probes) == 1
        probes[0].report(SERVED)
        await until(lambda: not any(state.account("a").benches for state in states), *states)


async def test_a_session_is_known_to_all(redis: RedisServer) -> None:
    async with shared(redis.url, 2) as (here, there):
        first = await leased(here, A, B, C, session="s", key="k")
        again = await leased(there, A, B, C, session="s", key="k")
        assert again.account is first.account
        assert again.choice.is_bound
        async with shared(redis.url) as (late,):
            assert late.live_bindings() == 1


async def test_a_session_is_found_among_more_accounts_than_are_claimed(redis: RedisServer) -> None:
    many = [account(f"m{number:02}") for number in range(40)]
    async with shared(redis.url, 2) as (here, there):
        bound = (await leased(here, *many, session="s", exclude={a.uid for a in many[:-1]})).account
        there.bindings.clear()  # as if the announcement were still under way
        assert (await leased(there, *many, session="s")).account is bound is many[-1]


async def test_load_counts_over_all(redis: RedisServer) -> None:
    async with shared(redis.url, 2) as (here, there):
        leases = [await leased(here, A) for _ in range(5)]
        await leased(there, A)
        assert there.account("a").in_flight == 6
        assert (await leased(there, A, B)).account is B
        for lease in leases:
            lease.settle()
        await until(lambda: there.account("a").in_flight == 1)
        await until(lambda: here.account("a").in_flight == here.account("b").in_flight == 1)


async def test_windows_benches_and_claims_are_told_and_merged_by_the_newest(redis: RedisServer) -> None:
    async with shared(redis.url, 2) as (here, there):
        lease = await leased(here, A)
        lease.report(saw(reading(0.5), reading(0.25, window="7d_opus", model_class="opus"), claim="5h"))
        await until(lambda: there.account("a").claim == "5h", there)
        known = there.account("a").windows
        assert known["5h", ""].reading.utilization == 0.5
        assert known["7d_opus", "opus"].reading.utilization == 0.25
        assert known["5h", ""].retires_at == pytest.approx(clock() + 3600, abs=5)
        assert known["5h", ""].reading.resets_at == pytest.approx(time.time() + 3600, abs=5)
        lease.report(REFUSED)
        await until(lambda: there.account("a").benches, there)
        bench = there.account("a").benches[BenchKind.AUTH, ""]
        assert bench.reason == "no"
        assert bench.until == pytest.approx(here.account("a").benches[BenchKind.AUTH, ""].until, abs=1)
        lease.report(SERVED)
        await until(lambda: not there.account("a").benches, there)
        async with shared(redis.url) as (late,):
            assert late.account("a").windows.keys() == known.keys()
            assert not late.account("a").benches
        assert not there.dirty  # whoever learned it stores it


async def test_a_money_limit_holds_over_all(redis: RedisServer) -> None:
    capped = account("capped", monthly_limit=Decimal(1))
    async with shared(redis.url, 3) as states:
        results = await asyncio.gather(
            *(leased(state, capped, cost=Decimal("0.3")) for state in states for _ in range(4)),
            return_exceptions=True,
        )
        leases = [result for result in results if not isinstance(result, BaseException)]
        failures = {str(result) for result in results if isinstance(result, BaseException)}
        assert len(leases) == 3
        assert all("reserved" in failure for failure in failures)
        for lease in leases:
            lease.settle(Decimal("0.25"))
        await until(lambda: {str(s.account("capped").reserved.normalize()) for s in states} == {"0"})
        await until(lambda: all(sum(s.account("capped").spent.values()) == Decimal("1.5") for s in states))
        (await leased(states[0], capped, cost=Decimal("0.25"))).settle(Decimal("0.25"))
        assert "reserved" in str(await refused(states[1], capped, cost=Decimal("0.01")))


async def test_a_machine_whose_clocks_are_wrong_agrees(redis: RedisServer) -> None:
    """Clocks that are ten minutes early or late, and clocks that count from another moment."""
    limited = Report(Result.LIMITED, Limits((reading(1.0, resets_in=1800),), retry_at=time.time() + 900))
    skews = ((600.0, 50_000.0), (-600.0, -1_000.0))
    async with shared(redis.url) as (right,):
        for wall_skew, clock_skew in skews:
            options: dict[str, Any] = {
                "wall": lambda skew=wall_skew: time.time() + skew,
                "now": lambda skew=clock_skew: clock() + skew,
            }
            async with shared(redis.url, **options) as (wrong,):
                uid = f"skewed{wall_skew}"
                lease = await leased(right, account(uid))
                lease.report(limited)
                await until(lambda uid=uid, wrong=wrong: wrong.account(uid).benches, wrong)
                there, here = wrong.account(uid), right.account(uid)
                (bench,), (window,) = there.benches.values(), there.windows.values()
                assert bench.until - wrong.now() == pytest.approx(900, abs=5)
                assert window.retires_at - wrong.now() == pytest.approx(1800, abs=5)
                assert window.reading.resets_at == pytest.approx(wrong.wall() + 1800, abs=5)
                lease.report(SERVED)  # leased before the bench was set: it proves nothing
                assert here.benches
                wrong.lift(there, list(there.benches))
                await until(lambda here=here: not here.benches, right)


async def test_an_account_that_was_resumed_by_a_fast_clock_can_be_benched(state: LocalPoolState) -> None:
    resumed = account("resumed", resumed_at=time.time() + 600)
    lease = await leased(state, resumed)
    lease.report(REFUSED)
    assert (await refused(state, resumed)).obstacles["resumed"].kind is ObstacleKind.NEEDS_LOGIN


async def test_who_uses_another_database_of_the_server_hears_nothing(redis: RedisServer) -> None:
    async with shared(redis.url, 2) as (here, there), shared(redis.url.replace("/0", "/5")) as (stranger,):
        (await leased(here, A)).report(REFUSED)
        here.order.enter("key", ((("b", "m"),), frozenset(("a",)), ""))
        await until(lambda: there.account("a").benches and there.order.elsewhere, there)
        await leased(stranger, B)  # its own answer comes after what it might have heard
        assert stranger.processes == 1
        assert not stranger.account("a").benches
        assert not stranger.order.elsewhere


async def test_nothing_secret_reaches_redis(redis: RedisServer) -> None:
    """Only names that say nothing, numbers and reasons without keys."""
    secret, session, client = "sk-ant-0123456789abcdefghij", "session-of-ann", "key-of-ann"
    async with shared(redis.url, 2) as (here, there):
        lease = await leased(here, A, session=session, key=client)
        lease.report(Report(Result.REFUSED, reason=f"invalid x-api-key {secret}"))
        here.order.enter(client, ((("backend-of-ann", "m"),), frozenset(("a",)), ""))
        await until(lambda: there.account("a").benches and there.order.elsewhere, there)
        stored = ""
        for key in redis.ask("KEYS", "*").split()[2::2]:
            kind = redis.ask("TYPE", key).strip().removeprefix("+")
            words = {"hash": ["HGETALL", key], "zset": ["ZRANGE", key, "0", "-1"], "string": ["GET", key]}
            stored += redis.ask(*words[kind])
        assert "invalid x-api-key [redacted]" in stored
        for word in (secret, session, client, "backend-of-ann"):
            assert word not in stored
