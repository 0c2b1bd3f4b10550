"""Client keys in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.admin_lookups import NoSecretLookups
from accounts.forms import ClientKeyForm
from accounts.key_listing import limits_line, list_keys
from accounts.key_services import key_issue, key_revoke, key_status
from accounts.models import ClientKey
from backends.admin_buttons import Button, Pressed
from backends.django_types import ModelForm


def revoke(row: ClientKey) -> Pressed:
    """Button: useless from the next request on."""
    key_revoke(row.name)
    return Pressed(f"Client key {row.name} is revoked.")


LIMIT_FIELDS = ["requests_per_minute", "tokens_per_minute", ("budget", "budget_period")]
LIMITS_TEXT = (
    "Empty: no limit. They apply to the next request. A budget is in US dollars at list prices; models without a known"
    " price cost nothing of it."
)


class ClientKeyList(ChangeList):
    """The list page; what the keys have spent is read once for the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Django's rows, each with its line on the budget."""
        super().get_results(request)
        listed = {found.row.pk: found for found in list_keys(self.result_list, timezone.now())}
        for row in self.result_list:
            row.listed = listed[row.pk]


@admin.register(ClientKey)
class ClientKeyAdmin(NoSecretLookups):
    """Keys that tools use. A new key is shown once, on the page that answers the form."""

    form = ClientKeyForm
    list_display = ("name", "shown_prefix", "status", "models", "limits", "spent", "expires_at", "created_at")
    search_fields = ("name",)
    actions = ("revoke_selected",)
    buttons = (Button("revoke", "Revoke", revoke, lambda row: row.revoked_at is None, is_change=True),)

    def get_fieldsets(self, request: HttpRequest, obj: ClientKey | None = None) -> Any:
        """What it is; what it may use; what is known of it."""
        known = ["shown_prefix", "status", "spent", "created_at", "revoked_at"]
        return [
            (None, {"fields": ["name", "model_globs", "expires_at"]}),
            ("Limits", {"fields": LIMIT_FIELDS, "description": LIMITS_TEXT}),
            ("History", {"fields": ["keeps_bodies"]}),
            *([("What is known", {"fields": known})] if obj else []),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Ours."""
        return ClientKeyList

    def get_readonly_fields(self, request: HttpRequest, obj: ClientKey | None = None) -> Any:
        """The name is fixed: history rows carry it."""
        return ["name", "shown_prefix", "status", "spent", "created_at", "revoked_at"] if obj else []

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

    @admin.display(description="limits")
    def limits(self, row: ClientKey) -> str:
        """What it may use."""
        return limits_line(row) or "none"

    @admin.display(description="spent")
    def spent(self, row: ClientKey) -> str:
        """Of its budget, in the current period."""
        listed = getattr(row, "listed", None) or list_keys([row], timezone.now())[0]
        return listed.budget_line

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
