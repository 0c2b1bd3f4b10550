"""A pool of a few accounts whose time the test moves, with one word for each thing that happens to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from accounts.pool import Ask, Lease, NoAccount, Pool
from accounts.reports import Report
from accounts.snapshot import AccountConfig
from backends.config import Strategy
from tests.accounts.pools import SONNET, Time, ask, at_once, served, window


class Desk:
    """A pool of these accounts whose time the test moves."""

    def __init__(self, *accounts: AccountConfig, strategy: Strategy = Strategy.HEADROOM) -> None:
        self.time = Time()
        self.pool: Pool = self.time.pool()
        self.accounts = accounts
        self.strategy = strategy

    def ask(self, session: str = "", *, model: str = SONNET, key: str = "k", **more: object) -> Ask:
        found: Ask = ask(self.accounts, model, self.strategy, session=session, key=key, **more)
        return found

    def lease(self, session: str = "", **more: object) -> Lease:
        return at_once(self.pool.lease(self.ask(session, **more)))  # type: ignore[arg-type]

    def serve(self, session: str = "", **more: object) -> str:
        """A whole request that goes well; who served it."""
        lease = self.lease(session, **more)
        lease.report(served())
        lease.settle()
        return lease.account.alias

    def fail(self, report: Report, session: str = "", **more: object) -> str:
        lease = self.lease(session, **more)
        lease.report(report)
        lease.settle()
        return lease.account.alias

    def none(self, session: str = "", **more: object) -> NoAccount:
        with pytest.raises(NoAccount) as caught:
            self.lease(session, **more)
        return caught.value

    def know(self, alias: str, *windows: tuple[str, float]) -> None:
        found = [window(name, used, now=self.time.now) for name, used in windows]
        self.pool.state.put_windows(self.pool.state.account(alias), found)

    def edit(self, alias: str, **settings: object) -> None:
        """The configuration is swapped: every account is a new object."""
        self.accounts = tuple(
            replace(a, **settings) if a.alias == alias else replace(a) for a in self.accounts
        )
