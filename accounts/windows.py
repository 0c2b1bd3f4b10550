"""What is known of an account's limits, and what follows from it. Pure: every function is told the time.

Rules: a window is a reading, not a latch: when its reset passes it retires by itself, and an answer without
limit headers changes nothing. A bench is a schedule of probes: when it is due, one request may try, and that
try decides. Times are on the pool's clock (`accounts.clock`), in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from backends.wire.limits import Limits, Reading

STALE_SECONDS = 5 * 3600.0  # a reading that names no reset
STALE_SPENT_SECONDS = 60.0  # the same, when it says that nothing is left
OVERAGE = "overage"
TOKENS_OF_A_REQUEST = 0.05  # of a spent token rate: so much must be back before a request has a chance
USUAL_STEP = 0.01  # of a window that has not told yet what a request costs there
STEP_WEIGHT = 1 / 32  # of the latest step in their average
SAME_RESET_SECONDS = 60.0  # two readings name the same reset
ROUNDING = 1e-9  # 1 - 0.98 is a hair more than 0.02


class WindowState(msgspec.Struct, frozen=True):
    """One reading, and when it was taken. `step`: the share that one answer has used of the window lately."""

    reading: Reading
    retires_at: float
    observed_at: float
    step: float = USUAL_STEP

    @property
    def key(self) -> tuple[str, str]:
        """(window, model class)."""
        return (self.reading.window, self.reading.model_class)

    @property
    def used(self) -> float:
        """The share that is used: at least 1 when the provider says that it refuses."""
        return max(1.0, self.reading.utilization) if self.reading.is_rejected else self.reading.utilization

    def blocks_until(self, kept: float) -> float:
        """When a request may use it again if the share `kept` stays unspent; what has passed blocks nothing.

        A quota comes back as a whole, at its reset. A counted rate comes back bit by bit, and its reset is when it
        is full again: waiting for that would bench a daily count of requests for a day, after one too many.
        """
        used, limit = self.used, self.reading.limit
        if used < 1 and 1 - used >= kept - ROUNDING:
            return 0.0
        if limit is None or is_quota(self.reading.window):
            return self.retires_at
        enough = max(kept, TOKENS_OF_A_REQUEST if "tokens" in self.reading.window else 1 / limit)
        share = 1 - (1 - enough) / used
        return self.observed_at + share * (self.retires_at - self.observed_at)


def observed(reading: Reading, *, now: float, wall: float) -> WindowState:
    """A reading of this moment, with its reset on the pool's clock."""
    if reading.resets_at is not None:
        retires_at = now + (reading.resets_at - wall)
    else:
        spent = reading.is_rejected or reading.utilization >= 1
        retires_at = now + (STALE_SPENT_SECONDS if spent else STALE_SECONDS)
    return WindowState(reading, retires_at, now)


def following(known: WindowState, fresh: WindowState) -> WindowState:
    """The fresh reading, with what is known of the window's steps."""
    step = known.step
    if abs(fresh.retires_at - known.retires_at) < SAME_RESET_SECONDS:
        step += (fresh.reading.utilization - known.reading.utilization - step) * STEP_WEIGHT
    return WindowState(fresh.reading, fresh.retires_at, fresh.observed_at, max(0.0, step))


def headroom_of(windows: Iterable[WindowState]) -> float | None:
    """`1 - max(utilization)`, not below 0; None when nothing was ever observed. Paid overage does not count."""
    used = [window.used for window in windows if window.reading.window != OVERAGE]
    return max(0.0, 1.0 - max(used)) if used else None


def is_quota(name: str) -> bool:
    """Whether a window is a quota that people plan with (5h, 7d, 7d_opus), not a rate per minute."""
    return name[:1].isdigit()


# --- benches ------------------------------------------------------------------------------------------------


class BenchKind(StrEnum):
    """Why an account is out of rotation."""

    LIMITED = "limited"  # the provider said: too many requests
    QUOTA = "quota"  # nothing left to spend there: billing, credits
    AUTH = "auth"  # the credential was refused
    FAULT = "fault"  # no connection, broken answers, overloaded


@dataclass(frozen=True, slots=True)
class BenchState:
    """A probe schedule: out until `until`, then one try. `window` names the limit that caused it, if known."""

    kind: BenchKind
    model_class: str
    reason: str
    strikes: int
    since: float
    until: float
    window: str = ""

    @property
    def key(self) -> tuple[BenchKind, str]:
        """(kind, model class)."""
        return (self.kind, self.model_class)


