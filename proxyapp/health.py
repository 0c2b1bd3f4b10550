"""Health and the front page. Health asks the router's own predicate, so the two can never disagree."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from accounts.client_auth import authenticate, keys_required
from accounts.pool import pool
from accounts.pool_view import pool_obstacles, unserviceable
from accounts.refresh import refresh_problems
from accounts.snapshot import Snapshot, keeper
from analytics.recorder import recorder
from analytics.shared_counts import shared_counts
from backends.tasks import task_problems
from proxyapp.drain import draining
from proxyapp.front import front_page
from proxyapp.page_headers import add_page_headers
from proxyapp.request import ApiRequest
from proxyapp.state import credential_states, is_login
from proxyapp.views import methods


@methods("GET", "HEAD")
async def livez(request: ApiRequest) -> HttpResponseBase:
    """The process is alive and its loop turns."""
    return JsonResponse({"status": "ok"})


@methods("GET", "HEAD")
async def readyz(request: ApiRequest) -> HttpResponseBase:
    """Ready for requests: 503 while draining."""
    if draining():
        return JsonResponse({"status": "draining"}, status=503)
    return JsonResponse({"status": "ready"})


@methods("GET", "HEAD")
async def health(request: ApiRequest) -> HttpResponseBase:
    """200 when something can serve, 503 when nothing can. Reasons only for this machine or a known caller."""
    snapshot = keeper.current
    fatal = unserviceable(snapshot, settings.PATCHBAY_QUEUE_SECONDS)
    reasons = fatal or [*_idle_backends(snapshot), *_degradations()]
    answer: dict[str, object] = {"status": "degraded" if reasons else "ok"}
    if _may_see_details(request, snapshot):
        counted = shared_counts.brief()
        answer |= {
            **_oauth(snapshot),
            "requests": counted.taken,
            "queued": counted.moment.queued,
            "version": settings.VERSION,
            "configVersion": snapshot.version,
            "backends": len(snapshot.routing.real_backends),
            "historyWaiting": counted.moment.unwritten,
            "reasons": reasons,
        }
    return JsonResponse(answer, status=503 if fatal else 200)


@methods("GET", "HEAD")
async def front(request: ApiRequest) -> HttpResponseBase:
    """`/`: a page for browsers, a line of JSON for probes (Claude Code sends HEAD / before it starts)."""
    wants_page = b"text/html" in request.raw_headers.get(b"accept", b"") and request.is_loopback
    if wants_page:
        page = front_page(keeper.current, keys_needed=keys_required(keeper.current))
        return add_page_headers(HttpResponse(page))
    return JsonResponse({"name": "patchbay", "status": "ok"})


def _oauth(snapshot: Snapshot) -> dict[str, object]:
    """The worst state among the credentials that expire, and how long it has."""
    states = credential_states(snapshot)
    found = [state for account, state in states if is_login(account) and not account.is_paused]
    worst = max(found, key=lambda state: _WORSE.index(_word(state.status)), default=None)
    if worst is None:
        return {"oauth": "none", "expiresIn": None}
    return {"oauth": _word(worst.status), "expiresIn": worst.expires_in}


_WORSE = ("healthy", "expiring", "expired")


def _word(status: str) -> str:
    return status if status in _WORSE else "expired"


def _may_see_details(request: ApiRequest, snapshot: Snapshot) -> bool:
    return request.is_loopback or authenticate(request.raw_headers, snapshot, is_loopback=False) is not None


def _idle_backends(snapshot: Snapshot) -> list[str]:
    """The backends that can serve nothing at this moment, with the reasons, unless somebody paused them."""
    told = []
    for name in snapshot.routing.backends:
        why = pool_obstacles(snapshot, name)
        if all(why.values()) and not (why and all(account.is_paused for account in snapshot.pool(name))):
            listed = "; ".join(f"account {alias}: {reason}" for alias, reason in why.items())
            told.append(f"{name}: {listed or 'no account'}")
    return told


def _degradations() -> list[str]:
    stuck = ["the history database takes no rows; they are spooled"] if recorder.is_stuck else []
    stale = ["the configuration cannot be read; the last one stays in force"] if keeper.is_failing else []
    return [*stuck, *stale, *refresh_problems(), *pool.state.problems(), *task_problems()]
