"""The pool: which account serves an attempt, and the lease that holds it meanwhile.

Rule: a lease is taken and given back in one place; `settle()` works once, and works from any `finally`.
One function, `obstacle()`, says why an account cannot serve; the router, `/health` and the pages ask it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from accounts.snapshot import AccountConfig, Snapshot


class NoAccount(Exception):
    """No account of the pool can serve. `reasons` maps alias to why not."""

    def __init__(self, backend: str, reasons: dict[str, str]) -> None:
        self.backend, self.reasons = backend, reasons
        listed = "; ".join(f"{alias}: {why}" for alias, why in reasons.items())
        super().__init__(listed or f"backend {backend} has no account; add one with `accounts add`")


@dataclass(slots=True)
class AccountState:
    """What this process knows of one account."""

    in_flight: int = 0
    last_used: int = 0  # a counter, not a clock: only the order matters
    requests: int = 0


@dataclass(slots=True)
class Lease:
    """One account, held for one attempt."""

    account: AccountConfig
    _state: AccountState | None

    def settle(self) -> None:
        """Give the account back. The second and later calls do nothing."""
        if self._state is not None:
            self._state.in_flight -= 1
            self._state = None


@dataclass
class Pool:
    """Pool state of one process. All methods run in the event loop's thread and never await inside."""

    _states: dict[str, AccountState] = field(default_factory=dict)
    _ticks: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def lease(
        self, backend: str, accounts: Sequence[AccountConfig], *, exclude: Collection[str] = ()
    ) -> Lease:
        """Hold the best account whose uid is not in `exclude`. Raises NoAccount with the reasons."""
        reasons = {account.alias: why for account in accounts if (why := _unfit(account, exclude))}
        fit = [account for account in accounts if account.alias not in reasons]
        if not fit:
            raise NoAccount(backend, reasons)
        account = min(fit, key=self._burden)
        state = self.state(account)
        state.in_flight += 1
        state.requests += 1
        state.last_used = next(self._ticks)
        return Lease(account, state)

    def state(self, account: AccountConfig) -> AccountState:
        """The state of one account, made on first sight."""
        return self._states.setdefault(account.uid, AccountState())

    def _burden(self, account: AccountConfig) -> tuple[int, int]:
        """Equal accounts: the fewest in flight first, then the least recently used."""
        state = self.state(account)
        return (state.in_flight, state.last_used)


def obstacle(account: AccountConfig) -> str:
    """Why this account cannot serve at all, in words for people; "" if it can."""
    if account.is_paused:
        return "paused"
    return account.problem


def pool_obstacles(snapshot: Snapshot, backend: str) -> dict[str, str]:
    """alias → obstacle ("" when it can serve) for every account of a backend."""
    return {account.alias: obstacle(account) for account in snapshot.pool(backend)}


def unserviceable(snapshot: Snapshot) -> list[str]:
    """Why nothing can be served now, one reason a backend; empty when at least one account could serve."""
    reasons = []
    for backend in snapshot.routing.backends.values():
        obstacles = pool_obstacles(snapshot, backend.name)
        if any(not why for why in obstacles.values()):
            return []
        listed = "; ".join(f"account {alias}: {why}" for alias, why in obstacles.items())
        reasons.append(f"{backend.name}: {listed or 'no account'}")
    return reasons or ["no backend is enabled"]


def _unfit(account: AccountConfig, exclude: Collection[str]) -> str:
    return obstacle(account) or ("already tried" if account.uid in exclude else "")


pool = Pool()
