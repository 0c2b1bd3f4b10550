"""What a client key has used: requests and tokens in the last minute, US dollars by UTC day. Pure.

A minute is any 60 seconds, not one of the clock: a window that slides has no edge at which twice the limit passes,
and a bucket that refills would let twice the limit through after a rest. It is kept in slots of a twentieth of a
second, so that it is small for any limit; what shares a slot counts as long as its youngest: never too short.

Money is kept by the day. Days, weeks (from Monday) and months are sums over days, so a budget's period can be changed
without losing what was spent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

MINUTE = 60.0
SLOT_SECONDS = 0.05
DAY_SECONDS = 86_400
DAYS_KEPT = 40  # more than the longest period
ZERO = Decimal(0)
_EPOCH = date(1970, 1, 1)


class Period(StrEnum):
    """What a budget is for. UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one client key may use; None: as much as it likes. `key` is the row's number, `budget` US dollars."""

    key: int
    name: str
    requests: int | None = None
    tokens: int | None = None
    budget: Decimal | None = None
    period: Period = Period.MONTH

    @property
    def needs_estimate(self) -> bool:
        """Whether what a request may use has to be known before it starts."""
        return self.tokens is not None or self.budget is not None


# --- the minute ----------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Slot:
    """What began in the same moment. It counts until `until`, on the clock that `Minute` is told."""

    begun: float
    until: float
    requests: int = 0
    tokens: int = 0
    counts: bool = True


@dataclass(slots=True)
class Minute:
    """The last 60 seconds. Call `turn()` before you read or add."""

    requests: int = 0
    tokens: int = 0
    _slots: deque[Slot] = field(default_factory=deque)

    def turn(self, now: float) -> None:
        """Forget what is over."""
        slots = self._slots
        while slots and slots[0].until <= now:
            slot = slots.popleft()
            slot.counts = False
            self.requests -= slot.requests
            self.tokens -= slot.tokens

    def add(self, now: float, requests: int, tokens: int) -> Slot:
        """Count this from now on, for a minute."""
        slots = self._slots
        if slots and now < slots[-1].begun + SLOT_SECONDS:
            slot = slots[-1]
            slot.until = max(slot.until, now + MINUTE)
        else:
            slots.append(slot := Slot(now, now + MINUTE))
        slot.requests += requests
        slot.tokens += tokens
        self.requests += requests
        self.tokens += tokens
        return slot

    def correct(self, now: float, slot: Slot, reserved: int, used: int) -> None:
        """A request that had `reserved` tokens in `slot` has used `used`: less is given back there, more counts now."""
        if used > reserved:
            self.turn(now)
            self.add(now, 0, used - reserved)
        elif slot.counts:
            slot.tokens -= reserved - used
            self.tokens -= reserved - used

    def free_at(self, requests: int, tokens: int) -> float:
        """When so many requests and tokens more will have gone; of more than there are: when all have."""
        at = 0.0
        for slot in self._slots:
            if requests <= 0 and tokens <= 0:
                break
            at, requests, tokens = slot.until, requests - slot.requests, tokens - slot.tokens
        return at


# --- money ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Spending:
    """US dollars. `days` by the number of the UTC day; `reserved` by requests that are running."""

    days: dict[int, Decimal] = field(default_factory=dict)
    reserved: Decimal = ZERO
    _span: range = range(0)
    _sum: Decimal = ZERO

    def spent(self, period: Period, wall: float) -> Decimal:
        """In the period that `wall` (seconds since the epoch) lies in."""
        span = span_of(period, int(wall // DAY_SECONDS))
        if span != self._span:
            self._span, self._sum = span, sum((self.days[day] for day in self.days if day in span), ZERO)
        return self._sum

    def spend(self, day: int, amount: Decimal) -> None:
        """A request did cost this much."""
        self.put(day, self.days.get(day, ZERO) + amount)

    def put(self, day: int, amount: Decimal) -> None:
        """What a day has cost in all."""
        before = self.days.get(day, ZERO)
        self.days[day] = amount
        if day in self._span:
            self._sum += amount - before
        if len(self.days) > DAYS_KEPT:
            del self.days[min(self.days)]


@lru_cache(maxsize=64)
def span_of(period: Period, day: int) -> range:
    """The days of the period that `day` lies in, as numbers."""
    if period is Period.DAY:
        return range(day, day + 1)
    found = _EPOCH + timedelta(days=day)
    if period is Period.WEEK:
        monday = day - found.weekday()
        return range(monday, monday + 7)
    first = day - found.day + 1
    following = (found.replace(day=1) + timedelta(days=32)).replace(day=1)
    return range(first, (following - _EPOCH).days)


def ends_at(period: Period, wall: float) -> float:
    """When the period ends that `wall` lies in, in seconds since the epoch."""
    return float(span_of(period, int(wall // DAY_SECONDS)).stop * DAY_SECONDS)


def day_name(day: int) -> str:
    """`2026-11-22`."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_number(name: str) -> int:
    """The number of a day by its name. Raises ValueError."""
    return (date.fromisoformat(name) - _EPOCH).days
