"""Who is logged in on the pages, for what runs outside Django's own handler: the live socket and the playground."""

from __future__ import annotations

from importlib import import_module

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse, QueryDict, parse_cookie
from django.middleware.csrf import CsrfViewMiddleware

from proxyapp.errors import ProxyError
from proxyapp.request import ApiRequest

VIEW_HISTORY = "analytics.view_requestrecord"
ACT = "accounts.change_account"  # may send requests on the operator's accounts, and stop them


@database_sync_to_async  # type: ignore[untyped-decorator]  # channels has no types
def may(session_key: str, permission: str) -> bool:
    """Whether this session is that of staff with a permission, as the database has it now."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
    user = get_user(request)
    return bool(session_key and user.is_active and user.is_staff and user.has_perm(permission))


async def demand_operator(request: ApiRequest, permission: str) -> None:
    """Raises ProxyError 403 unless the request comes from a page of ours, and from staff with this permission."""
    cookies = parse_cookie(request.raw_headers.get(b"cookie", b"").decode("latin-1"))
    if not await may(cookies.get(settings.SESSION_COOKIE_NAME, ""), permission):
        raise _refusal("Log in to the admin first, as somebody who may change accounts.", "login_required")
    if not _has_token(request, cookies):
        raise _refusal("This page is out of date. Load it again.", "csrf_failed")


def _has_token(request: ApiRequest, cookies: dict[str, str]) -> bool:
    """Django's own check of the page's token, which needs a request of Django's own kind."""
    page = HttpRequest()
    page.method, page.path = request.method, request.path
    page.META, page.COOKIES, page.POST = dict(request.META), cookies, QueryDict()
    check = CsrfViewMiddleware(_nothing)
    check.process_request(page)
    return check.process_view(page, _nothing, (), {}) is None


def _nothing(_: HttpRequest) -> HttpResponse:
    """Stands for the view, which is none of Django's."""
    return HttpResponse()


def _refusal(message: str, code: str) -> ProxyError:
    return ProxyError(403, message, code=code, is_rejection=True)
