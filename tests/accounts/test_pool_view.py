"""The pool as `/accounts` and `/health` tell it: in the router's own terms."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest

from accounts.pool import Lease
from accounts.pool_view import AccountView, accounts_view, pool_obstacles, unserviceable
from accounts.reports import Report, Result
from accounts.snapshot import AccountConfig, Snapshot
from accounts.windows import BenchKind
from backends.config import BackendConfig, Routing
from tests.accounts.pools import (
    HOUR,
    OPUS,
    SONNET,
    WALL,
    Time,
    account,
    ask,
    at_once,
    backend,
    bench,
    limited,
    reading,
    served,
)


class Pools:
    """A configuration and the pool that serves it."""

    def __init__(self, *accounts: AccountConfig, backends: tuple[BackendConfig, ...] = (backend(),)) -> None:
        self.time = Time()
        self.pool = self.time.pool()
        self.accounts = accounts
        pools = {b.name: tuple(a for a in accounts if a.backend == b.name) for b in backends}
        routing = Routing(MappingProxyType({b.name: b for b in backends}))
        self.snapshot = Snapshot(1, routing, MappingProxyType(pools), MappingProxyType({}), False)

    def lease(self, model: str = SONNET, session: str = "", only: str = "") -> Lease:
        chosen = [a for a in self.accounts if not only or a.alias == only]
        return at_once(self.pool.lease(ask(chosen, model, session=session)))

    def tell(self, report: Report, model: str = SONNET, only: str = "") -> None:
        lease = self.lease(model, only=only)
        lease.report(report)
        lease.settle()

    def view(self, alias: str = "a") -> AccountView:
        found: AccountView = next(
            v for v in accounts_view(self.snapshot, self.pool) if v.account.alias == alias
        )
        return found

    def dead(self, within: float = 60.0) -> list[str]:
        return unserviceable(self.snapshot, within, self.pool)


A, B = account("a"), account("b")


def test_a_fresh_account_is_ready_and_nothing_is_made_up() -> None:
    assert Pools(A).view().as_dict() == {
        "alias": "a",
        "backend": "b",
        "kind": "api_key",
        "status": "ready",
        "util5h": None,
        "util7d": None,
        "headroom": None,
        "claim": None,
        "windows": [],
        "lastObservedAt": None,
        "utilAgeMs": None,
        "requestCount": 0,
        "inFlight": 0,
        "stickyBindings": 0,
        "cooldownMs": 0,
        "reason": None,
        "expiresInMs": None,
    }


def test_windows_load_and_sessions_are_shown() -> None:
    pools = Pools(A)
    pools.tell(served(reading("5h", 0.4), reading("7d", 0.7, WALL + 99 * HOUR), claim="7d"))
    pools.lease(session="s1")
    pools.lease(session="s2")
    pools.time.pass_(5)
    shown = pools.view().as_dict()
    assert (shown["util5h"], shown["util7d"], shown["claim"]) == (0.4, 0.7, "7d")
    assert shown["headroom"] == pytest.approx(0.3)
    assert (shown["requestCount"], shown["inFlight"], shown["stickyBindings"]) == (3, 2, 2)
    assert (shown["lastObservedAt"], shown["utilAgeMs"]) == (WALL * 1000, 5000)
    windows = shown["windows"]
    assert isinstance(windows, list)
    assert windows[0] == {
        "name": "5h",
        "modelClass": None,
        "utilization": 0.4,
        "remaining": None,
        "limit": None,
        "rejected": False,
        "resetsAt": (WALL + HOUR) * 1000,
        "observedAt": WALL * 1000,
    }


def test_a_spent_account_says_until_when_and_no_share_is_over_one() -> None:
    pools = Pools(A)
    pools.tell(limited(reading("5h", 1.01, rejected=True), claim="5h"))
    pools.time.pass_(600)
    shown = pools.view().as_dict()
    assert (shown["status"], shown["cooldownMs"], shown["headroom"]) == ("cooling", 3_000_000, 0.0)
    assert shown["util5h"] == 1.0
    pools.time.pass_(3001)
    later = pools.view().as_dict()
    assert (later["status"], later["util5h"], later["windows"]) == ("ready", None, [])
    assert later["reason"] == "the next request tries it, after: the provider's limit 5h is reached"


def test_the_wall_clock_may_be_set_without_changing_what_is_shown() -> None:
    pools = Pools(A)
    pools.tell(limited(reading("5h", 1.0), retry_at=WALL + 100))
    pools.time.step_wall(7200)
    assert pools.view().as_dict()["cooldownMs"] == 100_000


def test_an_account_is_ready_as_long_as_it_can_serve_some_family() -> None:
    pools = Pools(A)
    pools.tell(limited(reading("7d_opus", 1.0, model_class="opus"), claim="7d_opus"), OPUS)
    assert pools.view().status == "cooling"  # all that is known of it
    pools.tell(served(reading("5h", 0.1)), SONNET)
    assert pools.view().status == "ready"


def test_money_is_shown_as_a_limit() -> None:
    pools = Pools(account("a", daily_limit=Decimal(5)))
    pools.lease().settle(cost=Decimal(5))
    shown = pools.view()
    assert shown.status == "limited"
    assert shown.reason is not None
    assert "$5.00" in shown.reason


def faults(pools: Pools, only: str = "") -> None:
    for _ in range(3):
        pools.tell(Report(Result.FAULT, reason="cannot be reached"), only=only)


def test_a_faulty_account_is_cooling_while_others_serve_and_ready_when_it_is_the_last() -> None:
    both, alone = Pools(A, B), Pools(A)
    faults(both, "a")
    faults(alone)
    assert both.view("a").status == "cooling"
    assert pool_obstacles(both.snapshot, "b", both.pool) == {"a": "cannot be reached", "b": ""}
    assert alone.view("a").status == "ready"
    assert alone.view("a").reason == (
        "used although it is faulty, because no other account can serve: cannot be reached"
    )
    assert alone.lease().account is A


def test_nothing_is_dead_while_one_account_of_one_backend_can_serve() -> None:
    two = (backend(), backend(name="c"))
    pools = Pools(replace(A, is_paused=True), account("x", backend="c"), backends=two)
    assert pools.dead() == []


def test_a_pool_that_is_back_in_time_is_not_dead_and_one_that_is_not_says_why() -> None:
    pools = Pools(A)
    pools.tell(limited(retry_at=WALL + 50))
    assert pools.dead(within=60) == []
    assert pools.dead(within=40) == ["b: account a: the provider limits the rate"]


def test_what_waiting_cannot_mend_is_dead_at_once() -> None:
    assert Pools(replace(A, is_paused=True)).dead(within=1e9) == ["b: account a: paused"]
    refused = Pools(A)
    refused.pool.state.put_bench(refused.pool.state.account("a"), bench(BenchKind.AUTH, until=1060.0))
    assert refused.dead(within=1e9) == ["b: account a: was auth"]


def test_no_account_and_no_backend_are_named() -> None:
    assert Pools().dead() == ["b: no account"]
    assert Pools(backends=()).dead() == ["no backend is enabled"]
