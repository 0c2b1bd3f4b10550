"""A second, plain opinion about a pool: what a test has told it, and what must follow.

Everything is kept in seconds of true time, whatever the pool's clock and the wall clock say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from backends.wire.limits import Reading, classes_of

LONGEST_GUESS = 1800 * 1.1  # no wait of the pool's own making is longer
RESERVE = 0.02


@dataclass(frozen=True)
class Told:
    """One window as it was last reported."""

    used: float
    resets_at: float
    observed_at: float


@dataclass(frozen=True)
class Named:
    """A time that a 429 named."""

    until: float
    since: float


@dataclass
class Facts:
    """What is known of one account."""

    windows: dict[tuple[str, str], Told] = field(default_factory=dict)
    named: dict[str, Named] = field(default_factory=dict)  # model class → until when it is refused at least
    blown_at: float = float("-inf")  # the last failure that may have benched it
    latest_named: float = float("-inf")
    longest_named: float = 0.0

    def reported(self, readings: tuple[Reading, ...], resets_in: float, leased_at: float, now: float) -> None:
        """Headers came."""
        for reading in readings:
            key = (reading.window, reading.model_class)
            self.windows[key] = Told(reading.utilization, now + resets_in, now)
            known = self.named.get(reading.model_class)
            if known is not None and leased_at > known.since:
                del self.named[reading.model_class]

    def refused(self, scope: str, wait: float | None, now: float) -> None:
        """A 429, which named a time or did not."""
        self.blown_at = now
        if wait is not None:
            self.named[scope] = Named(now + wait, now)
            self.latest_named = max(self.latest_named, now + wait)
            self.longest_named = max(self.longest_named, wait)

    def served(self, model: str, leased_at: float) -> None:
        """A good answer."""
        over = [scope for scope in self.named if scope in classes_of(model)]
        for scope in over:
            if leased_at >= self.named[scope].since:
                del self.named[scope]

    def resumed(self) -> None:
        """Everything before is void."""
        self.windows, self.named = {}, {}
        self.blown_at = self.latest_named = float("-inf")

    def remembered(self, wrote_at: float, wall_at: float, now: float, resumed_at: float) -> Facts:
        """The same after a restart. Rows hold dates: `wrote_at` is what the wall clock was off from true time then,
        `wall_at` what it is off now. What seems older than the last resume does not count (if that seems to lie ahead,
        nothing does), and nothing lasts longer than if it had begun now.
        """
        set_by, void = wall_at - wrote_at, resumed_at - wrote_at
        if resumed_at > now + wall_at:
            void = math.inf

        def ends(moment: float, began: float) -> float:
            return min(moment - set_by, now + (moment - began))

        windows = {
            key: replace(
                told,
                resets_at=ends(told.resets_at, told.observed_at),
                observed_at=min(now, told.observed_at - set_by),
            )
            for key, told in self.windows.items()
            if told.observed_at >= void
        }
        named = {
            scope: Named(ends(known.until, known.since), min(now, known.since - set_by))
            for scope, known in self.named.items()
            if known.since >= void
        }
        latest = min(self.latest_named - set_by, now + self.longest_named)
        return Facts(windows, named, min(now, self.blown_at - set_by), latest, self.longest_named)

    def spent_until(self, model: str, now: float) -> float:
        """When the last of the spent windows that govern this model resets; before now: none is."""
        classes = classes_of(model)
        return max(
            (
                told.resets_at
                for (_, model_class), told in self.windows.items()
                if model_class in classes and told.resets_at > now and 1 - told.used < RESERVE - 1e-9
            ),
            default=float("-inf"),
        )

    def named_until(self, model: str) -> float:
        """Until when the provider has refused this model."""
        classes = classes_of(model)
        return max((n.until for scope, n in self.named.items() if scope in classes), default=float("-inf"))

    def benched_until(self) -> float:
        """No bench may last longer."""
        return max(self.latest_named, self.blown_at + LONGEST_GUESS)
