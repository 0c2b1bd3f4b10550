"""Limits of client keys over a real Redis: several processes let through what one would."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from accounts.key_limits import Hold, Spent
from accounts.key_refusals import Limit, LimitReached
from accounts.key_use import KeyLimits, Period
from accounts.redis_key_limits import RedisKeyLimits
from accounts.redis_money import to_units
from accounts.redis_scripts import PREFIX
from tests.accounts.sharing import TIMES, until
from tests.redis_server import RedisServer, one_redis, redis

__all__ = ["one_redis", "redis"]
DOLLAR = Decimal(1)
FREE = KeyLimits(8, "free")


def limits(**fields: object) -> KeyLimits:
    return KeyLimits(7, "ci", **fields)  # type: ignore[arg-type]


@dataclass
class Ledger:
    """The database that all processes share."""

    amounts: Spent = field(default_factory=dict)

    def save(self, state: RedisKeyLimits) -> None:
        """What a process writes down in the background."""
        taken = state.take_unsaved()
        for place, amount in taken.items():
            self.amounts[place] = self.amounts.get(place, Decimal(0)) + amount
        state.saved([(*place, self.amounts[place]) for place in taken])


@asynccontextmanager
async def shared(url: str, count: int) -> AsyncIterator[list[RedisKeyLimits]]:
    """Several states in step, as if each were in a process of its own."""
    states = [RedisKeyLimits(url, f"process{number}", TIMES) for number in range(count)]
    for state in states:
        state.start()
    try:
        await until(lambda: all(state.is_shared and state.processes == count for state in states))
        yield states
    finally:
        for state in states:
            await state.stop()


async def refused(state: RedisKeyLimits, own: KeyLimits, tokens: int = 0, cost: str = "0") -> LimitReached:
    with pytest.raises(LimitReached) as found:
        await state.reserve(own, tokens, Decimal(cost))
    return found.value


async def has_room(state: RedisKeyLimits, own: KeyLimits, cost: Decimal) -> bool:
    """Whether a request of this cost may begin; it ends at once."""
    try:
        (await state.reserve(own, 0, cost)).refund()
    except LimitReached:
        return False
    return True


async def test_requests_are_counted_together(redis: RedisServer) -> None:
    own = limits(requests=3)
    async with shared(redis.url, 2) as (here, there):
        for state in (here, there, here):
            (await state.reserve(own)).refund()
        for state in (here, there):
            found = await refused(state, own)
            assert found.shortage.limit is Limit.REQUESTS
            assert found.shortage.used == 3
            assert 50 < found.shortage.wait_s <= 60
        assert not await has_room(there, own, DOLLAR)


async def test_tokens_are_counted_together_and_settled(redis: RedisServer) -> None:
    own = limits(tokens=1000)
    async with shared(redis.url, 2) as (here, there):
        hold = await here.reserve(own, 900)
        found = await refused(there, own, 200)
        assert (found.shortage.limit, found.shortage.used, found.shortage.left) == (Limit.TOKENS, 900, 100)
        hold.settle(100, None)
        over = await here.reserve(own, 100)  # the same connection: what was settled is known by now
        assert (await there.reserve(own, 800)).tokens == 800
        over.settle(300, None)
        await here.reserve(FREE)
        found = await refused(there, own, 1)
        assert found.shortage.used == 1200
        assert (await refused(there, own, 1001)).shortage.is_hopeless


async def test_a_budget_is_never_passed_whoever_asks(redis: RedisServer) -> None:
    own = limits(budget=Decimal(10), period=Period.MONTH)
    async with shared(redis.url, 3) as states:

        async def one(number: int) -> Hold | None:
            try:
                return await states[number % 3].reserve(own, 0, Decimal("0.30"))
            except LimitReached:
                return None

        holds = [hold for hold in await asyncio.gather(*(one(n) for n in range(200))) if hold is not None]
        assert len(holds) == 33
        for hold in holds:
            hold.settle(0, Decimal("0.25"))
        ledger = Ledger()
        ledger.save(states[0])
        ledger.save(states[1])
        for state in states:
            assert await has_room(state, own, Decimal("1.75"))
            assert not await has_room(state, own, Decimal("1.76"))
        ledger.save(states[2])
        assert sum(ledger.amounts.values()) == Decimal("8.25")
        for state in states:
            assert await has_room(state, own, Decimal("1.75"))
            assert not await has_room(state, own, Decimal("1.76"))
            assert state.remaining(own) == Decimal("1.75")


async def test_what_the_ledger_says_is_known_to_who_comes_later(redis: RedisServer) -> None:
    own, ledger = limits(budget=Decimal(10)), Ledger()
    async with shared(redis.url, 1) as (here,):
        (await here.reserve(own, 0, DOLLAR)).settle(0, DOLLAR)
        ledger.save(here)
    async with shared(redis.url, 1) as (later,):
        await later.reserve(own, 0, DOLLAR)
        assert later.remaining(own) == 8, "although nobody has read the database"
    redis.ask("FLUSHALL")
    async with shared(redis.url, 1) as (recalling,):
        recalling.load([(*place, amount) for place, amount in ledger.amounts.items()])
        await recalling.reserve(own, 0, DOLLAR)
        assert recalling.remaining(own) == 8, "although Redis has forgotten"


async def test_a_request_that_leaves_while_redis_is_asked_holds_nothing(redis: RedisServer) -> None:
    own = limits(budget=DOLLAR)
    async with shared(redis.url, 2) as (here, there):
        for _ in range(20):
            asking = asyncio.ensure_future(here.reserve(own, 0, DOLLAR))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait((asking,))
        async with asyncio.timeout(10):
            while not await has_room(there, own, DOLLAR):
                await asyncio.wait((asyncio.ensure_future(here.reserve(FREE)),))


async def test_a_dead_process_holds_nothing_after_a_while(redis: RedisServer) -> None:
    own = limits(budget=DOLLAR)
    async with shared(redis.url, 2) as (here, there):
        await here.reserve(own, 0, DOLLAR)
        assert (await refused(there, own, cost="0.5")).shortage.held == DOLLAR
        await here._link.stop()  # no word of leave
        await until(lambda: there.processes == 1)
        assert await has_room(there, own, DOLLAR)


async def test_a_redis_that_has_forgotten_everything_is_told_again(redis: RedisServer) -> None:
    own = limits(budget=DOLLAR)
    async with shared(redis.url, 2) as (here, there):
        await here.reserve(own, 0, DOLLAR)
        redis.ask("DEL", f"{PREFIX}:key-processes", f"{PREFIX}:key:7:held")
        async with asyncio.timeout(10):
            while await has_room(there, own, DOLLAR):
                pass
        assert (await refused(there, own, cost="0.5")).shortage.held == DOLLAR


async def test_without_redis_each_process_gives_out_its_share_and_then_they_agree_again() -> None:
    server, own, ledger = RedisServer(), limits(requests=6, budget=Decimal(10)), Ledger()
    server.start()
    try:
        async with shared(server.url, 2) as states:
            (await states[0].reserve(own, 0, DOLLAR)).settle(0, DOLLAR)
            ledger.save(states[0])
            await states[1].reserve(own, 0, DOLLAR)
            server.kill()
            await until(lambda: not any(state.is_shared for state in states))
            for state in states:
                state.load([(*place, amount) for place, amount in ledger.amounts.items()])
                assert (await refused(state, own, cost="4.6")).shortage.limit is Limit.BUDGET
                for _ in range(2):
                    (await state.reserve(own, 0, DOLLAR)).settle(0, DOLLAR)
                assert (await refused(state, own, cost="0")).shortage.allowed == 3, "a half of six"
            server.start()
            await until(lambda: all(state.is_shared for state in states))
            assert [
                await has_room(state, limits(budget=Decimal(10)), Decimal("4.01")) for state in states
            ] == [
                False,
                False,
            ]
            assert await has_room(states[0], limits(budget=Decimal(10)), Decimal(4))
    finally:
        server.kill()


@asynccontextmanager
async def apart(count: int) -> AsyncIterator[tuple[RedisServer, list[RedisKeyLimits]]]:
    """States in step, on a server of their own that the test kills."""
    server = RedisServer()
    server.start()
    try:
        async with shared(server.url, count) as states:
            yield server, states
    finally:
        server.kill()


async def test_the_share_of_a_budget_is_one_share_however_often_somebody_asks() -> None:
    own = limits(budget=Decimal(10))
    async with apart(2) as (server, states):
        (await states[0].reserve(own, 0, DOLLAR)).settle(0, DOLLAR)
        await states[1].reserve(own, 0, DOLLAR)
        await states[0].reserve(own, 0, DOLLAR)  # and hears what the other one holds
        server.kill()
        await until(lambda: not any(state.is_shared for state in states))
        spent = [0, 0]
        for place, state in enumerate(states):
            for _ in range(200):
                try:
                    (await state.reserve(own, 0, Decimal("0.1"))).settle(0, Decimal("0.1"))
                except LimitReached:
                    break
                spent[place] += 1
        assert spent == [35, 40], "a half of the 7 and of the 8 dollars that each knew to be left"


async def test_what_was_sent_apart_counts_in_the_minute_afterwards() -> None:
    own = limits(requests=8, tokens=1000)
    async with apart(2) as (server, states):
        for state in states:
            (await state.reserve(own, 100)).settle(100, None)
        server.kill()
        await until(lambda: not any(state.is_shared for state in states))
        holds = [await state.reserve(own, 200) for state in states for _ in range(2)]
        assert (await refused(states[0], own, 400)).shortage.limit is Limit.TOKENS
        for hold in holds:
            hold.settle(150, None)
        server.start()
        await until(lambda: all(state.is_shared for state in states))
        found = await refused(states[1], own, 500)  # this Redis never knew of the first two
        assert (found.shortage.limit, found.shortage.used) == (Limit.TOKENS, 600)
        for number in range(4):
            await states[number % 2].reserve(own, 1)
        assert (await refused(states[0], own, 1)).shortage.used == 8, "four apart, four together"


async def test_what_is_let_through_while_they_come_together_is_counted() -> None:
    own, let_through = limits(requests=1_000_000, budget=DOLLAR * 1_000_000), 0
    async with apart(1) as (server, [state]):
        server.kill()
        await until(lambda: not state.is_shared)
        server.start()
        while not state.is_shared:
            await state.reserve(own, 0, DOLLAR)
            let_through += 1
            await asyncio.sleep(0)
        held = str(to_units(DOLLAR * let_through))
        await until(lambda: not state._sent)
        await until(lambda: held in server.ask("HGET", f"{PREFIX}:key:7:held", "process0"))
        assert server.ask("ZCARD", f"{PREFIX}:key:7:sent") == f":{let_through}\r\n"


async def test_who_comes_back_first_does_not_take_the_others_shares() -> None:
    async with apart(2) as (server, [here, there]):
        await there._link.stop()
        server.kill()
        await until(lambda: not here.is_shared)
        server.start()
        await until(lambda: here.is_shared)
        await here.reserve(FREE)  # by now it has heard who is there
        await here.reserve(FREE)
        assert here.processes == 2, "the other one may be on its way"
        await until(lambda: here.processes == 1)


async def test_workers_that_start_without_redis_give_out_their_shares() -> None:
    own, nowhere = limits(requests=8), RedisServer().url
    state = RedisKeyLimits(nowhere, "one-of-four", TIMES, processes=4)
    state.start()
    try:
        for _ in range(2):
            (await state.reserve(own)).refund()
        assert (await refused(state, own)).shortage.allowed == 2, "a quarter of eight"
    finally:
        await state.stop()


async def test_what_was_let_through_apart_is_told_in_pieces() -> None:
    """Redis serves nobody while it reads a message: a long one, and all others would take it for dead."""
    own = limits(requests=1_000_000)
    async with apart(1) as (server, [state]):
        server.kill()
        await until(lambda: not state.is_shared)
        for _ in range(5000):
            (await state.reserve(own)).refund()
        server.start()
        server.ask("CONFIG", "SET", "slowlog-log-slower-than", "1000")
        await until(lambda: state.is_shared and not state._sent)
        assert server.ask("ZCARD", f"{PREFIX}:key:7:sent") == ":5000\r\n"
        told = server.ask("SLOWLOG", "GET", "128")
        assert max((int(size) for size in re.findall(r"\((\d+) more bytes\)", told)), default=0) < 64_000
