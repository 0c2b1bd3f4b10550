"""An OAuth login from an account's admin page: open the provider's page, paste what its last page shows.

Pasting, not a redirect back into the admin: the gate refuses requests that another site starts and the session
cookie is strict, for all pages; an exception for one address would weaken both. The pending login is bound to the
admin's session and to the account, sealed, used once, and over after ten minutes.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse

from accounts.login_services import credential_set, required_provider
from accounts.models import Account
from accounts.oauth import PendingLogin, discover, exchange_code, new_login
from accounts.oauth_callback import NotThisLogin, code_of_paste
from accounts.oauth_listener import CALLBACK_PATH
from accounts.providers import ProviderConfig
from accounts.terms import account_terms
from accounts.vault import VaultError, seal, unseal
from backends.admin_buttons import ObjectButtons
from backends.online import run_online
from backends.services import ServiceError

LOGIN_SECONDS = 600.0
SESSION_KEY = "oauth_login"


class _Begun(msgspec.Struct):
    """A pending login as it lies, sealed, in the session. `at`: seconds since the epoch."""

    at: float
    url: str
    state: str
    verifier: str
    redirect_uri: str

    def pending(self) -> PendingLogin:
        """As the OAuth functions take it."""
        return PendingLogin(self.url, self.state, self.verifier, self.redirect_uri)


class LoginPages(ObjectButtons):
    """The login page beside an account's change page."""

    def get_urls(self) -> list[URLPattern]:
        """One address: GET shows, POST acts."""
        view = self.admin_site.admin_view(self.login_page)
        return [path("<path:object_id>/login/", view, name="accounts_account_login"), *super().get_urls()]

    def login_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Begin a login, take what was pasted, or show how far it is."""
        row = self.get_object(request, object_id)
        if row is None or row.kind != Account.OAUTH:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        try:
            if request.method != "POST":
                return self._show(request, row)
            if "paste" in request.POST:
                return self._finish(request, row, request.POST["paste"])
            request.session[SESSION_KEY] = _begin(row)
        except (ServiceError, NotThisLogin) as exc:
            self.message_user(request, str(exc), messages.ERROR)
        return HttpResponseRedirect(reverse("admin:accounts_account_login", args=[row.pk]))

    def _show(self, request: HttpRequest, row: Account) -> HttpResponse:
        begun = _begun(request, row)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Log in account {row.alias}",
            "opts": self.opts,
            "row": row,
            "begun": begun,
            "shows_code": begun is not None and begun.redirect_uri == _provider(row).redirect_url,
            "problem": _configuration_problem(row),
            "terms": account_terms(row),
        }
        return render(request, "admin/accounts/account/login.html", context)

    def _finish(self, request: HttpRequest, row: Account, pasted: str) -> HttpResponse:
        begun = _begun(request, row)
        if begun is None:
            raise ServiceError("This login was not begun here, or more than ten minutes ago. Begin again.")
        provider = required_provider(row.backend.name)
        code = code_of_paste(pasted, provider, begun.pending())
        del request.session[SESSION_KEY]
        credential_set(row, run_online(exchange_code(provider, begun.pending(), code)))
        text = f"Account {row.alias} is logged in."
        self.log_change(request, row, text)
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:accounts_account_change", args=[row.pk]))


def _begin(row: Account) -> str:
    """A sealed pending login. Raises ServiceError."""
    provider = run_online(discover(required_provider(row.backend.name)))
    pending = new_login(provider, provider.redirect_url or _unreachable_redirect())
    begun = _Begun(time.time(), pending.url, pending.state, pending.verifier, pending.redirect_uri)
    return seal(msgspec.json.encode(begun).decode(), owner=row.uid, host=row.host)


def _unreachable_redirect() -> str:
    """A loopback address at which nobody listens: the browser's address bar then holds the code."""
    return f"http://127.0.0.1:{secrets.choice(range(49152, 65536))}{CALLBACK_PATH}"


def _begun(request: HttpRequest, row: Account) -> _Begun | None:
    """What this session began for this account, if it is not too old."""
    try:
        text = unseal(request.session.get(SESSION_KEY, ""), owner=row.uid, host=row.host).reveal()
    except VaultError:
        return None
    begun = msgspec.json.decode(text, type=_Begun)
    return begun if 0 <= time.time() - begun.at < LOGIN_SECONDS else None


def _provider(row: Account) -> ProviderConfig:
    return required_provider(row.backend.name)


def _configuration_problem(row: Account) -> str:
    try:
        required_provider(row.backend.name)
    except ServiceError as exc:
        return str(exc)
    return ""
