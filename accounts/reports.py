"""From what an attempt showed to what the pool knows of the account.

Rule: an answer without limit headers changes no window; only an answer that speaks of a limit does.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

import msgspec

from accounts.pool_state import AccountState, LocalPoolState
from accounts.snapshot import AccountConfig
from accounts.standing import may_use
from accounts.windows import (
    OVERAGE,
    BenchKind,
    Blow,
    WindowState,
    benched,
    charge_blow,
    is_lifted,
    limit_blow,
    observed,
)
from backends.wire.limits import NO_LIMITS, Limits, class_of, classes_of

FAULTS = 3  # so many faults…
FAULT_SECONDS = 30.0  # …in so many seconds take an account out of rotation
OVERLOAD_SECONDS = 2.0  # "overloaded" without a word about how long
MOST_KNOWN = 200  # windows, and benches, of one account; a real one has a handful for each of its models
K = TypeVar("K")
V = TypeVar("V")


class Result(StrEnum):
    """What an attempt showed about its account."""

    SERVED = "served"
    LIMITED = "limited"  # 429
    QUOTA = "quota"  # 402, or the provider says that credit or quota is used up
    REFUSED = "refused"  # 401 that a refresh did not cure
    OVERLOADED = "overloaded"  # 503, 529: out for a moment
    FAULT = "fault"  # no connection, 5xx, broken answers
    BROKEN = "broken"  # TLS: will not pass by itself soon
    NEUTRAL = "neutral"  # the request's own fault, or nobody waited for the end


class Report(msgspec.Struct, frozen=True):
    """One attempt's news. `reason` is for people."""

    result: Result
    limits: Limits = NO_LIMITS
    reason: str = ""


NEUTRAL = Report(Result.NEUTRAL)


class Attempt(msgspec.Struct, frozen=True):
    """One try at one account: the account as it was configured, and the pool's time, when it began.

    `model` is the one that upstream was asked for.
    """

    account: AccountConfig
    model: str
    leased_at: float


def apply_report(
    pool: LocalPoolState, state: AccountState, attempt: Attempt, report: Report, *, jitter: float
) -> None:
    """Tell the pool what an attempt showed of its account. `jitter`: 0 to 1."""
    now, wall, limits = pool.now(), pool.wall(), report.limits
    if limits.claim:
        state.claim = limits.claim
    windows = [observed(reading, now=now, wall=wall) for reading in limits.readings]
    if windows:
        _make_room(state.windows, lambda window: window.retires_at)
        pool.put_windows(state, windows)
    void_before = state.resumed(attempt.account, now, wall)
    state.faults = [at for at in state.faults if at >= void_before and now - at < FAULT_SECONDS]
    blow = _blow(state, attempt, report, now, wall) if attempt.leased_at >= void_before else None
    over = _over(state, attempt, report, windows)
    if blow is not None:
        over.discard((blow.kind, blow.model_class))
    if over:
        pool.lift(state, over)
    if blow is not None:
        known = state.benches.get((blow.kind, blow.model_class))
        if known is not None and known.since < void_before:
            known = None
        _make_room(state.benches, lambda bench: bench.until)
        pool.put_bench(state, benched(known, blow, now=now, leased_at=attempt.leased_at, jitter=jitter))


def _make_room(known: dict[K, V], ends_at: Callable[[V], float]) -> None:
    """Model names that clients make up do not pile up: what ends first goes."""
    if len(known) >= MOST_KNOWN:
        for key, _ in sorted(known.items(), key=lambda item: ends_at(item[1]))[: MOST_KNOWN // 2]:
            del known[key]


def _over(
    state: AccountState, attempt: Attempt, report: Report, windows: list[WindowState]
) -> set[tuple[BenchKind, str]]:
    """The benches that this ends: those whose limit has room again and, if the answer was good, those for which
    its request was the probe. Any good answer proves the credential.
    """
    leased_at, benches = attempt.leased_at, list(state.benches.values())
    over = [b for b in benches if any(is_lifted(b, window, leased_at) for window in windows)]
    if report.result is Result.SERVED:
        state.faults.clear()
        classes = classes_of(attempt.model)
        over += [b for b in benches if b.model_class in classes and leased_at >= b.since]
        over += [b for b in benches if b.kind is BenchKind.AUTH]
    return {bench.key for bench in over}


def _blow(state: AccountState, attempt: Attempt, report: Report, now: float, wall: float) -> Blow | None:
    limits, reason, model = report.limits, report.reason, attempt.model
    retry_at = None if limits.retry_at is None else now + (limits.retry_at - wall)
    match report.result:
        case Result.SERVED:
            charged = OVERAGE if limits.is_overage else limits.claim
            if charged and not may_use(attempt.account, charged):
                return charge_blow(limits, charged, classes_of(model), now=now, wall=wall)
        case Result.LIMITED:
            return limit_blow(limits, class_of(model), classes_of(model), now=now, wall=wall)
        case Result.QUOTA:
            reason = reason or "the provider says that its quota is used up"
            return Blow(BenchKind.QUOTA, "", reason, retry_at)
        case Result.REFUSED:
            return Blow(BenchKind.AUTH, "", reason or "the provider refused the credential")
        case Result.OVERLOADED:
            until = retry_at if retry_at is not None else now + OVERLOAD_SECONDS
            return Blow(BenchKind.FAULT, class_of(model), reason or "overloaded", until)
        case Result.BROKEN:
            return Blow(BenchKind.FAULT, "", reason or "no trusted connection")
        case Result.FAULT if _failed_again(state, attempt.leased_at) or _is_one_too_many(state, now):
            return Blow(BenchKind.FAULT, "", reason or "several faults in a row")
    return None


def _failed_again(state: AccountState, leased_at: float) -> bool:
    """Whether this was the probe after earlier faults."""
    bench = state.benches.get((BenchKind.FAULT, ""))
    return bench is not None and bench.until <= leased_at


def _is_one_too_many(state: AccountState, now: float) -> bool:
    state.faults.append(now)
    if len(state.faults) < FAULTS:
        return False
    state.faults.clear()
    return True
