"""Accounts and client keys in the admin, and how one enters it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts import admin_backends  # noqa: F401  (registers the backends)
from accounts.forms import AccountForm, ClientKeyForm
from accounts.login_throttle import ThrottledLoginForm
from accounts.models import Account, ClientKey
from accounts.probes import account_test_now
from accounts.services import (
    account_problem,
    account_set_paused,
    account_status,
    key_issue,
    key_revoke,
    key_status,
)
from backends.admin_buttons import Button, ObjectButtons, Pressed
from backends.django_types import ModelForm
from backends.durations import how_long_ago

admin.site.site_header = admin.site.site_title = "Patchbay"
admin.site.index_title = "Configuration and history"
admin.site.login_form = ThrottledLoginForm
admin.site.enable_nav_sidebar = False  # the lists need the width, and the first page is one click away
HIDDEN_COLUMNS = ("sealed_secret", "secret_hint", "digest", "prefix", "uid")


def pause(row: Account) -> Pressed:
    """Button: out of the pool."""
    account_set_paused(row.alias, True)
    return Pressed(f"Account {row.alias} is paused.")


def resume(row: Account) -> Pressed:
    """Button: back into the pool."""
    account_set_paused(row.alias, False)
    return Pressed(f"Account {row.alias} is back in the pool.")


def test(row: Account) -> Pressed:
    """Button: ask for the model list with this account."""
    result = account_test_now(row)
    return Pressed(f"Test of {result.line()}", ok=result.ok)


def revoke(row: ClientKey) -> Pressed:
    """Button: useless from the next request on."""
    key_revoke(row.name)
    return Pressed(f"Client key {row.name} is revoked.")


class NoSecretLookups(ObjectButtons):
    """No list can be filtered by a secret's column: even a yes or no tells something."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Refuse the columns that belong to secrets."""
        if lookup.split("__")[0] in HIDDEN_COLUMNS:
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]


@admin.register(Account)
class AccountAdmin(NoSecretLookups):
    """The operator's credentials. The key goes in and never comes back out."""

    form = AccountForm
    fields = ("alias", "backend", "kind", "secret", "is_paused", "status")
    readonly_fields = ("status",)
    list_display = ("alias", "backend", "kind", "key_hint", "key_age", "status")
    list_filter = ("backend", "is_paused", "kind")
    list_select_related = ("backend",)
    search_fields = ("alias", "backend__name")
    actions = ("pause_selected", "resume_selected", "test_selected")
    buttons = (
        Button("test", "Test connection", test),
        Button("pause", "Pause", pause, lambda row: not row.is_paused, is_change=True),
        Button("resume", "Resume", resume, lambda row: bool(row.is_paused), is_change=True),
    )

    @admin.display(description="key")
    def key_hint(self, row: Account) -> str:
        """The last four characters."""
        return row.secret_hint or "-"

    @admin.display(description="set", ordering="secret_set_at")
    def key_age(self, row: Account) -> str:
        """How old the key is here."""
        return how_long_ago(row.secret_set_at, timezone.now()) if row.secret_set_at else "-"

    @admin.display(description="status")
    def status(self, row: Account) -> str:
        """Ready, or what is in the way."""
        if row._state.adding:
            return "-"
        problem = account_problem(row)
        return f"{account_status(row)}: {problem}" if problem else account_status(row)

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        """Bulk action."""
        self.press_for_all(request, "pause", rows)

    @admin.action(description="Resume", permissions=["change"])
    def resume_selected(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        """Bulk action."""
        self.press_for_all(request, "resume", rows)

    @admin.action(description="Test connection", permissions=["change"])
    def test_selected(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        """Bulk action."""
        self.press_for_all(request, "test", rows.select_related("backend"))


@admin.register(ClientKey)
class ClientKeyAdmin(NoSecretLookups):
    """Keys that tools use. A new key is shown once, on the page that answers the form."""

    form = ClientKeyForm
    list_display = ("name", "shown_prefix", "status", "models", "created_at", "expires_at", "revoked_at")
    search_fields = ("name",)
    actions = ("revoke_selected",)
    buttons = (Button("revoke", "Revoke", revoke, lambda row: row.revoked_at is None, is_change=True),)

    def get_fields(self, request: HttpRequest, obj: ClientKey | None = None) -> Any:
        """What can be said before, and what is known after."""
        own = ["name", "model_globs", "expires_at"]
        return [*own, "shown_prefix", "status", "created_at", "revoked_at"] if obj else own

    def get_readonly_fields(self, request: HttpRequest, obj: ClientKey | None = None) -> Any:
        """The name is fixed: history rows carry it."""
        return ["name", "shown_prefix", "status", "created_at", "revoked_at"] if obj else []

    @admin.display(description="key")
    def shown_prefix(self, row: ClientKey) -> str:
        """Enough to tell keys apart."""
        return f"{row.prefix}…"

    @admin.display(description="status")
    def status(self, row: ClientKey) -> str:
        """Active, expired or revoked."""
        return key_status(row, timezone.now())

    @admin.display(description="models")
    def models(self, row: ClientKey) -> str:
        """What it may ask for."""
        return ", ".join(row.model_globs) or "every model"

    def save_model(self, request: HttpRequest, obj: ClientKey, form: ModelForm, change: bool) -> None:
        """A new row gets its key from the same service as `keys add`."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            obj.new_key = key_issue(obj)  # type: ignore[attr-defined]  # for response_add, in this request only

    def response_add(
        self, request: HttpRequest, obj: ClientKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The key, in this answer only: a message would leave it in a cookie or in the session table."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Client key {obj.name}",
            "opts": self.opts,
            "row": obj,
            "new_key": obj.new_key,  # type: ignore[attr-defined]
        }
        return render(request, "admin/accounts/clientkey/created.html", context)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, rows: QuerySet[ClientKey]) -> None:
        """Bulk action."""
        self.press_for_all(request, "revoke", rows)
