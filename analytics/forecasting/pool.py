"""When a whole pool can serve no more: the demand of now, against what every account has left and gets back. Pure.

The accounts' windows are of different sizes, so what is left of them is counted in requests: by the share that an
answer has used of each window lately. The load of an account that is spent goes to the others, first to the one whose
window resets soonest. Times are minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HORIZON = 7 * 24 * 60.0
MOST_STEPS = 5000  # of the calculation: a pool that resets so often is never spent
NEARLY = 1e-9


@dataclass(slots=True)
class Quota:
    """One window that governs every model. `left`: the share that may still be used; `full`: the same after a reset.

    `burn`: share per minute, None unknown. `step`: share that a request uses. `resets_in` and `length` are minutes.
    """

    left: float
    full: float
    burn: float | None
    step: float
    resets_in: float
    length: float


Quotas = list[Quota]


def pool_lasts(accounts: Sequence[Quotas]) -> float | None:
    """Minutes until no account of a pool can serve; None when that is not foreseeable within a week.

    An account without quotas serves for ever. Nothing is changed.
    """
    demand = _demand(accounts)
    if not accounts or not all(accounts) or not demand:
        return None
    accounts = [[_copy(quota) for quota in quotas] for quotas in accounts]
    passed = 0.0
    for _ in range(MOST_STEPS):
        able = [quotas for quotas in accounts if all(quota.left > NEARLY for quota in quotas)]
        if not able:
            return passed
        taken = min(able, key=lambda quotas: min(quota.resets_in for quota in quotas))
        span = min(_requests(taken) / demand, min(q.resets_in for quotas in accounts for q in quotas))
        passed += span
        if passed > HORIZON:
            return None
        for quota in taken:
            quota.left -= span * demand * quota.step
        for quotas in accounts:
            _pass(quotas, span)
    return None


def _copy(quota: Quota) -> Quota:
    return Quota(quota.left, quota.full, quota.burn, quota.step, max(quota.resets_in, NEARLY), quota.length)


def _demand(accounts: Sequence[Quotas]) -> float:
    """Requests a minute, of all accounts: each by the middle of what its windows tell."""
    told = [[quota.burn / quota.step for quota in quotas if quota.burn is not None] for quotas in accounts]
    return sum(median(rates) for rates in told if rates)


def _requests(quotas: Quotas) -> float:
    return max(0.0, min(quota.left / quota.step for quota in quotas))


def _pass(quotas: Quotas, minutes: float) -> None:
    for quota in quotas:
        quota.resets_in -= minutes
        if quota.resets_in <= NEARLY:
            quota.left, quota.resets_in = quota.full, quota.length


def soonest(found: Sequence[float | None]) -> float | None:
    """The first of several pools that will be spent."""
    return min((minutes for minutes in found if minutes is not None), default=None)
