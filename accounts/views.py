"""The one page of accounts: the admin's one-time login link."""

from __future__ import annotations

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.admin_access import login_link_use


@never_cache
@require_GET
def login_link(request: HttpRequest, token: str) -> HttpResponse:
    """Log the operator in, once. The gate has already refused every peer but this machine."""
    user = login_link_use(token)
    if user is None:
        return render(request, "login_link_spent.html", status=404)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("admin:index")
