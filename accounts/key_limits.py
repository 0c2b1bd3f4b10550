"""The limits of client keys: what a request may use is reserved before it starts, and settled when it ends.

Rules: what running requests hold counts as used, so many at once cannot pass a limit together; a hold is settled once,
from whatever end the request comes to; nothing here waits or touches a database (`accounts.key_memory` keeps the
ledger). All of it is touched in the event loop's thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from django.conf import settings

from accounts.clock import clock
from accounts.key_refusals import HELD_SECONDS, Limit, LimitReached, Shortage
from accounts.key_shares import Room
from accounts.key_use import DAY_SECONDS, MINUTE, ZERO, KeyLimits, Minute, Slot, Spending, ends_at

Spent = dict[tuple[int, int], Decimal]  # US dollars by key and day


@dataclass(slots=True, eq=False)
class Hold:
    """What one running request may use of its key's limits. `cost` in US dollars.

    `apart`: which of its times apart from the others the process was in when it let the request through; 0: in none.
    """

    limits: KeyLimits
    tokens: int
    cost: Decimal
    id: str
    _state: LocalKeyLimits
    _slot: Slot
    is_open: bool = True
    apart: int = 0

    def settle(self, tokens: int, cost: Decimal | None) -> None:
        """The request has ended, and used this much. The second and later calls do nothing."""
        if self.is_open:
            self.is_open = False
            self._state.settle(self, self._slot, tokens, cost or ZERO)

    def refund(self) -> None:
        """The request has ended and used nothing. That it was sent still counts in the minute."""
        self.settle(0, None)

    @property
    def remaining(self) -> Decimal | None:
        """What is left of the budget, without what is held; None without a budget. Never negative."""
        return self._state.remaining(self.limits)


@dataclass(slots=True)
class KeyUse:
    """What is known of one client key."""

    minute: Minute = field(default_factory=Minute)
    spending: Spending = field(default_factory=Spending)


@dataclass
class LocalKeyLimits:
    """The state of one process. `now` runs evenly, `wall` is the calendar's; both in seconds.

    `unsaved` is what the ledger has to be told, `saving` what it is being told.
    """

    now: Callable[[], float] = clock
    wall: Callable[[], float] = time.time
    uses: dict[int, KeyUse] = field(default_factory=dict)
    unsaved: Spent = field(default_factory=dict)
    saving: Spent = field(default_factory=dict)
    _holds: int = 0

    def use(self, key: int) -> KeyUse:
        """What is known of a key, made on first sight."""
        found = self.uses.get(key)
        if found is None:
            found = self.uses[key] = KeyUse()
        return found

    async def reserve(
        self, limits: KeyLimits, tokens: int = 0, cost: Decimal | None = None, *, is_free: bool = False
    ) -> Hold:
        """Hold what a request may use: so many tokens and US dollars. Raises LimitReached.

        A cost that is not known (None) holds nothing, but needs something left of the budget. `is_free`: the request
        is counted and nothing else.
        """
        return self.reserve_here(limits, tokens, cost, is_free=is_free)

    def reserve_here(
        self, limits: KeyLimits, tokens: int, cost: Decimal | None, *, is_free: bool, room: Room | None = None
    ) -> Hold:
        """The same by what this process knows. `room`: how far it may go where it cannot ask the others."""
        counted = 0 if is_free or limits.tokens is None else tokens
        has_price = limits.budget is not None and not is_free
        use, now = self.use(limits.key), self.now()
        use.minute.turn(now)
        found = [*_busy(limits, use.minute, counted, now, room)]
        if has_price and (shortage := self._unaffordable(limits, use.spending, cost or ZERO, room)):
            found.append(shortage)
        if found:
            raise LimitReached(limits, *found)
        return self.occupy(limits, counted, cost or ZERO if has_price else ZERO)

    def occupy(self, limits: KeyLimits, tokens: int, cost: Decimal) -> Hold:
        """Count a request that may begin."""
        use, now = self.use(limits.key), self.now()
        use.minute.turn(now)
        use.spending.reserved += cost
        self._holds += 1
        return Hold(limits, tokens, cost, str(self._holds), self, use.minute.add(now, 1, tokens))

    def _unaffordable(
        self, limits: KeyLimits, money: Spending, cost: Decimal, room: Room | None
    ) -> Shortage | None:
        spent = money.spent(limits.period, self.wall())
        left = (limits.budget or ZERO) - spent - money.reserved
        if room is not None:
            left = min(left, room.money)
        if left > 0 and left >= cost:
            return None
        return self.too_dear(limits, spent, money.reserved, cost, left + money.reserved)

    def too_dear(
        self, limits: KeyLimits, spent: Decimal, held: Decimal, cost: Decimal, left: Decimal
    ) -> Shortage:
        """`left`: of the budget, if nothing were held."""
        wall = self.wall()
        end = ends_at(limits.period, wall)
        wait = HELD_SECONDS if left > 0 and left >= cost else end - wall
        return Shortage(Limit.BUDGET, limits.budget or ZERO, spent, held, cost, wait, end)

    def settle(self, hold: Hold, slot: Slot, tokens: int, cost: Decimal) -> None:
        """A hold is over."""
        use = self.use(hold.limits.key)
        if hold.limits.tokens is not None:
            use.minute.correct(self.now(), slot, hold.tokens, tokens)
        use.spending.reserved -= hold.cost
        if cost:
            self.spend(hold.limits.key, cost)

    def spend(self, key: int, cost: Decimal) -> None:
        """A key has used this much money, today."""
        day = int(self.wall() // DAY_SECONDS)
        self.use(key).spending.spend(day, cost)
        self.unsaved[key, day] = self.unsaved.get((key, day), ZERO) + cost

    def remaining(self, limits: KeyLimits) -> Decimal | None:
        """What is left of a key's budget and not held; None without a budget."""
        if limits.budget is None:
            return None
        money = self.use(limits.key).spending
        return max(ZERO, limits.budget - money.spent(limits.period, self.wall()) - money.reserved)

    # --- other processes -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Called in the server's loop before the first request: there is nobody to agree with."""

    async def stop(self) -> None:
        """Called when all requests have ended."""

    # --- the ledger ----------------------------------------------------------------------------------------

    def take_unsaved(self) -> Spent:
        """What has to be added to the ledger now: `saved()` or `not_saved()` says how it went."""
        self.saving, self.unsaved = self.unsaved, {}
        return dict(self.saving)

    def not_saved(self) -> None:
        """The ledger could not be written."""
        for place, amount in self.saving.items():
            self.unsaved[place] = self.unsaved.get(place, ZERO) + amount
        self.saving = {}

    def saved(self, totals: Iterable[tuple[int, int, Decimal]]) -> None:
        """The ledger was written, and says this now."""
        self.saving = {}
        self.load(totals)

    def load(self, totals: Iterable[tuple[int, int, Decimal]]) -> None:
        """The ledger's word: (key, day, US dollars). It replaces what was counted here, but for what is unsaved."""
        for key, day, amount in totals:
            self.use(key).spending.put(day, amount + self.unsaved.get((key, day), ZERO))


