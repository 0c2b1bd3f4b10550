"""Whose turn it is: within one process, and over several."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from accounts.pool import NoAccount, Unavailable
from accounts.queue_order import Order
from accounts.redis_order import RedisOrder, digest
from accounts.redis_state import RedisPoolState
from accounts.standing import Obstacle, ObstacleKind
from accounts.waiting import QueueFull, WaitingRoom
from tests.accounts.sharing import ask, shared, until
from tests.redis_server import RedisServer, one_redis, redis

__all__ = ["one_redis", "redis"]
LANE = ((("b", "m"),), frozenset(("x", "y", "z")), "")


class Gate:
    """What requests wait for: `free` of them may go."""

    def __init__(self) -> None:
        self.free = 0
        self.served: list[str] = []

    async def go(self, state: RedisPoolState, name: str) -> str:
        if self.free <= 0:
            busy = Obstacle(ObstacleKind.PACING, "busy", state.now() + 1)
            raise Unavailable([NoAccount(ask(), {"a": busy}, None)])  # type: ignore[arg-type]
        self.free -= 1
        self.served.append(name)
        return name


class Process:
    """One state and its queue."""

    def __init__(self, state: RedisPoolState, gate: Gate) -> None:
        self.state, self.gate = state, gate
        self.room = WaitingRoom(state.order)
        state.listeners.append(self.room.wake)
        self.tasks: list[asyncio.Task[str]] = []

    def enter(self, key: str, *, name: str = "", lane: object = LANE, limit: int = 100) -> asyncio.Task[str]:
        waiting = self.room.wait(
            lambda: self.gate.go(self.state, name or key),
            discard=lambda _: None,
            key=key,
            lane=lane,
            seconds=30,
            limit=limit,
        )
        task = asyncio.ensure_future(waiting)
        self.tasks.append(task)
        return task


@contextlib.asynccontextmanager
async def processes(url: str, count: int = 2) -> Iterator[tuple[Gate, list[Process]]]:  # type: ignore[misc]
    gate = Gate()
    async with shared(url, count) as states:
        found = [Process(state, gate) for state in states]
        yield gate, found
        for task in [task for process in found for task in process.tasks]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, QueueFull):
                await task


def all_know(found: list[Process], count: int) -> bool:
    """Everybody knows that many places, all of them numbered."""
    return all(
        len(process.state.order) == count and all(p.number < 1e9 for p in process.state.order.places())
        for process in found
    )


def test_keys_take_turns_and_start_afresh() -> None:
    order = Order()
    greedy = [order.enter("greedy", "lane") for _ in range(3)]
    modest = order.enter("modest", "lane")
    assert [place.turn for place in (*greedy, modest)] == [1, 2, 3, 1]
    order.serve(greedy[0])
    order.leave(greedy[0])
    assert order.enter("third", "lane").turn == 2
    for place in list(order.places()):
        order.leave(place)
    assert order.enter("greedy", "lane").turn == 1


async def test_everybody_knows_everybodys_place(redis: RedisServer) -> None:
    async with processes(redis.url) as (gate, (here, there)):
        here.enter("one")
        there.enter("two")
        await until(lambda: all_know([here, there], 2), here.state, there.state)
        assert here.room.is_waiting(LANE)
        assert there.room.is_waiting(LANE)
        assert not here.room.is_waiting((LANE, "another"))
        async with shared(redis.url) as (late,):
            assert len(late.order) == 2
            assert late.order.enter("one", LANE).turn == 2
        gate.free = 2
        here.state.tell()
        there.state.tell()
        await until(lambda: len(gate.served) == 2)
        await until(lambda: all_know([here, there], 0), here.state, there.state)


async def test_who_came_first_goes_first_wherever_it_waits(redis: RedisServer) -> None:
    async with processes(redis.url, 3) as (gate, found):
        states = [process.state for process in found]
        for number in range(9):
            found[number % 3].enter("key", name=str(number))
            await until(lambda n=number: all_know(found, n + 1), *states)
        gate.free = 9
        for state in reversed(states):
            state.tell()
        await until(lambda: len(gate.served) == 9)
        assert gate.served == [str(number) for number in range(9)]


async def test_lanes_do_not_hold_each_other_up(redis: RedisServer) -> None:
    async with processes(redis.url) as (gate, (here, there)):
        here.enter("one", name="first")
        await until(lambda: all_know([here, there], 1), here.state, there.state)
        there.enter("one", name="other lane", lane="other")
        await until(lambda: all_know([here, there], 2), here.state, there.state)
        gate.free = 1
        there.state.tell()
        await until(lambda: gate.served == ["other lane"])


async def test_a_full_queue_is_full_for_all_and_makes_room_for_who_has_less(redis: RedisServer) -> None:
    async with processes(redis.url) as (_, (here, there)):
        greedy = [here.enter("greedy", limit=4) for _ in range(4)]
        await until(lambda: all_know([here, there], 4), here.state, there.state)
        with pytest.raises(QueueFull):
            await there.enter("greedy", limit=4)
        modest = there.enter("modest", limit=4)
        with pytest.raises(QueueFull):
            await greedy[-1]
        await until(lambda: all_know([here, there], 4), here.state, there.state)
        assert not modest.done()


async def test_a_waiter_that_leaves_holds_nobody_up(redis: RedisServer) -> None:
    async with processes(redis.url) as (gate, (here, there)):
        first = here.enter("key", name="first")
        await until(lambda: all_know([here, there], 1), here.state, there.state)
        there.enter("key", name="second")
        await until(lambda: all_know([here, there], 2), here.state, there.state)
        first.cancel()
        gate.free = 1
        await until(lambda: gate.served == ["second"])


async def test_places_outlive_an_outage_and_a_server_that_forgot_them() -> None:
    server = RedisServer()
    server.start()
    async with processes(server.url) as (gate, (here, there)):
        for name in ("first", "second"):
            here.enter("key", name=name)
        await until(lambda: all_know([here, there], 2), here.state, there.state)
        server.kill()
        await until(lambda: len(there.state.order) == 0 and len(here.state.order) == 2)
        there.enter("key", name="third")
        server.start()
        await until(lambda: all_know([here, there], 3), here.state, there.state)
        gate.free = 3
        here.state.tell()
        await until(lambda: len(gate.served) == 3)
    server.kill()


def test_equal_lanes_have_equal_names_in_every_process() -> None:
    """Sets have no order that two processes would agree on."""
    order = RedisOrder("p", lambda *_: None)
    names = [f"account-{number}" for number in range(20)]
    forwards = order.lane_of(((("b", "m"),), frozenset(names), ""))
    backwards = order.lane_of(((("b", "m"),), frozenset(reversed(names)), ""))
    assert forwards == backwards
    assert order.lane_of(((("b", "m"),), frozenset(names[1:]), "")) != forwards
    assert digest("ab", "c") != digest("a", "bc")
