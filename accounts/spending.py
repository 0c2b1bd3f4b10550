"""The operator's limits on money, per account. Pure.

Rule: what running requests may still cost counts as spent, so that many small ones cannot pass a limit together.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounts.pool_state import AccountState
from accounts.snapshot import AccountConfig
from accounts.standing import Obstacle, ObstacleKind, Standing

SETTLE_SECONDS = 5.0  # money that is only reserved may be free again when a running request has ended


def periods(wall: float) -> tuple[str, str]:
    """The UTC day and month of a moment (seconds since the epoch): `2026-11-22`, `2026-11`."""
    day = datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d")
    return day, day[:7]


def obstacle_of(
    standing: Standing, state: AccountState, cost: Decimal | None, *, now: float, wall: float
) -> Obstacle | None:
    """What is in the way of a request that may cost so much. Faults come last: they do not keep an account out
    when nothing else is left, but a limit on money does.
    """
    known = standing.obstacle
    if known is not None and known.kind is not ObstacleKind.FAULTY:
        return known
    return money_obstacle(standing.account, state, cost, now=now, wall=wall) or known


def money_obstacle(
    account: AccountConfig, state: AccountState, cost: Decimal | None, *, now: float, wall: float
) -> Obstacle | None:
    """The limit that this request would exceed, counting what is running; None when none would be.

    A request whose cost is not known may begin as long as something is left.
    """
    if not account.has_limits:
        return None
    day, month = periods(wall)
    found = []
    for period, limit, name in ((day, account.daily_limit, "day"), (month, account.monthly_limit, "month")):
        spent = state.spent.get(period, Decimal(0))
        if limit is None or not _exceeds(spent + state.reserved, cost, limit):
            continue
        begun = f"${spent:.2f} of ${limit:.2f} for this {name} are spent, ${state.reserved:.2f} reserved"
        reason = begun if cost is None else f"{begun}; this request may cost ${cost:.2f}"
        wait = _end_of(wall, name) - wall if _exceeds(spent, cost, limit) else SETTLE_SECONDS
        found.append(Obstacle(ObstacleKind.GUARD, reason, now + wait))
    return max(found, key=lambda obstacle: obstacle.recovers_at or 0.0, default=None)


def _exceeds(spent: Decimal, cost: Decimal | None, limit: Decimal) -> bool:
    return spent >= limit or (cost is not None and spent + cost > limit)


def _end_of(wall: float, name: str) -> float:
    """When the UTC day or month ends, in seconds since the epoch."""
    today = datetime.fromtimestamp(wall, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "day":
        return (today + timedelta(days=1)).timestamp()
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()
