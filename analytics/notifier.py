"""Tells the operator: by webhook, or on the desktop of this machine. A task beside the requests; it never raises."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
from django.conf import settings

from accounts.key_limits import key_limits
from accounts.key_use import Period
from accounts.pool import pool
from accounts.pool_view import accounts_view
from accounts.snapshot import Snapshot, keeper
from accounts.spending import periods
from analytics.notices import Budget, Notice, Told, account_notices, budget_notices
from backends.addresses import check_base_url
from backends.errors import UpstreamError
from backends.upstream import Deadlines, current_upstream

logger = logging.getLogger("patchbay.notices")
LOOK_SECONDS = 5.0
PAUSES = (1.0, 10.0)  # before the second and the third try
_HEADERS = [(b"content-type", b"application/json"), (b"user-agent", b"patchbay")]
_DEADLINES = Deadlines(5.0, 10.0, 10.0)


@dataclass
class Notifier:
    """Looks every few seconds, and tells what is new. `url` may hold a secret, so it is never logged."""

    url: str
    desktop: bool
    low: float
    share: float
    told: Told = field(default_factory=Told)

    @classmethod
    def from_settings(cls) -> Notifier:
        """As configured: see PATCHBAY_NOTIFY_* in docs/settings.md."""
        return cls(
            settings.PATCHBAY_NOTIFY_URL,
            settings.PATCHBAY_NOTIFY_DESKTOP,
            settings.PATCHBAY_NOTIFY_HEADROOM / 100,
            settings.PATCHBAY_NOTIFY_BUDGET / 100,
        )

    @property
    def is_wanted(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.url or self.desktop)

    async def keep(self) -> None:
        """Runs as long as the server; ends at once where nobody wants to be told."""
        while self.is_wanted:
            try:
                for notice in self.news():
                    await self.tell(notice)
            except Exception:  # a broken look must not end the next ones
                logger.exception("Looking for something to tell failed.")
            await asyncio.sleep(LOOK_SECONDS)

    def news(self) -> list[Notice]:
        """What is to be told now and was not yet."""
        snapshot = keeper.current
        due = [notice for view in accounts_view(snapshot) for notice in account_notices(view, self.low)]
        due += budget_notices([*_account_budgets(snapshot), *_key_budgets(snapshot)], self.share)
        return self.told.news(due, time.monotonic())

    async def tell(self, notice: Notice) -> None:
        """To whoever is configured, and to the log."""
        logger.warning("%s", notice.text)
        if self.desktop:
            await _show(notice.text)
        if self.url:
            await self._post(notice)

    async def _post(self, notice: Notice) -> None:
        for pause in (0.0, *PAUSES):
            await asyncio.sleep(pause)
            failure = await self._try(msgspec.json.encode(notice.as_dict()))
            if not failure:
                return
        logger.error("The address in PATCHBAY_NOTIFY_URL does not take notices: %s. Check it.", failure)

    async def _try(self, body: bytes) -> str:
        """What went wrong; empty when it was taken."""
        address, _, query = self.url.partition("?")
        try:
            response = await current_upstream().send(
                method="POST",
                base=check_base_url(address),
                path="",
                query=query.encode(),
                headers=_HEADERS,
                body=body,
                deadlines=_DEADLINES,
            )
        except UpstreamError as exc:
            return exc.code
        response.close()
        return "" if 200 <= response.status < 300 else f"it answered {response.status}"


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


async def _show(text: str) -> None:
    """A notification of the desktop, where there is a program for it. The text holds no secret."""
    command = _desktop_command(text)
    if command is None:
        logger.warning("PATCHBAY_NOTIFY_DESKTOP is on, but neither notify-send nor osascript is installed.")
        return
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()


def _desktop_command(text: str) -> list[str] | None:
    if sys.platform == "darwin" and (program := shutil.which("osascript")):
        script = 'on run words\ndisplay notification (item 1 of words) with title "Patchbay"\nend run'
        return [program, "-e", script, text]
    program = shutil.which("notify-send")
    return [program, "--app-name=Patchbay", "--", "Patchbay", text] if program else None