def _busy(
    limits: KeyLimits, minute: Minute, tokens: int, now: float, room: Room | None
) -> Iterable[Shortage]:
    if limits.requests is not None:
        allowed = limits.requests if room is None else room.requests
        yield from _too_many(minute, now, allowed)
    if limits.tokens is not None and tokens:
        allowed = limits.tokens if room is None else room.tokens
        yield from _too_large(minute, tokens, now, allowed)


def _too_many(minute: Minute, now: float, allowed: int) -> Iterator[Shortage]:
    if minute.requests >= allowed:
        wait = minute.free_at(minute.requests + 1 - allowed, 0) - now
        yield Shortage(Limit.REQUESTS, Decimal(allowed), Decimal(minute.requests), ZERO, Decimal(1), wait)


def _too_large(minute: Minute, tokens: int, now: float, allowed: int) -> Iterator[Shortage]:
    excess = minute.tokens + tokens - allowed
    if excess > 0:
        wait = MINUTE if tokens > allowed else minute.free_at(0, excess) - now
        yield Shortage(Limit.TOKENS, Decimal(allowed), Decimal(minute.tokens), ZERO, Decimal(tokens), wait)


def configured_limits() -> LocalKeyLimits:
    """Shared with other processes if REDIS_URL says where, else this process's own."""
    if not settings.REDIS_URL:
        return LocalKeyLimits()
    from accounts.pool import pool  # where they are needed: the pool says which process this is
    from accounts.redis_key_limits import RedisKeyLimits

    return RedisKeyLimits(settings.REDIS_URL, pool.state.process, processes=settings.PATCHBAY_WORKERS)


key_limits = configured_limits()
