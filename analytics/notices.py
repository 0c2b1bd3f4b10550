"""What an operator wants to be told before users notice: a window that runs low, a budget, an account without login.

Pure: from what is known now to the notices that are due. `Told` remembers what has been said, so that each is said
once, and again only when it was over in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from accounts.pool_view import AccountView
from accounts.standing import ObstacleKind
from accounts.windows import WindowState, is_quota

FORGOTTEN_SECONDS = 600.0  # a share that swings around the threshold is one story
_DATES_ALIKE = 600.0  # some providers name a reset that moves by seconds with every answer


class NoticeKind(StrEnum):
    """What a notice is about."""

    WINDOW_LOW = "window_low"
    BUDGET = "budget"
    NEEDS_LOGIN = "needs_login"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. `subject`: the account or client key; `topic` tells two notices about it apart."""

    kind: NoticeKind
    subject: str
    topic: str
    text: str
    facts: dict[str, object] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """The same key: the same story."""
        return (self.kind.value, self.subject, self.topic)

    def as_dict(self) -> dict[str, object]:
        """For a webhook. `text` is what Slack, Mattermost and their like show."""
        return {"source": "patchbay", "kind": self.kind.value, "text": self.text, **self.facts}


@dataclass(frozen=True, slots=True)
class Budget:
    """Money that somebody limited: a client key's budget, or an account's daily or monthly limit. US dollars."""

    subject: str
    what: str  # "client key" or "account"
    period: str
    limit: Decimal
    spent: Decimal


def account_notices(view: AccountView, low: float) -> list[Notice]:
    """What is to be told of one account. `low`: the share of a window (0..1) that is little."""
    found = [_window_low(view, window) for window in view.windows if _is_low(window, low)]
    obstacle = view.obstacle
    if obstacle is not None and obstacle.kind in (ObstacleKind.NEEDS_LOGIN, ObstacleKind.EXPIRED):
        found.append(_needs_login(view, obstacle.reason))
    return found


def budget_notices(budgets: Iterable[Budget], share: float) -> list[Notice]:
    """Whose money is used to `share` (0..1) and beyond."""
    return [_budget(budget) for budget in budgets if budget.spent >= budget.limit * Decimal(str(share))]


def _is_low(window: WindowState, low: float) -> bool:
    """Rates per minute come and go all the time; only what takes hours to come back is news."""
    return is_quota(window.reading.window) and 1 - window.used <= low


def _window_low(view: AccountView, window: WindowState) -> Notice:
    account, reading = view.account, window.reading
    left = max(0.0, 1 - window.used)
    resets_at = view.wall + (window.retires_at - view.now)
    day = f"{datetime.fromtimestamp(resets_at, UTC):%Y-%m-%d %H:%M} UTC"
    name = f"{reading.window} ({reading.model_class})" if reading.model_class else reading.window
    facts: dict[str, object] = {
        "account": account.alias,
        "backend": account.backend,
        "window": reading.window,
        "modelClass": reading.model_class or None,
        "headroom": round(left, 4),
        "resetsAt": round(resets_at * 1000),
    }
    text = (
        f"Account {account.alias} of {account.backend} has {left:.0%} of its {name} window left, until {day}."
    )
    return Notice(
        NoticeKind.WINDOW_LOW, account.alias, f"{name} {round(resets_at / _DATES_ALIKE)}", text, facts
    )


def _needs_login(view: AccountView, reason: str) -> Notice:
    account = view.account
    cure = f"Look at it: python manage.py status {account.alias}."
    facts: dict[str, object] = {"account": account.alias, "backend": account.backend, "status": view.status}
    text = f"Account {account.alias} of {account.backend} cannot be used: {reason.rstrip('.')}. {cure}"
    return Notice(NoticeKind.NEEDS_LOGIN, account.alias, "", text, facts)


def _budget(budget: Budget) -> Notice:
    text = (
        f"{budget.what.capitalize()} {budget.subject} has used ${budget.spent:.2f} of ${budget.limit:.2f}"
        f" for {budget.period}."
    )
    facts: dict[str, object] = {
        "subject": budget.subject,
        "limit": float(budget.limit),
        "spent": float(budget.spent),
        "period": budget.period,
    }
    return Notice(NoticeKind.BUDGET, budget.subject, f"{budget.what} {budget.period}", text, facts)


@dataclass
class Told:
    """What has been told. `now` in the calls: seconds on any clock that runs evenly."""

    _seen_at: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def news(self, notices: Iterable[Notice], now: float) -> list[Notice]:
        """Those that nobody was told yet."""
        due = list(notices)
        new = [notice for notice in due if notice.key not in self._seen_at]
        self._seen_at.update((notice.key, now) for notice in due)
        self._seen_at = {key: at for key, at in self._seen_at.items() if now - at < FORGOTTEN_SECONDS}
        return new
