"""Health and the front page. Health asks the router's own predicate, so the two can never disagree."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from accounts.client_auth import authenticate, keys_required
from accounts.pool import unserviceable
from accounts.snapshot import Snapshot, keeper
from analytics.recorder import recorder
from proxyapp.drain import draining
from proxyapp.front import front_page
from proxyapp.page_headers import add_page_headers
from proxyapp.request import ApiRequest
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
    reasons = unserviceable(snapshot)
    answer: dict[str, object] = {"status": "degraded" if reasons else "ok"}
    if _may_see_details(request, snapshot):
        degraded = reasons or _degradations()
        answer |= {
            "status": "degraded" if degraded else "ok",
            "oauth": "none",
            "expiresIn": None,
            "requests": recorder.taken,
            "version": settings.VERSION,
            "backends": len(snapshot.routing.real_backends),
            "historyWaiting": recorder.waiting,
            "reasons": degraded,
        }
    return JsonResponse(answer, status=503 if reasons else 200)


@methods("GET", "HEAD")
async def front(request: ApiRequest) -> HttpResponseBase:
    """`/`: a page for browsers, a line of JSON for probes (Claude Code sends HEAD / before it starts)."""
    wants_page = b"text/html" in request.raw_headers.get(b"accept", b"") and request.is_loopback
    if wants_page:
        page = front_page(keeper.current, keys_needed=keys_required(keeper.current))
        return add_page_headers(HttpResponse(page))
    return JsonResponse({"name": "patchbay", "status": "ok"})


def _may_see_details(request: ApiRequest, snapshot: Snapshot) -> bool:
    return request.is_loopback or authenticate(request.raw_headers, snapshot, is_loopback=False) is not None


def _degradations() -> list[str]:
    return ["the history database takes no rows; they wait in memory"] if recorder.is_stuck else []
