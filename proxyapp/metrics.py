"""`/metrics` for Prometheus: the counts of all workers, and the pool as it is at this moment.

Rule: what is told is taken in the event loop as plain numbers and written down in a thread. The Prometheus client is
imported there at the first scrape, so that who has no Prometheus does not pay for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from accounts.pool import pool
from accounts.pool_view import AccountView, accounts_view
from accounts.windows import is_quota
from analytics.forecasting.accounts import forecasts_of
from analytics.forecasting.tracks import window_name
from analytics.history_thread import in_history_thread
from analytics.shared_counts import Note, shared_counts
from analytics.summary import EPOCH
from analytics.tallies import Counts, Tallies
from analytics.usage_sums import Sums, sums
from proxyapp.errors import ProxyError
from proxyapp.metric_families import Family, Kind, Labels, histogram
from proxyapp.request import ApiRequest
from proxyapp.responses import refuse
from proxyapp.views import identify, methods, open_draft

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ACCOUNT = ("backend", "account")
Values = dict[Labels, float]


@methods("GET", "HEAD")
async def metrics(request: ApiRequest) -> HttpResponseBase:
    """The text format of Prometheus. A key is needed where requests need one."""
    try:
        snapshot, _ = await identify(request)
    except ProxyError as error:
        return refuse(open_draft(request, None), error)
    costs = await in_history_thread(_costs)
    views = accounts_view(snapshot)
    whole = shared_counts.whole()
    families = [*counted(whole.tallies), *spent(costs), *accounts(views), *windows(views), *the_rest(whole)]
    text = await asyncio.to_thread(_text, families)
    return HttpResponse(text, content_type=CONTENT_TYPE)


def _text(families: list[Family]) -> bytes:
    from proxyapp.metrics_text import exposition  # some 0.1 s and 5 MB, at the first scrape

    return exposition(families)


def _costs() -> list[Sums]:
    """By backend and account, since the history began. The other figures do not need the history."""
    try:
        return sums(EPOCH, by=("backend", "account"))
    except DatabaseError:
        return []


# --- families ------------------------------------------------------------------------------------------------


def counted(of: Counts | Tallies) -> list[Family]:
    """What was done since the start."""
    where = ("backend", "kind")
    seconds = (
        (
            "request_duration_seconds",
            "From the request's headers to the last byte of the answer.",
            of.durations,
        ),
        ("time_to_first_content_seconds", "From the request's headers to the first content.", of.ttfts),
        ("overhead_seconds", "Patchbay's own share of the time to the first byte.", of.overheads),
    )
    return [
        Family.counter(
            "requests", "Requests that have ended.", (*where, "outcome", "status_class"), of.requests
        ),
        Family.counter("attempts", "Tries at upstreams.", (*ACCOUNT, "outcome", "verdict"), of.attempts),
        Family.counter(
            "failovers",
            "Requests that took more than one attempt, by the backend that was asked last.",
            ("backend",),
            {(name,): count for name, count in of.failovers.items()},
        ),
        Family.counter("tokens", "Tokens as recorded.", ("backend", "model", "direction"), of.tokens),
        *(
            Family(
                Kind.HISTOGRAM,
                name,
                text,
                where,
                [histogram(k, h.bounds, h.counts, h.total) for k, h in found.items()],
            )
            for name, text, found in seconds
        ),
    ]


def spent(costs: Iterable[Sums]) -> list[Family]:
    """Money, from the history: it does not begin anew with the process."""
    served = [one for one in costs if all(one.group)]
    priced: Values = {one.group: float(one.cost) for one in served if one.cost is not None}
    unpriced: Values = {one.group: one.unpriced for one in served}
    return [
        Family.counter(
            "cost_dollars",
            "US dollars at list prices, since the history began; absent where nothing has a price.",
            ACCOUNT,
            priced,
        ),
        Family.counter(
            "unpriced_requests",
            "Served requests without a known price, since the history began.",
            ACCOUNT,
            unpriced,
        ),
    ]


def accounts(views: Iterable[AccountView]) -> list[Family]:
    """Every account of every enabled backend."""
    named = [((view.account.backend, view.account.alias), view) for view in views]
    headroom: Values = {name: h for name, view in named if (h := view.standing.headroom) is not None}
    ready: Values = {name: float(view.obstacle is None) for name, view in named}
    running: Values = {name: float(view.in_flight) for name, view in named}
    return [
        Family.gauge("account_ready", "1 if the account can serve now.", ACCOUNT, ready),
        Family.gauge("account_headroom_ratio", "1 - the most used window.", ACCOUNT, headroom),
        Family.gauge("account_requests_in_flight", "Leases that are held.", ACCOUNT, running),
    ]


def windows(views: Iterable[AccountView]) -> list[Family]:
    """The windows that govern every model, and all quotas."""
    used: Values = {}
    resets: Values = {}
    exhausts: Values = {}
    for view in views:
        found, offset = forecasts_of(view), view.wall - view.now
        for window in view.windows:
            if window.reading.model_class and not is_quota(window.reading.window):
                continue
            name = window_name(*window.key)
            labels = (view.account.backend, view.account.alias, name)
            used[labels] = window.used
            if found[name].resets_at is not None:
                resets[labels] = window.retires_at + offset
            if (moment := found[name].exhausts_at) is not None:
                exhausts[labels] = moment + offset
    labels_of = (*ACCOUNT, "window")
    when = "in seconds since the epoch"
    return [
        Family.gauge("window_used_ratio", "Share used, as the provider said last.", labels_of, used),
        Family.gauge("window_resets_timestamp_seconds", f"Next reset, {when}.", labels_of, resets),
        Family.gauge(
            "window_exhausts_timestamp_seconds",
            f"When it is expected to be spent, {when}; absent: not before its reset, or not known.",
            labels_of,
            exhausts,
        ),
    ]


def the_rest(whole: Note) -> list[Family]:
    """What waits, what is open, what was lost. The sessions are shared by all workers already."""
    now = whole.moment
    states: Values = {("open",): float(now.open), ("idle",): float(now.idle)}
    sessions = float(pool.state.live_bindings())
    return [
        Family.gauge("queue_length", "Requests that wait for an account.", (), {(): float(now.queued)}),
        Family.gauge("sticky_sessions", "Sessions that have an account.", (), {(): sessions}),
        Family.gauge("upstream_connections", "Connections to upstreams.", ("state",), states),
        Family.gauge("history_waiting_records", "Not yet in the database.", (), {(): float(now.unwritten)}),
        Family.counter(
            "history_dropped_records", "Lost: the queue was full.", (), {(): whole.tallies.dropped}
        ),
        Family.gauge("build_info", "Always 1.", ("version",), {(settings.VERSION,): 1.0}),
    ]
