"""Accounts in the admin. A credential goes in and never comes back out."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, urlize
from django.utils.safestring import mark_safe

from accounts.admin_login import LoginPages
from accounts.admin_lookups import NoSecretLookups
from accounts.forms import AccountForm
from accounts.listing import ListedAccount, benches_in_force, list_account, list_accounts
from accounts.login_services import credential_forget, credential_settle
from accounts.models import Account, OAuthToken
from accounts.pool_page import pool_page
from accounts.probes import account_test_now
from accounts.refresh_services import credential_refresh
from accounts.services import account_pause, account_resume
from accounts.terms import ANTHROPIC, DECISION, RULE, account_terms
from backends.admin_buttons import Button, Pressed
from backends.django_types import ModelForm
from backends.durations import how_long_ago


def pause(row: Account) -> Pressed:
    """Button: out of the pool."""
    account_pause(row.alias)
    return Pressed(f"Account {row.alias} is paused.")


def resume(row: Account) -> Pressed:
    """Button: back into the pool, whatever benched it."""
    account_resume(row.alias)
    return Pressed(f"Account {row.alias} is back in the pool; the next request may try it.")


def test(row: Account) -> Pressed:
    """Button: ask for the model list with this account."""
    result = account_test_now(row)
    return Pressed(f"Test of {result.line()}", ok=result.ok)


def refresh(row: Account) -> Pressed:
    """Button: a new token now."""
    credential_refresh(row)
    found = list_account(row, time.time())
    return Pressed(f"The token of account {row.alias} was refreshed: {found.credential.line(found.now)}.")


def log_out(row: Account) -> Pressed:
    """Button: delete the credential, keep the account."""
    credential_forget(row)
    return Pressed(f"The credential of account {row.alias} was deleted here. The provider was not told.")


def is_benched(row: Account) -> bool:
    """Whether there is something that `resume` would end."""
    return row.is_paused or benches_in_force().filter(account=row).exists()


def has_credential(row: Account) -> bool:
    """Whether there is something that `log out` would delete."""
    return bool(row.sealed_secret or row.token_file) or OAuthToken.objects.filter(account=row).exists()


def can_refresh(row: Account) -> bool:
    """Whether there is a refresh token."""
    return OAuthToken.objects.filter(account=row).exclude(sealed_refresh="").exists()


class AccountList(ChangeList):
    """The list page; the state of every credential is read once for the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Django's rows, each with what is known of its credential."""
        super().get_results(request)
        listed = {found.row.uid: found for found in list_accounts(time.time())}
        for row in self.result_list:
            row.listed = listed.get(row.uid)


@admin.register(Account)
class AccountAdmin(LoginPages, NoSecretLookups):
    """The operator's credentials."""

    form = AccountForm
    change_form_template = "admin/accounts/account/change_form.html"
    readonly_fields = ("status", "expiry")
    list_display = ("alias", "word", "expiry", "backend", "kind_word", "key_hint", "key_age")
    list_filter = ("backend", "is_paused", "kind")
    list_select_related = ("backend",)
    search_fields = ("alias", "backend__name")
    actions = ("pause_selected", "resume_selected", "test_selected")
    buttons = (
        Button("test", "Test connection", test, lambda row: row.kind != Account.CALLER),
        Button("pause", "Pause", pause, lambda row: not row.is_paused, is_change=True),
        Button("resume", "Resume and probe now", resume, is_benched, is_change=True),
        Button("refresh", "Refresh token now", refresh, can_refresh, is_change=True),
        Button("logout", "Log out", log_out, has_credential, is_change=True),
    )

    class Media:
        css = {"all": ("accounts/account.css",)}
        js = ("accounts/account_form.js",)

    def get_fieldsets(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """What it is; its credential; how the pool uses it; what it may cost."""
        main = ["alias", "backend", "kind", *(["status", "expiry", "is_paused"] if obj else [])]
        return [
            (None, {"fields": main}),
            (
                "Credential",
                {"fields": ["secret", "token_file", "token_path"], "description": CREDENTIAL_TEXT},
            ),
            ("Its part in the pool", {"fields": POOL_FIELDS, "classes": ["collapse"]}),
            (
                "What it may cost",
                {"fields": MONEY_FIELDS, "classes": ["collapse"], "description": MONEY_TEXT},
            ),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Ours."""
        return AccountList

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With what the pool wrote down."""
        row = self.get_object(request, object_id)
        pool = pool_page(row, timezone.now()) if row is not None else {}
        return super().change_view(request, object_id, form_url, {"pool": pool, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Account, form: ModelForm, change: bool) -> None:
        """A new credential settles after the row is there; the terms of a subscription are shown with it."""
        super().save_model(request, obj, form, change)
        if not getattr(form, "has_new_credential", False):
            return
        credential_settle(obj, form.stored)  # type: ignore[attr-defined]
        if notice := account_terms(obj):
            self.message_user(request, notice, messages.WARNING)

    @admin.display(description="key")
    def key_hint(self, row: Account) -> str:
        """The last four characters."""
        return row.secret_hint or "-"

    @admin.display(description="set", ordering="secret_set_at")
    def key_age(self, row: Account) -> str:
        """How old the key is here."""
        return how_long_ago(row.secret_set_at, timezone.now()) if row.secret_set_at else "-"

    @admin.display(description="status")
    def word(self, row: Account) -> str:
        """Ready, or the one word for what is in the way."""
        return _listed(row).word

    @admin.display(description="kind", ordering="kind")
    def kind_word(self, row: Account) -> str:
        """As the commands call it."""
        return row.kind

    @admin.display(description="status")
    def status(self, row: Account) -> str:
        """Ready, or what is in the way."""
        if row._state.adding:
            return "-"
        found = _listed(row)
        problem = found.credential.problem
        return f"{found.word}: {problem}" if problem else found.word

    @admin.display(description="expiry")
    def expiry(self, row: Account) -> str:
        """When its token ends."""
        if row._state.adding:
            return "-"
        return _listed(row).expiry or "-"

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        """Bulk action."""
        self.press_for_all(request, "pause", rows)

    @admin.action(description="Resume and probe now", permissions=["change"])
    def resume_selected(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        """Bulk action."""
        self.press_for_all(request, "resume", rows)

    @admin.action(description="Test connection", permissions=["change"])
    def test_selected(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        """Bulk action."""
        self.press_for_all(request, "test", rows.select_related("backend"))


def _listed(row: Account) -> ListedAccount:
    """From the list page, else read now."""
    found: ListedAccount | None = getattr(row, "listed", None)
    return found or list_account(row, time.time())


POOL_FIELDS = ["position", "weight", "min_interval_ms", "reserve_percent", "reserves"]
MONEY_FIELDS = ["allowed_claims", "daily_limit", "monthly_limit"]
MONEY_TEXT = "What would exceed a limit here is not sent on this account. Empty: no limit."
CREDENTIAL_TEXT = format_html(
    "What the kind needs. A login through the browser begins with the button above, once the account is saved; a"
    " pasted token of a plan (sk-ant-oat…) makes the account an OAuth login."
    '<p class="pb-terms">For the kinds OAuth login and token file: {}</p>',
    mark_safe(urlize(f"{RULE} {ANTHROPIC} {DECISION}", autoescape=True)),
)
