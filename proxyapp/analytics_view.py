"""`/analytics`: what was asked, what it cost, how the windows stand and how long they will last."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.http import JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts.pool_view import AccountView, accounts_view
from accounts.snapshot import Snapshot
from analytics.forecasting.accounts import histories_of, pool_minutes_left, predictions_of
from analytics.history_thread import in_history_thread
from analytics.summary import MOST_MINUTES, Groups, Older, all_time, burn, window_summary
from analytics.summary_json import burn_json, group_json, groups_json, totals_json, window_json
from analytics.usage_sums import Sums
from analytics.utilization import Histories, steps
from proxyapp.errors import ProxyError
from proxyapp.request import ApiRequest
from proxyapp.responses import refuse
from proxyapp.views import identify, methods, open_draft

NO_CLAIM = "none"
Json = dict[str, object]
_older = Older()


@methods("GET", "HEAD")
async def analytics(request: ApiRequest) -> HttpResponseBase:
    """The last `minutes` (60), and everything before. The history is read in a thread of its own."""
    try:
        snapshot, _ = await identify(request)
        minutes = minutes_of(request)
    except ProxyError as error:
        return refuse(open_draft(request, None), error)
    live = Live.of(snapshot)
    return JsonResponse(await in_history_thread(lambda: answer(minutes, live, _older)))


def minutes_of(request: ApiRequest) -> int:
    """The query's `minutes`. Raises ProxyError 400."""
    text = request.GET.get("minutes", "60").strip()
    if text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_MINUTES:
        return int(text)
    message = f"minutes must be a whole number from 1 to {MOST_MINUTES} (a year), not {text[:40]!r}."
    raise ProxyError(400, message, param="minutes", is_rejection=True)


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running server knows, taken in its loop."""

    accounts: tuple[AccountView, ...]
    predictions: Json
    minutes_left: float | None
    histories: Histories

    @classmethod
    def of(cls, snapshot: Snapshot) -> Live:
        """As it is now."""
        views = accounts_view(snapshot)
        predictions: Json = {view.account.alias: predictions_of(view) for view in views}
        return cls(tuple(views), predictions, pool_minutes_left(views), histories_of(views))

    @property
    def exhaustion(self) -> Json:
        """Minutes until the first pool can serve no more."""
        left = self.minutes_left
        return {"estimatedExhaustionMinutes": None if left is None else round(left, 1)}

    def utilization(self, minutes: int, now: datetime) -> list[Json]:
        """The quotas in steps of five minutes."""
        found = steps(self.histories, minutes, now.timestamp())
        return [{"at": round(at * 1000), "accounts": shown} for at, shown in found]

    def claims(self, groups: Groups) -> dict[str, int]:
        """Requests by the window that governs their account now, the most first."""
        governs = {view.account.alias: governing(view) for view in self.accounts}
        found: Counter[str] = Counter()
        for alias, group in groups.items():
            found[governs.get(alias, NO_CLAIM)] += group.requests
        return dict(found.most_common())


def governing(view: AccountView) -> str:
    """What the provider said; else the window that is used most; else "none"."""
    fullest = max(view.windows, key=lambda window: window.used, default=None)
    return view.claim or (fullest.reading.window if fullest is not None else NO_CLAIM)


def answer(minutes: int, live: Live, older: Older) -> Json:
    """The whole answer. Uses the history database: ten queries at most."""
    now = timezone.now()
    summary = window_summary(minutes, now)
    groups, (ever, accounts_ever) = summary.groups, all_time(now, older)
    rates = burn(now, summary, ever.sums.requests)
    return {
        "window": window_json(summary, live.claims(groups["account"])),
        "allTime": totals_json(ever, live.claims(accounts_ever)),
        "perAccount": _accounts_json(groups["account"], live),
        "perModel": groups_json(groups["model"]),
        "perBackend": groups_json(groups["backend"]),
        "perKey": groups_json(groups["key"]),
        "utilization": live.utilization(minutes, now),
        "predictions": live.predictions | burn_json(rates) | live.exhaustion,
    }


def _accounts_json(groups: Groups, live: Live) -> Json:
    """Those that were used, and those that could be."""
    views = {view.account.alias: view for view in live.accounts}
    shown: Json = {}
    for alias in [*groups, *(alias for alias in views if alias not in groups)]:
        view = views.get(alias)
        shown[alias] = group_json(groups.get(alias, Sums())) | {
            "currentUtil5h": view.utilization("5h") if view is not None else None,
            "currentUtil7d": view.utilization("7d") if view is not None else None,
        }
    return shown
