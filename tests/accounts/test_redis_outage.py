"""Redis slow, silent, gone, refusing, back again: requests go on, and then the processes agree again."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.pool import configured_state
from accounts.pool_state import LocalPoolState
from accounts.redis_link import DEFAULT_TIMES, Times
from accounts.redis_scripts import PREFIX
from accounts.redis_state import RedisPoolState
from accounts.reports import Report, Result
from accounts.spending import periods
from accounts.windows import BenchKind
from backends.wire.limits import Limits, Reading
from tests.accounts.sharing import TIMES, account, leased, refused, shared, until
from tests.redis_server import RedisServer, one_redis, redis
from tests.slow_proxy import SlowProxy, slow_proxy

__all__ = ["one_redis", "redis"]
A, B = account("a"), account("b")
REFUSED = Report(Result.REFUSED, reason="no")
SERVED = Report(Result.SERVED)
HASTY = Times(patience=0.05, retry=0.1, beat=0.1, dead=1.0, lease=4.0)


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server of its own, which the test may kill."""
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def behind_proxy(server: RedisServer, times: Times) -> AsyncIterator[tuple[SlowProxy, RedisPoolState]]:
    """A state that is in step, and what its connection runs through."""
    async with (
        slow_proxy(server.port) as proxy,
        shared(f"redis://127.0.0.1:{proxy.port}/0", times=times) as (state,),
    ):
        yield proxy, state


def counted(server: RedisServer) -> dict[str, str]:
    """What Redis counts as running, by account and by account and process."""
    words = server.ask("HGETALL", f"{PREFIX}:load").split("\r\n")[2::2]
    return dict(zip(words[::2], words[1::2], strict=True))


def facts(server: RedisServer) -> int:
    """How many Redis keeps."""
    return int(server.ask("HLEN", f"{PREFIX}:facts").strip().removeprefix(":"))


def test_leases_of_a_dead_process_end_within_half_a_minute() -> None:
    assert DEFAULT_TIMES.lease + 2 * DEFAULT_TIMES.beat <= 30


async def test_a_request_waits_no_longer_than_its_patience_and_the_next_ones_not_at_all(
    redis: RedisServer,
) -> None:
    async with behind_proxy(redis, HASTY) as (proxy, state):
        proxy.delay = 30.0
        began = time.monotonic()
        for _ in range(100):
            (await leased(state, A)).settle()
        assert time.monotonic() - began < 3  # a hundred times 50 ms would be 5
        assert "took longer than 50 ms" in state.problems()[0]
        proxy.delay = 0.0
        await until(lambda: not state.problems(), state)


async def test_a_server_that_is_always_slow_is_not_asked_again_and_again(redis: RedisServer) -> None:
    async with slow_proxy(redis.port) as proxy:
        proxy.delay = 0.06
        state = RedisPoolState(f"redis://127.0.0.1:{proxy.port}/0", HASTY)
        state.start()
        await until(lambda: "took longer" in "".join(state.problems()))
        assert not state.is_shared
        (await leased(state, A)).settle()
        await state.stop()


