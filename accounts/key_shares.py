"""What one of several processes gives out of a client key's limits while it cannot ask: its share of what was left.

Rule: a limit is then passed by one share at most for each process that is apart, however long it lasts. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from accounts.key_use import MINUTE, ZERO, KeyLimits, Minute, Slot


@dataclass(frozen=True, slots=True)
class Room:
    """How far a process may go: its own requests and tokens in a minute; US dollars on top of what it holds."""

    requests: int
    tokens: int
    money: Decimal


@dataclass(slots=True)
class Sent:
    """One request that was let through apart. `at` on the clock that `Minute` is told."""

    key: int
    at: float
    tokens: int
    slot: Slot


@dataclass(slots=True)
class Apart:
    """What one process knows of one key. `minute`: what it has let through while it was apart.

    `quota`: what it may give out of the budget in all, until it is together with the others again; `given`: so far.
    """

    minute: Minute = field(default_factory=Minute)
    quota: Decimal | None = None
    given: Decimal = ZERO
    _period: str = ""
    _heard_at: float = -MINUTE
    _requests: int = 0
    _tokens: int = 0

    def hear(self, now: float, requests: int, tokens: int) -> None:
        """So much the others have used of the minute."""
        self._heard_at, self._requests, self._tokens = now, max(0, requests), max(0, tokens)

    def open_quota(self, period: str, left: Decimal, processes: int) -> None:
        """Called before each use: the quota is set at the first one, and anew when the budget's period is."""
        if self.quota is None or period != self._period:
            self._period, self.quota, self.given = period, max(ZERO, left) / processes, ZERO

    def join(self) -> None:
        """The others can be asked again, and know what was let through."""
        self.minute, self.quota, self.given = Minute(), None, ZERO

    def room(self, limits: KeyLimits, own: Minute, now: float, processes: int) -> Room:
        """What there is now. `own`: all that this process has let through."""
        self.minute.turn(now)
        is_fresh = now - self._heard_at < MINUTE
        others = (self._requests, self._tokens) if is_fresh else (0, 0)
        return Room(
            _most(limits.requests, others[0], own.requests - self.minute.requests, processes),
            _most(limits.tokens, others[1], own.tokens - self.minute.tokens, processes),
            (self.quota or ZERO) - self.given,
        )


def _most(limit: int | None, others: int, before: int, processes: int) -> int:
    """How many of its own a process may have in the minute; one at least as long as anything is left."""
    left = (limit or 0) - others - before
    return before + (max(1, left // processes) if left > 0 else 0)
