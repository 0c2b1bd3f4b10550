"""`python -m bench.pool_cost`: what the pool costs a request, in CPU time, in memory and without a network.

The best of several rounds counts: whatever else the machine does can only make a round slower. Exit code 1 when a
figure misses its target.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accounts.pool import Ask, Lease, Pool
    from accounts.reports import Report

ROUNDS = 15
MODEL = "claude-opus-4-8"
FEW, MANY = 5, 1000
LEASE_TARGET, CHOICE_TARGET = 30.0, 1000.0  # microseconds


def main() -> int:
    """Print a line for each figure."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
    import django

    django.setup()
    from backends.config import Strategy

    missed = 0
    for strategy in Strategy:
        few, many = Bench(FEW, strategy.value), Bench(MANY, strategy.value)
        missed += _say(f"{strategy.value}: lease and settle, {FEW} accounts", few.lease(2000), LEASE_TARGET)
        missed += _say(
            f"{strategy.value}: the same for a session", few.lease(2000, sessions=50), LEASE_TARGET
        )
        missed += _say(
            f"{strategy.value}: lease and settle, {MANY:,} accounts", many.lease(30), CHOICE_TARGET
        )
    _say("an answer's limits told to the pool", Bench(FEW, "headroom").report(2000), None)
    _say("the whole: lease, limits, settle, of a session", Bench(FEW, "forecast").request(2000), None)
    return 1 if missed else 0


def _say(what: str, microseconds: float, target: float | None) -> bool:
    """Whether the target is missed."""
    verdict = (
        "" if target is None else f" (at most {target:,.0f}: {'ok' if microseconds <= target else 'MISSED'})"
    )
    print(f"{microseconds:8.1f} µs  {what}{verdict}", flush=True)
    return target is not None and microseconds > target


class Bench:
    """A pool of so many accounts whose windows are known."""

    def __init__(self, count: int, strategy: str) -> None:
        from accounts.pool import Pool
        from accounts.pool_state import LocalPoolState
        from accounts.snapshot import AccountConfig
        from backends.addresses import check_base_url
        from backends.config import BackendConfig, Strategy
        from backends.wire.kinds import Kind, Protocol

        self.accounts = tuple(AccountConfig(f"u{n}", f"a{n}", "b", "api_key", None) for n in range(count))
        base, kinds = check_base_url("https://provider.example"), frozenset((Kind.MESSAGES,))
        self.backend = BackendConfig("b", Protocol.ANTHROPIC, base, kinds, strategy=Strategy(strategy))
        self.pool: Pool = Pool(LocalPoolState())
        for number, account in enumerate(self.accounts):
            lease = self._take(self._ask(only=account.uid))
            lease.report(self._news(number % 90 / 100))
            lease.settle()

    def lease(self, count: int, sessions: int = 0) -> float:
        """Microseconds for taking an account and giving it back."""
        asks = [self._ask(f"s{number}") for number in range(sessions)] or [self._ask()]

        def work(number: int) -> None:
            self._take(asks[number % len(asks)]).settle()

        return _best(work, count)

    def report(self, count: int) -> float:
        """Microseconds for what the headers of an answer say."""
        lease, news = self._take(self._ask()), self._news(0.5)
        found = _best(lambda number: lease.report(news), count)
        lease.settle()
        return found

    def request(self, count: int) -> float:
        """Microseconds for all of it. The next choice has to look at the fresh readings."""
        asks, news = [self._ask(f"s{number}") for number in range(50)], self._news(0.5)

        def work(number: int) -> None:
            lease = self._take(asks[number % len(asks)])
            lease.report(news)
            lease.settle()

        return _best(work, count)

    def _ask(self, session: str = "", only: str = "") -> Ask:
        from accounts.pool import Ask

        accounts = tuple(a for a in self.accounts if not only or a.uid == only)
        return Ask(self.backend, accounts, MODEL, session, "key")

    def _take(self, ask: Ask) -> Lease:
        try:
            self.pool.lease(ask).send(None)
        except StopIteration as done:
            lease: Lease = done.value
            return lease
        raise RuntimeError("the pool of one process waited for something")

    def _news(self, used: float) -> Report:
        from accounts.reports import Report, Result
        from backends.wire.limits import Limits, Reading

        now = time.time()
        readings = (
            Reading("5h", "", used, None, None, now + 9_000, False),
            Reading("7d", "", used / 2, None, None, now + 300_000, False),
            Reading("7d_opus", "opus", used / 3, None, None, now + 300_000, False),
        )
        return Report(Result.SERVED, Limits(readings, None, "5h"))


def _best(work: Callable[[int], None], count: int) -> float:
    """Microseconds of CPU time for one call."""
    found = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for number in range(count):
            work(number)
        found = min(found, (time.process_time_ns() - began) / count / 1000)
    return found


if __name__ == "__main__":
    sys.exit(main())