async def test_cancelled_requests_leave_no_reply_and_no_lease_behind(redis: RedisServer) -> None:
    """Each request asks for an account of its own: a reply that reached another request would show."""
    rng = random.Random(108)
    async with behind_proxy(redis, replace(TIMES, lease=60.0)) as (proxy, state):
        before, proxy.delay = proxy.connections, 0.025

        async def request(number: int) -> None:
            own = account(f"own{number}")
            lease = await leased(state, own)
            try:
                assert lease.account is own
                await asyncio.sleep(rng.uniform(0, 0.1))
            finally:
                lease.settle()

        tasks = [asyncio.ensure_future(request(number)) for number in range(500)]
        loop = asyncio.get_running_loop()
        for task in rng.sample(tasks, 350):
            loop.call_later(rng.uniform(0, 0.2), task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        assert 200 < sum(result is not None for result in results) <= 350
        await until(lambda: not counted(redis))
        assert not any(state.account(f"own{number}").in_flight for number in range(500))
        assert (proxy.connections, state.problems()) == (before, [])


async def test_replies_stay_apart_while_connections_break(redis: RedisServer) -> None:
    """Replies that come too late belong to a connection that is not used any more."""
    rng = random.Random(109)
    async with behind_proxy(redis, HASTY) as (proxy, state):

        async def request(number: int) -> None:
            await asyncio.sleep(rng.uniform(0, 0.9))
            own = account(f"own{number}")
            lease = await leased(state, own)
            assert lease.account is own
            lease.settle()

        async def vary() -> None:
            while True:
                proxy.delay = rng.choice((0.0, 0.0, 0.04, 0.06))
                await asyncio.sleep(0.05)

        varying = asyncio.ensure_future(vary())
        await asyncio.gather(*(request(number) for number in range(500)))
        varying.cancel()
        proxy.delay = 0.0
        await until(lambda: state.is_shared and not counted(redis), state)


async def test_each_process_goes_on_at_its_share_of_the_pace(mortal: RedisServer) -> None:
    paced = account("paced", interval_s=30.0)
    async with shared(mortal.url, 3) as states:
        mortal.kill()
        await until(lambda: all(state.problems() for state in states), *states)
        assert "1/3 of each account's pace" in states[0].problems()[0]
        for state in states:
            (await leased(state, paced)).settle()
            failure = await refused(state, paced)
            assert failure.recovers_at is not None
            assert 60 < failure.recovers_at - state.now() <= 90
        mortal.start()
        await until(lambda: all(state.is_shared for state in states), *states)
        assert (await refused(states[0], paced)).is_brief(math.inf)  # Redis forgot it, the processes did not


async def test_what_happened_meanwhile_is_known_to_all_afterwards(mortal: RedisServer) -> None:
    capped = account("capped", daily_limit=Decimal(10))
    async with shared(mortal.url, 2) as (here, there):
        running = await leased(here, A, session="s")
        (await leased(here, capped)).settle(Decimal(2))
        lease = await leased(here, B)
        lease.report(REFUSED)
        await until(lambda: there.account("b").benches and there.account("capped").spent, there)
        mortal.kill()
        await until(lambda: here.problems() and there.problems(), here, there)
        there.lift(there.account("b"), list(there.account("b").benches))
        other = await leased(there, A)
        other.report(REFUSED)
        (await leased(there, capped)).settle(Decimal(3))
        (await leased(here, capped)).settle(Decimal(4))
        mortal.start()
        await until(lambda: here.is_shared and there.is_shared, here, there)
        async with shared(mortal.url) as (late,):
            for state in (here, there, late):
                await until(lambda s=state: s.account("a").benches and not s.account("b").benches, state)
                await until(lambda s=state: sum(s.account("capped").spent.values()) == 18)  # day and month
                await until(lambda s=state: s.account("a").in_flight == 2)
            assert (await leased(late, A, B, session="s")).account is B  # its own account is benched
        running.settle()
        other.settle()
        lease.settle()
        await until(lambda: not counted(mortal))


async def test_an_answer_that_got_lost_is_not_counted_twice(redis: RedisServer) -> None:
    async with behind_proxy(redis, HASTY) as (proxy, state):
        lease = await leased(state, A)
        proxy.answer_delay = 30.0
        lease.settle(Decimal("0.5"))
        (await leased(state, A)).settle()
        await until(lambda: state.problems(), state)
        assert set(counted_money(redis, periods(time.time())[0]).values()) == {0.5}
        proxy.answer_delay = 0.0
        await until(lambda: state.is_shared, state)
        (await leased(state, A)).settle(Decimal("0.25"))
        async with shared(redis.url) as (late,):
            await until(lambda: set(late.account("a").spent.values()) == {Decimal("0.75")}, late)


async def test_what_runs_is_counted_again_as_soon_as_redis_is_back(mortal: RedisServer) -> None:
    async with shared(mortal.url, times=replace(TIMES, beat=1.0)) as (state,):
        lease = await leased(state, A)
        await until(lambda: counted(mortal))
        mortal.kill()
        await until(lambda: state.problems(), state)
        mortal.start()
        async with asyncio.timeout(5):
            await until(lambda: counted(mortal).get("a") == "1", state)
        lease.settle()


async def test_news_that_are_late_do_not_undo_newer_ones(redis: RedisServer) -> None:
    async with behind_proxy(redis, TIMES) as (proxy, late), shared(redis.url) as (prompt,):
        old, new = await leased(late, A), await leased(prompt, A)
        proxy.delay = 0.1
        old.report(saw(0.25))
        await asyncio.sleep(0.01)
        new.report(saw(0.5))
        await until(lambda: late.account("a").windows["5h", ""].used == 0.5, late)
        assert prompt.account("a").windows["5h", ""].used == 0.5
        async with shared(redis.url) as (after,):
            assert after.account("a").windows["5h", ""].used == 0.5


def saw(used: float) -> Report:
    """An answer that shows how much of a window is used."""
    return Report(Result.SERVED, Limits((Reading("5h", "", used, None, None, None, False),)))


async def test_lost_announcements_are_noticed(redis: RedisServer) -> None:
    """The connection for announcements may die without a word."""
    async with behind_proxy(redis, TIMES) as (proxy, state), shared(redis.url) as (other,):
        proxy.silenced = (b"SUBSCRIBE", b"subscribe")
        (await leased(other, A)).report(REFUSED)
        await until(lambda: state.problems(), state)
        proxy.silenced = ()
        await until(lambda: state.account("a").benches, state)


async def test_a_killed_connection_comes_back(redis: RedisServer) -> None:
    async with shared(redis.url) as (state,):
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: state.problems(), state)
        await until(lambda: state.is_shared, state)


