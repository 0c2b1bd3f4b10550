"""What all pages of the dashboard share: who may see them, and the frame around them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate

from django.conf import settings
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

View = Callable[Concatenate[HttpRequest, ...], HttpResponseBase]


def staff_page(view: View) -> View:
    """A page for staff who may see the history: others are sent to the login, or refused with 403.

    Moments are shown in the operator's time zone. A part of a page that was asked for after the login had ended makes
    the browser load the whole page again, which then leads to the login.
    """

    @wraps(view)
    def allowed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm("analytics.view_requestrecord"):
            raise PermissionDenied
        with timezone.override(settings.PATCHBAY_TIME_ZONE):
            return view(request, *args, **kwargs)

    for_staff = staff_member_required(allowed, login_url="admin:login")

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if is_partial(request) and not request.user.is_staff:
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        return for_staff(request, *args, **kwargs)

    return guarded


def needs(permission: str) -> Callable[[View], View]:
    """Below `staff_page`: one more permission that the view asks for, such as `accounts.change_account`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def show(request: HttpRequest, template: str, page: str, context: dict[str, Any]) -> HttpResponseBase:
    """Render `template` in the frame; `page` is the one that the navigation marks."""
    return render(request, template, {**context, "page": page})


def show_fresh(request: HttpRequest, template: str, page: str, context: dict[str, Any]) -> HttpResponseBase:
    """The same for a page that renews its `{% block fresh %}` by itself: a script gets the part alone.

    The part is a template of its own: `dashboard/overview.html` includes `dashboard/overview_fresh.html`.
    """
    if is_partial(request):
        return render(request, template.replace(".html", "_fresh.html"), context)
    return show(request, template, page, context)


def is_partial(request: HttpRequest) -> bool:
    """Whether a script asks for a part of the page that it will put in place itself."""
    if "HX-History-Restore-Request" in request.headers:  # "back" wants all of it
        return False
    return request.headers.get("HX-Request") == "true"
