"""How many retries a pool may cause, so that a provider in trouble is not hit by several times the load.

A token bucket, as AWS SDKs and Finagle keep one: every answer pays in, every retry takes out. While all is well
it is full and never felt; when everything fails, retries come down to about one a second. Moving on after a 429
costs nothing: it benches the account, so it cannot repeat itself.
"""

from __future__ import annotations

from dataclasses import dataclass

CAPACITY = 100.0
PER_SUCCESS = 1.0
PER_SECOND = 14.0
TRANSIENT_COST = 14.0
AMBIGUOUS_COST = 20.0


@dataclass(slots=True)
class RetryBudget:
    """The bucket of one pool. Times are on the pool's clock."""

    tokens: float = CAPACITY
    at: float = 0.0

    def earn(self) -> None:
        """An attempt was answered."""
        if self.tokens < CAPACITY:
            self.tokens = min(CAPACITY, self.tokens + PER_SUCCESS)

    def has(self, cost: float, now: float) -> bool:
        """Whether a retry of this cost is allowed."""
        if self.tokens < CAPACITY:
            self.tokens = min(CAPACITY, self.tokens + PER_SECOND * max(0.0, now - self.at))
        self.at = now
        return self.tokens >= cost

    def spend(self, cost: float) -> None:
        """A retry was made."""
        self.tokens -= cost
