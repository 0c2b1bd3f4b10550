"""`/accounts` and `/status`: the pool and the credentials as the router sees them now."""

from __future__ import annotations

import time

from django.http import JsonResponse
from django.http.response import HttpResponseBase

from accounts.models import Account
from accounts.pool import pool
from accounts.pool_view import AccountView, accounts_view
from accounts.snapshot import AccountConfig, Snapshot
from accounts.status import CredentialStatus, credential_status, status_answer
from analytics.forecasting.accounts import predictions_of
from analytics.shared_counts import shared_counts
from proxyapp.errors import ProxyError
from proxyapp.request import ApiRequest
from proxyapp.responses import refuse
from proxyapp.views import identify, methods, open_draft


@methods("GET", "HEAD")
async def accounts(request: ApiRequest) -> HttpResponseBase:
    """Every account with its windows, its headroom and what is in its way."""
    try:
        snapshot, _ = await identify(request)
    except ProxyError as error:
        return refuse(open_draft(request, None), error)
    return JsonResponse(pool_summary(accounts_view(snapshot)))


def pool_summary(views: list[AccountView]) -> dict[str, object]:
    """The whole pool. `totalHeadroom` (0 to 100) is the mean over the accounts that could serve now."""
    ready = [view for view in views if view.obstacle is None]
    left = {view.account.alias: 1.0 if (h := view.standing.headroom) is None else h for view in ready}
    counted = shared_counts.brief()
    return {
        "mode": "pool",
        "accounts": [
            view.as_dict()
            | {"requestCount": counted.asked.get(view.account.uid, 0), "predictions": predictions_of(view)}
            for view in views
        ],
        "healthy": len(ready),
        "exhausted": sum(view.status in ("limited", "cooling") for view in views),
        "totalHeadroom": round(100 * sum(left.values()) / len(left), 1) if left else 0,
        "bestAccount": max(left, key=lambda alias: left[alias], default=None),
        "queued": counted.moment.queued,
        "stickyBindings": pool.state.live_bindings(),
    }


@methods("GET", "HEAD")
async def status(request: ApiRequest) -> HttpResponseBase:
    """The state of every credential; the default account's also at the top."""
    try:
        snapshot, _ = await identify(request)
    except ProxyError as error:
        return refuse(open_draft(request, None), error)
    return JsonResponse(status_answer(credential_states(snapshot)))


def credential_states(snapshot: Snapshot) -> list[tuple[AccountConfig, CredentialStatus]]:
    """Every account of every enabled backend with the state of its credential."""
    now = time.time()
    return [
        (account, credential_status(account, now, is_refused=pool.is_refused(account)))
        for backend in snapshot.routing.backends.values()
        for account in snapshot.pool(backend.name)
    ]


def is_login(account: AccountConfig) -> bool:
    """Whether its credential expires by itself."""
    return account.kind in (Account.OAUTH, Account.TOKEN_FILE)
