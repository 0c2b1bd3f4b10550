"""Whatever happens to the queue: it keeps its order and its deadlines, and loses nobody."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.pool import Lease, Unavailable
from accounts.reports import Report
from accounts.waiting import QueueFull
from tests.accounts.pools import WALL, account, limited, served
from tests.accounts.queue_desk import SECONDS, QueueDesk
from tests.accounts.simulated_time import SimulatedLoop, simulated


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


async def live(desk: QueueDesk, log: Log, numbers: Iterator[int]) -> None:
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


async def answer(desk: QueueDesk, lease: Lease, arrival: Arrival) -> None:
    reports: dict[str, Report] = {
        "good": served(),
        "limited": limited(retry_at=WALL + desk.loop.time() + 9),
    }
    if arrival.answer in reports:
        lease.report(reports[arrival.answer])
    await asyncio.sleep(arrival.holds)
    lease.settle()


@settings(max_examples=settings().max_examples // 2)
@given(arrivals=ARRIVALS, interval=st.sampled_from((0.0, 0.5, 3.0)), spent=st.sampled_from((0.0, 15.0, 90.0)))
def test_whatever_happens_the_queue_keeps_order_and_deadlines(
    arrivals: list[Arrival], interval: float, spent: float
) -> None:
    async def work(loop: SimulatedLoop) -> list[Log]:
        desk = QueueDesk(loop, (account("a", interval_s=interval),), limit=12)
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