# kind → (first wait, longest wait) in seconds, doubling, where the provider names no time itself
_SCHEDULE = {
    BenchKind.LIMITED: (1.0, 60.0),
    BenchKind.QUOTA: (300.0, 1800.0),
    BenchKind.AUTH: (60.0, 1800.0),
    BenchKind.FAULT: (30.0, 300.0),
}


def backoff(kind: BenchKind, strikes: int) -> float:
    """Seconds until the next probe after so many failures in a row."""
    first, longest = _SCHEDULE[kind]
    return min(longest, first * 2.0 ** min(strikes - 1, 20))


@dataclass(frozen=True, slots=True)
class Blow:
    """What a failed attempt says about the account. `until`: the provider's own word, if it gave one."""

    kind: BenchKind
    model_class: str
    reason: str
    until: float | None = None
    window: str = ""


def benched(
    known: BenchState | None, blow: Blow, *, now: float, leased_at: float, jitter: float
) -> BenchState:
    """The bench after a blow to a request that began at `leased_at`.

    Requests that were on their way when the bench was set count as one failure. A moment that the provider names
    and that has passed is no word. `jitter` (0 to 1) spreads waits that are our own guess by up to a tenth.
    """
    if known is not None and leased_at <= known.since:
        return known if blow.until is None else replace(known, until=max(blow.until, known.until))
    strikes = 1 if known is None else known.strikes + 1
    until = now + backoff(blow.kind, strikes) * (1 + jitter / 10)
    if blow.until is not None and blow.until > now:
        until = blow.until
    return BenchState(blow.kind, blow.model_class, blow.reason, strikes, now, until, blow.window)


def limit_blow(limits: Limits, model_class: str, classes: frozenset[str], *, now: float, wall: float) -> Blow:
    """What a 429 says: which models it is about, and until when.

    The claim of a refusing subscription decides; else the windows that are shown as spent; else only this model
    is known to be refused. A wait that the provider names stands; else the last of those resets; else None.
    """
    ours = [r for r in limits.readings if r.model_class in classes and r.window != OVERAGE]
    named = [r for r in ours if r.window == limits.claim and limits.is_rejected]
    causes = sorted(named or _spent(ours), key=lambda r: r.model_class)  # what governs every model first
    at = limits.retry_at if limits.retry_at is not None else max(_resets(causes), default=None)
    until = None if at is None else now + (at - wall)
    window = causes[0].window if causes else ""
    reason = f"the provider's limit {window} is reached" if window else "the provider limits the rate"
    return Blow(BenchKind.LIMITED, _scope(causes, model_class), reason, until, window)


def charge_blow(limits: Limits, charged: str, classes: frozenset[str], *, now: float, wall: float) -> Blow:
    """What a good answer says that was charged to a window which the account may not use.

    It will be until those windows have room again that should have paid: the last reset of the spent ones, else
    the first of any quota; else None.
    """
    ours = [r for r in limits.readings if r.model_class in classes and is_quota(r.window)]
    spent = _spent(ours)
    at = max(_resets(spent), default=min(_resets(ours), default=None))
    until = None if at is None else now + (at - wall)
    reason = f"requests are charged to {charged}, which this account may not use"
    return Blow(BenchKind.QUOTA, _scope(spent, ""), reason, until, charged)


def _spent(readings: Iterable[Reading]) -> list[Reading]:
    return [r for r in readings if r.is_rejected or r.utilization >= 1]


def _resets(readings: Iterable[Reading]) -> list[float]:
    return [r.resets_at for r in readings if r.resets_at is not None]


def _scope(causes: list[Reading], otherwise: str) -> str:
    """The class that they are about; "" (every model) as soon as one of them is."""
    found = {r.model_class for r in causes}
    if "" in found:
        return ""
    return found.pop() if len(found) == 1 else otherwise


def is_lifted(bench: BenchState, fresh: WindowState, leased_at: float) -> bool:
    """Whether a reading, brought by a request that began after the bench was set, shows room behind it again."""
    return (
        bench.kind is BenchKind.LIMITED
        and (bench.window, bench.model_class) == fresh.key
        and leased_at > bench.since
        and fresh.used < 1
    )
