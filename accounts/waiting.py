"""The queue for when every account is spent or busy: bounded, and fair between client keys.

One task tries for the waiters in the order of their places (`accounts.queue_order`), whenever something changed and
when the earliest recovery is due. Where processes share the order, a waiter also lets those of other processes go
first that want the same and came before it.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from accounts.clock import clock
from accounts.pool import Unavailable, pool
from accounts.queue_order import Order, Place
from backends.tasks import spawn

T = TypeVar("T")
SHORTEST_PAUSE = 0.01
logger = logging.getLogger("patchbay.pool")
LOOK_AGAIN_SECONDS = 1.0  # changes that nobody announces (an edited account) are seen so soon


class QueueFull(Exception):
    """There is no place left, and the key that asks has not fewer waiting than any other."""


@dataclass(slots=True)
class Waiter(Generic[T]):
    """One request that waits. Its place's lane: requests that want the same; if one fails, so would the others."""

    place: Place
    deadline: float
    attempt: Callable[[], Awaitable[T]]
    discard: Callable[[T], None]
    outcome: asyncio.Future[T]
    again_at: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """Who is first."""
        return self.place.rank


@dataclass
class WaitingRoom:
    """All waiters of this process, in an order that may be shared with other processes."""

    order: Order = field(default_factory=Order)
    now: Callable[[], float] = clock
    _waiters: list[Waiter[Any]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _pump: asyncio.Task[None] | None = None
    _closes_at: float = math.inf

    def __post_init__(self) -> None:
        self.order.room = self

    def __len__(self) -> int:
        return len(self._waiters)

    def wake(self) -> None:
        """Something changed: a lease came back, a bench was lifted, a window was read."""
        if self._waiters:
            self._news.set()

    def close_in(self, seconds: float) -> None:
        """The process is leaving: nobody waits for longer than this."""
        self._closes_at = self.now() + seconds
        for waiter in self._waiters:
            waiter.deadline = min(waiter.deadline, self._closes_at)
            waiter.again_at = 0.0
        self.wake()

    def is_waiting(self, lane: Hashable) -> bool:
        """Whether somebody waits for the same already, in any process: who comes now comes after."""
        if not len(self.order):
            return False
        name = self.order.lane_of(lane)
        return any(place.lane == name for place in self.order.places())

    def rearrange(self) -> None:
        """Places have changed, here or in another process."""
        self._waiters.sort(key=lambda waiter: waiter.rank)
        self.wake()

    def send_away(self, place_id: str) -> None:
        """The place of this waiter went to a key that has fewer."""
        found = next((waiter for waiter in self._waiters if waiter.place.id == place_id), None)
        if found is not None:
            self._remove(found)
            _fail(found, QueueFull())

    async def wait(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        discard: Callable[[T], None],
        key: str,
        lane: Hashable,
        seconds: float,
        limit: int,
    ) -> T:
        """What `attempt` returns, once it does not raise Unavailable any more.

        Raises the attempt's own Unavailable as soon as it cannot succeed within `seconds`, and QueueFull when `limit`
        requests wait already. A result that comes when its waiter has just left goes to `discard`.
        """
        self._make_room(key, limit)
        waiter: Waiter[T] = Waiter(
            self.order.enter(key, lane),
            min(self.now() + seconds, self._closes_at),
            attempt,
            discard,
            asyncio.get_running_loop().create_future(),
        )
        bisect.insort(self._waiters, waiter, key=lambda other: other.rank)
        self._start()
        try:
            return await waiter.outcome
        except BaseException:
            if waiter.outcome.done() and not waiter.outcome.cancelled() and not waiter.outcome.exception():
                discard(waiter.outcome.result())
            raise
        finally:
            waiter.outcome.cancel()
            self._remove(waiter)

    def _make_room(self, key: str, limit: int) -> None:
        """A full queue takes nobody, except in place of the last of a key that has two more waiting."""
        if len(self.order) < limit:
            return
        name = self.order.key_of(key)
        counts = Counter(place.key for place in self.order.places())
        greedy, most = max(counts.items(), key=lambda item: item[1], default=(name, 0))
        if most < counts[name] + 2:
            raise QueueFull
        last = max(
            (place for place in self.order.places() if place.key == greedy), key=lambda place: place.rank
        )
        if last.id in self.order.here:
            self.send_away(last.id)
        else:
            self.order.send_away(last)

    def _remove(self, waiter: Waiter[T]) -> None:
        self._waiters = [other for other in self._waiters if other is not waiter]
        self.order.leave(waiter.place)
        self._news.set()

    # --- the task that tries ---------------------------------------------------------------------------------

    def _start(self) -> None:
        self._news.set()
        if self._pump is None or self._pump.done():
            self._pump = spawn(self._run(), name="waiting-room")

    async def _run(self) -> None:
        while self._waiters:
            self._news.clear()
            try:
                await self._round()
            except Exception:  # those who wait must not be left because of one of them
                logger.exception("A round of the queue failed; the next one follows.")
            if not self._waiters:
                return
            due = min(waiter.again_at for waiter in self._waiters)
            pause = min(LOOK_AGAIN_SECONDS, max(0.0, due - self.now()))
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _round(self) -> None:
        """One try for each lane's first waiter, and for the next as long as they succeed."""
        failed: dict[Hashable, Unavailable] = {}
        for waiter in list(self._waiters):
            if waiter.outcome.done() or self._lets_another_go_first(waiter):
                continue
            if (why := failed.get(waiter.place.lane)) is None:
                why = await self._try(waiter)
            if why is not None:
                failed[waiter.place.lane] = why
                _postpone(waiter, why, self.now())

    def _lets_another_go_first(self, waiter: Waiter[object]) -> bool:
        """Somebody in another process, until this one's time is up: then it may still be lucky."""
        if self.now() >= waiter.deadline or not self.order.is_after_another(waiter.place):
            return False
        waiter.again_at = waiter.deadline
        return True

    async def _try(self, waiter: Waiter[object]) -> Unavailable | None:
        try:
            result = await waiter.attempt()
        except Unavailable as exc:
            return exc
        except Exception as exc:
            _fail(waiter, exc)
            return None
        self.order.serve(waiter.place)
        if waiter.outcome.done():
            waiter.discard(result)
        else:
            waiter.outcome.set_result(result)
        return None


def _postpone(waiter: Waiter[object], why: Unavailable, now: float) -> None:
    """Wait on, unless nothing can come of it in time."""
    recovers_at = why.recovers_at
    if why.is_broken or recovers_at is None or recovers_at > waiter.deadline or now >= waiter.deadline:
        _fail(waiter, why)
    else:
        waiter.again_at = max(now + SHORTEST_PAUSE, min(recovers_at, waiter.deadline))


def _fail(waiter: Waiter[T], exc: Exception) -> None:
    if not waiter.outcome.done():
        waiter.outcome.set_exception(exc)


room = WaitingRoom(pool.state.order)
