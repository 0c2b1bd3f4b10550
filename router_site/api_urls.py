"""The API's URLs, with and without `/v1`. They run in the lean handler, never through the admin's middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from backends.wire.kinds import Kind
from proxyapp import analytics_view, health, live, metrics, openapi, playground, state, views

PREFIXES = ("v1/", "")


def url(route: str, view: Callable[..., Awaitable[HttpResponseBase]], **kwargs: object) -> URLPattern:
    """`path()` for an async view, which Django's types do not know."""
    return path(route, cast("Callable[..., Any]", view), kwargs)


urlpatterns = [
    *(url(f"{prefix}{kind.path[1:]}", views.proxy, kind=kind) for kind in Kind for prefix in PREFIXES),
    *(url(f"{prefix}models", views.models) for prefix in PREFIXES),
    *(url(f"{prefix}models/<path:model_id>", views.models) for prefix in PREFIXES),
    url("", health.front),
    url("health", health.health),
    url("livez", health.livez),
    url("readyz", health.readyz),
    url("analytics", analytics_view.analytics),
    url("analytics/stream", live.stream),
    url("dashboard/playground/run", playground.run),
    url("metrics", metrics.metrics),
    url("openapi.json", openapi.openapi),
    url("accounts", state.accounts),
    url("status", state.status),
]
