"""Tells the operator: by webhook, or on the desktop of this machine. A task beside the requests; it never raises."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings

from accounts.key_limits import key_limits
from accounts.key_use import Period
from accounts.pool import pool
from accounts.pool_view import accounts_view
from accounts.snapshot import Snapshot, keeper
from accounts.spending import periods
from analytics.notice_channels import Desktop, Outbox, Webhook
from analytics.notices import Budget, Notice, Told, account_notices, budget_notices

logger = logging.getLogger("patchbay.notices")
LOOK_SECONDS = 5.0


@dataclass
class Notifier:
    """Looks every few seconds, and tells what is new to all channels at the same time."""

    channels: list[Outbox]
    low: float
    share: float
    told: Told = field(default_factory=Told)

    @classmethod
    def from_settings(cls) -> Notifier:
        """As configured: see PATCHBAY_NOTIFY_* in docs/settings.md."""
        channels = [Outbox(Desktop())] if settings.PATCHBAY_NOTIFY_DESKTOP else []
        if settings.PATCHBAY_NOTIFY_URL:
            channels.append(Outbox(Webhook(settings.PATCHBAY_NOTIFY_URL)))
        headroom, budget = settings.PATCHBAY_NOTIFY_HEADROOM, settings.PATCHBAY_NOTIFY_BUDGET
        return cls(channels, headroom / 100, budget / 100)

    async def keep(self) -> None:
        """Runs as long as the server; ends at once where nobody wants to be told."""
        if not self.channels:
            return
        async with asyncio.TaskGroup() as group:
            for channel in self.channels:
                group.create_task(channel.keep())
            await self._look()

    async def _look(self) -> None:
        while True:
            try:
                for notice in self.news():
                    self.tell(notice)
            except Exception:  # a broken look must not end the next ones
                logger.exception("Looking for something to tell failed.")
            await asyncio.sleep(LOOK_SECONDS)

    def news(self) -> list[Notice]:
        """What is to be told now and was not yet."""
        snapshot = keeper.current
        due = [notice for view in accounts_view(snapshot) for notice in account_notices(view, self.low)]
        due += budget_notices([*_account_budgets(snapshot), *_key_budgets(snapshot)], self.share)
        return self.told.news(due, time.monotonic())

    def tell(self, notice: Notice) -> None:
        """To the log now, and to whoever is configured as soon as they take it."""
        logger.warning("%s", notice.text)
        for channel in self.channels:
            channel.put(notice)


def _account_budgets(snapshot: Snapshot) -> Iterator[Budget]:
    day, month = periods(pool.state.wall())
    for account in (account for accounts in snapshot.pools.values() for account in accounts):
        spent = pool.state.account(account.uid).spent
        for limit, period in ((account.daily_limit, day), (account.monthly_limit, month)):
            if limit is not None and period in spent:
                yield Budget(account.alias, "account", period, limit, spent[period])


def _key_budgets(snapshot: Snapshot) -> Iterator[Budget]:
    today = datetime.fromtimestamp(pool.state.wall(), UTC)
    for key in snapshot.client_keys.values():
        limits = key.limits
        if limits is None or limits.budget is None:
            continue
        left = key_limits.remaining(limits)
        if left is not None:
            yield Budget(
                key.name, "client key", _named(limits.period, today), limits.budget, limits.budget - left
            )


def _named(period: Period, today: datetime) -> str:
    """The period that a day falls into."""
    if period is Period.WEEK:
        return f"the week of {today - timedelta(days=today.weekday()):%Y-%m-%d}"
    return f"{today:%Y-%m}" if period is Period.MONTH else f"{today:%Y-%m-%d}"
