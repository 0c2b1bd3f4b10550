"""What the tests of the pool build from: accounts, readings, a pool whose time they move."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from accounts.pool import Ask, Pool
from accounts.pool_state import LocalPoolState
from accounts.reports import Report, Result
from accounts.snapshot import AccountConfig
from accounts.windows import BenchKind, BenchState, WindowState, observed
from backends.addresses import check_base_url
from backends.config import BackendConfig, Strategy
from backends.wire.kinds import Kind, Protocol
from backends.wire.limits import Limits, Reading

T = TypeVar("T")
OPUS, SONNET, HAIKU = "claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5"
WALL = 1_800_000_000.0  # 2027-01-15 08:00 UTC
HOUR = 3600.0


@dataclass
class Time:
    """Two clocks: the pool's, which nobody sets, and the wall clock."""

    now: float = 1000.0
    wall: float = WALL

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += seconds

    def pool(self) -> Pool:
        return Pool(LocalPoolState(now=lambda: self.now, wall=lambda: self.wall))


def account(alias: str, **settings: Any) -> AccountConfig:
    values: dict[str, Any] = {"backend": "b", "kind": "api_key", "secret": None, **settings}
    return AccountConfig(alias, alias, **values)


def backend(strategy: Strategy = Strategy.HEADROOM, name: str = "b") -> BackendConfig:
    base, kinds = check_base_url("http://127.0.0.1:1"), frozenset((Kind.MESSAGES,))
    return BackendConfig(name, Protocol.ANTHROPIC, base, kinds, strategy=strategy)


def ask(
    accounts: Iterable[AccountConfig],
    model: str = SONNET,
    strategy: Strategy = Strategy.HEADROOM,
    **settings: Any,
) -> Ask:
    return Ask(backend(strategy), tuple(accounts), model, **settings)


def reading(
    window: str,
    used: float,
    resets_at: float | None = WALL + HOUR,
    *,
    model_class: str = "",
    rejected: bool = False,
    limit: int | None = None,
) -> Reading:
    remaining = None if limit is None else round(limit * (1 - used))
    return Reading(window, model_class, used, remaining, limit, resets_at, rejected)


def window(
    name: str,
    used: float,
    resets_in: float | None = HOUR,
    *,
    now: float = 1000.0,
    model_class: str = "",
    rejected: bool = False,
    limit: int | None = None,
) -> WindowState:
    resets_at = None if resets_in is None else WALL + resets_in
    told = reading(name, used, resets_at, model_class=model_class, rejected=rejected, limit=limit)
    return observed(told, now=now, wall=WALL)


def bench(
    kind: BenchKind = BenchKind.LIMITED,
    *,
    until: float,
    since: float = 1000.0,
    model_class: str = "",
    strikes: int = 1,
    window: str = "",
) -> BenchState:
    return BenchState(kind, model_class, f"was {kind}", strikes, since, until, window)


def served(*readings: Reading, claim: str = "", is_overage: bool = False) -> Report:
    return Report(Result.SERVED, Limits(readings, None, claim, is_overage=is_overage))


def limited(*readings: Reading, retry_at: float | None = None, claim: str = "") -> Report:
    return Report(Result.LIMITED, Limits(readings, retry_at, claim, is_rejected=bool(readings)))


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits: the pool of one process answers at once."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waited for something")