async def test_a_paused_server_holds_nobody_up(redis: RedisServer) -> None:
    async with shared(redis.url, times=HASTY) as (state,):
        redis.ask("CLIENT", "PAUSE", "400")
        for _ in range(50):
            (await leased(state, A)).settle()
        assert state.problems()
        await until(lambda: state.is_shared and not counted(redis), state)


async def test_without_redis_from_the_start_it_is_said_and_served() -> None:
    server = RedisServer()
    state = RedisPoolState(server.url, TIMES)
    state.start()
    (await leased(state, A)).settle()
    await until(lambda: "ConnectionError" in state.problems()[0], state)
    assert "Check REDIS_URL" in state.problems()[0]
    await state.stop()


async def test_a_refused_password_is_said_without_it(mortal: RedisServer) -> None:
    mortal.ask("CONFIG", "SET", "requirepass", "right-password")
    state = RedisPoolState(f"redis://:wrong-password@127.0.0.1:{mortal.port}/0", TIMES)
    state.start()
    await until(lambda: "Authentication" in state.problems()[0], state)
    assert "wrong-password" not in state.problems()[0]
    await state.stop()


def test_a_url_that_cannot_be_read_is_refused_without_its_password(settings: Any) -> None:
    settings.REDIS_URL = "redis://:pa#ss-word@127.0.0.1:6379/0"
    with pytest.raises(ImproperlyConfigured, match="percent-encode") as caught:
        configured_state()
    assert "pa" not in str(caught.value).replace("password", "")
    settings.REDIS_URL = ""
    assert type(configured_state()) is LocalPoolState


async def test_facts_that_are_long_over_are_dropped(redis: RedisServer) -> None:
    """A day after its end nobody needs a bench, and clients that make up model names fill nothing up."""
    async with shared(redis.url) as (state,):
        for number in range(450):
            lease = await leased(state, A, model=f"made-up-{number}")
            lease.report(Report(Result.OVERLOADED))
            lease.settle()
        await until(lambda: facts(redis) == 450)
        redis.ask("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: facts(redis) <= 200)
        assert (BenchKind.FAULT, "made-up-449") in state.account("a").benches


async def test_money_that_only_the_database_remembers_counts(redis: RedisServer) -> None:
    """After a restart of everything, Redis may know less than the database, or more."""
    day, month = periods(time.time())
    async with shared(redis.url) as (knowing,):
        (await leased(knowing, A)).settle(Decimal(2))
        (await leased(knowing, B)).settle(Decimal(7))
        late = RedisPoolState(redis.url, TIMES)
        late.account("a").spent.update({day: Decimal(5), month: Decimal(6)})
        late.account("b").spent.update({day: Decimal(1)})
        late.start()
        await until(lambda: late.is_shared, late)
        assert late.account("a").spent == {day: Decimal(5), month: Decimal(6)}
        assert late.account("b").spent == {day: Decimal(7), month: Decimal(7)}
        capped = account("a", daily_limit=Decimal("5.5"))
        await until(lambda: counted_money(redis, day) == {"a": 5, "b": 7})
        assert "of $5.50 for this day" in str(await refused(knowing, capped, cost=Decimal(1)))
        await late.stop()


def counted_money(server: RedisServer, period: str) -> dict[str, float]:
    """What Redis counts as spent, in US dollars."""
    words = server.ask("HGETALL", f"{PREFIX}:spent:{period}").split("\r\n")[2::2]
    return {uid: int(units) / 1e8 for uid, units in zip(words[::2], words[1::2], strict=True)}
