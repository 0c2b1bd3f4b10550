"""The queue: in order, fair between keys, never beyond its deadline, and nothing lost when clients leave."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.pool import Ask, Lease, Pool, Unavailable
from accounts.pool_state import LocalPoolState
from accounts.reports import Report
from accounts.snapshot import AccountConfig
from accounts.waiting import QueueFull, WaitingRoom
from tests.accounts.pools import OPUS, SONNET, WALL, account, ask, limited, served
from tests.accounts.simulated_time import SimulatedLoop, simulated

Found = tuple[int, Lease]
SECONDS = 60.0


@dataclass
class Desk:
    """A pool and its queue over one clock, that of the event loop. `served` lists who got an account, and when."""

    loop: SimulatedLoop
    accounts: tuple[AccountConfig, ...]
    limit: int = 128
    served: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        time = self.loop.time
        self.pool = Pool(LocalPoolState(now=time, wall=lambda: WALL + time()))
        self.room = WaitingRoom(now=time)
        self.pool.state.listeners.append(self.room.wake)

    def ask(self, model: str, key: str) -> Ask:
        found: Ask = ask(self.accounts, model, key=key)
        return found

    def spend(self, alias: str, seconds: float, model: str = SONNET) -> None:
        """The provider refuses the account for so long."""
        lease = self.take(alias, model)
        lease.report(limited(retry_at=WALL + self.loop.time() + seconds))
        lease.settle()

    def take(self, alias: str, model: str = SONNET) -> Lease:
        chosen = [each for each in self.accounts if each.alias == alias]
        try:
            self.pool.lease(ask(chosen, model)).send(None)
        except StopIteration as done:
            lease: Lease = done.value
            return lease
        raise AssertionError("it waited for something")

    async def wait(
        self,
        name: str = "r",
        key: str = "k",
        *,
        model: str = SONNET,
        seconds: float = SECONDS,
        attempt: Callable[[], Awaitable[Found]] | None = None,
    ) -> Lease:
        """One request through the queue."""
        _, lease = await self.room.wait(
            attempt or (lambda: self.pool.lease_first([self.ask(model, key)])),
            discard=lambda found: found[1].settle(),
            key=key,
            lane=model,
            seconds=seconds,
            limit=self.limit,
        )
        self.served.append((name, self.loop.time()))
        return lease

    async def serve(self, name: str, key: str = "k", **settings: object) -> None:
        """The same, and all goes well."""
        lease = await self.wait(name, key, **settings)  # type: ignore[arg-type]
        lease.report(served())
        lease.settle()

    def names(self) -> list[str]:
        return [name for name, _ in self.served]


def in_a_pool(
    *accounts: AccountConfig, limit: int = 128
) -> Callable[[Callable[[Desk], Awaitable[None]]], Callable[[], None]]:
    """Run a test in simulated time over a pool of these accounts; at its end nothing is held and nobody waits."""

    def decorate(test: Callable[[Desk], Awaitable[None]]) -> Callable[[], None]:
        async def work(loop: SimulatedLoop) -> None:
            desk = Desk(loop, accounts, limit)
            await test(desk)
            assert len(desk.room) == 0
            assert all(state.in_flight == 0 for state in desk.pool.state.accounts.values())

        def run() -> None:
            simulated(work)

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


A, B = account("a"), account("b")
PACED = account("p", interval_s=0.5)


@in_a_pool(A)
async def test_a_request_waits_for_the_reset_and_is_served_at_once_then(desk: Desk) -> None:
    desk.spend("a", 40)
    await desk.serve("r")
    assert desk.served == [("r", pytest.approx(40, abs=0.1))]


@in_a_pool(A)
async def test_what_recovers_too_late_is_told_at_once(desk: Desk) -> None:
    desk.spend("a", SECONDS + 1)
    with pytest.raises(Unavailable) as caught:
        await desk.serve("r")
    assert desk.loop.time() == 0
    assert caught.value.recovers_at == SECONDS + 1


@in_a_pool(account("x", is_paused=True))
async def test_what_is_broken_is_told_at_once(desk: Desk) -> None:
    with pytest.raises(Unavailable) as caught:
        await desk.serve("r")
    assert caught.value.is_broken
    assert desk.loop.time() == 0


@in_a_pool(A)
async def test_nobody_waits_beyond_the_deadline_however_often_recovery_is_promised(desk: Desk) -> None:
    async def keep_refusing() -> None:
        while True:
            desk.spend("a", 5)
            await asyncio.sleep(5)

    refusing = asyncio.ensure_future(keep_refusing())
    waiting = [asyncio.ensure_future(desk.wait(str(n), seconds=n)) for n in range(10, 60, 10)]
    await asyncio.sleep(0)
    for number, waiter in zip(range(10, 60, 10), waiting, strict=True):
        with pytest.raises(Unavailable):
            (await waiter).settle()
        assert number - 5 <= desk.loop.time() <= number + 0.1
    refusing.cancel()


@in_a_pool(PACED)
async def test_a_key_is_served_in_the_order_of_its_requests_at_the_accounts_pace(desk: Desk) -> None:
    await asyncio.gather(*(desk.serve(str(number)) for number in range(5)))
    assert desk.names() == ["0", "1", "2", "3", "4"]
    assert [at for _, at in desk.served] == pytest.approx([0, 0.5, 1, 1.5, 2], abs=0.1)


@in_a_pool(PACED)
async def test_keys_take_turns_however_many_requests_each_has(desk: Desk) -> None:
    requests = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("a4", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")]
    await asyncio.gather(*(desk.serve(name, key) for name, key in requests))
    assert desk.names() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


@in_a_pool(PACED)
async def test_a_key_that_comes_later_is_not_behind_the_whole_crowd(desk: Desk) -> None:
    crowd = [asyncio.ensure_future(desk.serve(f"a{number}", "a")) for number in range(20)]
    await asyncio.sleep(2.2)
    await desk.serve("late", "b")
    assert desk.names().index("late") <= 7
    await asyncio.gather(*crowd)


@in_a_pool(A)
async def test_a_lane_that_cannot_be_served_does_not_hold_up_another(desk: Desk) -> None:
    desk.spend("a", 30, OPUS)
    desk.spend("a", 5, SONNET)
    await asyncio.gather(desk.serve("opus", model=OPUS), desk.serve("sonnet", model=SONNET))
    assert desk.served == [("sonnet", pytest.approx(5, abs=0.1)), ("opus", pytest.approx(30, abs=0.1))]


@in_a_pool(A)
async def test_after_a_reset_one_probe_goes_first_and_its_good_answer_lets_all_in(desk: Desk) -> None:
    desk.spend("a", 10)
    first = asyncio.ensure_future(desk.wait("first"))
    others = [asyncio.ensure_future(desk.serve(str(number))) for number in range(5)]
    lease = await first
    await asyncio.sleep(1)
    assert desk.names() == ["first"]
    lease.report(served())
    await asyncio.gather(*others)
    lease.settle()
    assert desk.loop.time() == pytest.approx(11, abs=0.1)


@in_a_pool(A)
async def test_a_probe_that_fails_sends_everybody_back_to_wait(desk: Desk) -> None:
    desk.spend("a", 10)
    first, other = asyncio.ensure_future(desk.wait("first")), asyncio.ensure_future(desk.serve("other"))
    lease = await first
    lease.report(limited(retry_at=WALL + desk.loop.time() + 7))
    lease.settle()
    await other
    assert desk.served[-1] == ("other", pytest.approx(17, abs=0.1))


@in_a_pool(A)
async def test_an_edit_that_nobody_announces_is_seen_within_a_second(desk: Desk) -> None:
    desk.spend("a", 50)
    waiting = asyncio.ensure_future(desk.serve("r"))
    await asyncio.sleep(3)
    desk.accounts = (*desk.accounts, B)
    await waiting
    assert desk.served == [("r", pytest.approx(3, abs=1.1))]


@in_a_pool(A, limit=3)
async def test_a_full_queue_takes_nobody_of_a_key_that_fills_it(desk: Desk) -> None:
    desk.spend("a", 10)
    waiting = [asyncio.ensure_future(desk.serve(str(number))) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await desk.serve("one too many")
    await asyncio.gather(*waiting)


@in_a_pool(A, limit=3)
async def test_in_a_full_queue_the_last_of_the_greediest_key_makes_room(desk: Desk) -> None:
    desk.spend("a", 10)
    waiting = [asyncio.ensure_future(desk.serve(f"a{number}", "a")) for number in range(3)]
    await asyncio.sleep(0)
    light = asyncio.ensure_future(desk.serve("b", "b"))
    with pytest.raises(QueueFull):
        await waiting[2]
    await asyncio.gather(light, *waiting[:2])
    assert sorted(desk.names()) == ["a0", "a1", "b"]


@in_a_pool(A, limit=0)
async def test_a_queue_of_no_places_takes_nobody(desk: Desk) -> None:
    desk.spend("a", 10)
    with pytest.raises(QueueFull):
        await desk.serve("r")


@in_a_pool(PACED)
async def test_who_leaves_gives_up_the_place_and_nothing_else(desk: Desk) -> None:
    waiting = [asyncio.ensure_future(desk.serve(str(number))) for number in range(4)]
    await asyncio.sleep(0.2)
    waiting[2].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert desk.names() == ["0", "1", "3"]


async def leave_while_an_account_comes(desk: Desk, leave: Callable[[asyncio.Future[Lease]], object]) -> None:
    desk.spend("a", 10)
    waiting: asyncio.Future[Lease]

    async def attempt() -> Found:
        found = await desk.pool.lease_first([desk.ask(SONNET, "k")])
        leave(waiting)
        return found

    waiting = asyncio.ensure_future(desk.wait("r", attempt=attempt))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert desk.pool.state.account("a").requests == 2


@in_a_pool(A)
async def test_an_account_goes_back_when_its_waiter_leaves_while_it_is_taken(desk: Desk) -> None:
    await leave_while_an_account_comes(desk, lambda waiting: waiting.cancel())


@in_a_pool(A)
async def test_an_account_goes_back_when_its_waiter_leaves_before_it_is_handed_over(desk: Desk) -> None:
    await leave_while_an_account_comes(desk, lambda waiting: desk.loop.call_soon(waiting.cancel))


@in_a_pool(A)
async def test_an_error_of_one_request_is_its_own(desk: Desk) -> None:
    desk.spend("a", 10)

    async def attempt() -> Found:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await desk.wait(attempt=attempt)
    await desk.serve("r")


@in_a_pool(A)
async def test_who_comes_while_others_wait_for_the_same_is_told_so(desk: Desk) -> None:
    desk.spend("a", 10)
    assert not desk.room.is_waiting(SONNET)
    waiting = asyncio.ensure_future(desk.serve("r"))
    await asyncio.sleep(0)
    assert desk.room.is_waiting(SONNET)
    assert not desk.room.is_waiting(OPUS)
    await waiting
    assert not desk.room.is_waiting(SONNET)


@in_a_pool(A)
async def test_a_process_that_leaves_lets_nobody_wait_for_longer(desk: Desk) -> None:
    desk.spend("a", 40)
    long, short = (
        asyncio.ensure_future(desk.serve("long")),
        asyncio.ensure_future(desk.serve("x", seconds=50)),
    )
    await asyncio.sleep(5)
    desk.room.close_in(10)
    for waiter in (long, short):
        with pytest.raises(Unavailable):
            await waiter
    assert desk.loop.time() == pytest.approx(5, abs=0.1)
    with pytest.raises(Unavailable):
        await desk.serve("too late")


# --- whatever happens -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrival:
    """One request: `leaves_after` seconds of waiting its client gives up; `holds`: how long its answer takes."""

    at: float
    key: str
    leaves_after: float | None
    holds: float
    answer: str


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        st.sampled_from((0.0, 0.1, 1.0, 7.0, 20.0, 33.0)),
        st.sampled_from("abc"),
        st.sampled_from((None, None, None, 0.0, 0.3, 12.0)),
        st.sampled_from((0.0, 0.2, 4.0)),
        st.sampled_from(("good", "good", "good", "limited", "silent")),
    ),
    min_size=1,
    max_size=25,
)


@dataclass(eq=False)
class Log:
    """What became of one arrival."""

    arrival: Arrival
    number: int = 0  # in the order in which they came
    came_at: float = -1.0
    ended_at: float = -1.0
    outcome: str = ""


async def live(desk: Desk, log: Log, numbers: Iterator[int]) -> None:
    arrival = log.arrival
    await asyncio.sleep(arrival.at)
    log.number, log.came_at = next(numbers), desk.loop.time()
    try:
        async with asyncio.timeout(arrival.leaves_after):
            lease = await desk.wait("", arrival.key)
    except TimeoutError:
        log.outcome = "left"
    except (Unavailable, QueueFull) as exc:
        log.outcome = type(exc).__name__
    else:
        log.outcome = "served"
    log.ended_at = desk.loop.time()
    if log.outcome == "served":
        await answer(desk, lease, arrival)


async def answer(desk: Desk, lease: Lease, arrival: Arrival) -> None:
    reports: dict[str, Report] = {
        "good": served(),
        "limited": limited(retry_at=WALL + desk.loop.time() + 9),
    }
    if arrival.answer in reports:
        lease.report(reports[arrival.answer])
    await asyncio.sleep(arrival.holds)
    lease.settle()


@settings(max_examples=60)
@given(arrivals=ARRIVALS, interval=st.sampled_from((0.0, 0.5, 3.0)), spent=st.sampled_from((0.0, 15.0, 90.0)))
def test_whatever_happens_the_queue_keeps_order_and_deadlines(
    arrivals: list[Arrival], interval: float, spent: float
) -> None:
    async def work(loop: SimulatedLoop) -> list[Log]:
        desk = Desk(loop, (replace(A, interval_s=interval),), limit=12)
        if spent:
            desk.spend("a", spent)
        logs, numbers = [Log(arrival) for arrival in arrivals], itertools.count()
        await asyncio.gather(*(live(desk, log, numbers) for log in logs))
        assert len(desk.room) == 0
        assert desk.pool.state.account("a").in_flight == 0
        return logs

    logs = sorted(simulated(work), key=lambda log: log.number)
    assert all(log.outcome for log in logs)
    for log in logs:
        assert log.ended_at - log.came_at <= SECONDS + 0.1
        if log.outcome == "served":
            assert_nobody_was_passed(log, logs)


def assert_nobody_was_passed(log: Log, logs: list[Log]) -> None:
    """A key's requests are served in order; others have what is left of this round, and their turn in the next."""
    before = logs[: logs.index(log)]
    of_its_key = [other for other in before if other.arrival.key == log.arrival.key]
    assert not [o for o in of_its_key if o.outcome == "served" and o.ended_at > log.ended_at], (
        "passed by its own"
    )
    if [other for other in of_its_key if other.ended_at >= log.came_at]:
        return  # not its key's first in the queue: it has to wait for those as well
    turns = Counter(
        other.arrival.key
        for other in logs
        if other.outcome == "served" and log.came_at < other.ended_at < log.ended_at
    )
    turns.pop(log.arrival.key, None)
    assert max(turns.values(), default=0) <= 2, (
        "another key had more than what was left of a round and the next"
    )
