"""Backends in the admin. Here, not in `backends`, because their buttons use the accounts' credentials."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from accounts.forms import BackendAddForm, OAuthProviderForm
from accounts.login_services import credential_problem
from accounts.models import Account, OAuthProvider
from accounts.probes import backend_models_now, backend_test_now
from accounts.providers import environment_name
from accounts.real_tests import real_test_now
from accounts.services import account_add
from accounts.terms import DECISION, RULE, account_terms
from backends.admin_buttons import Button, ObjectButtons, Pressed
from backends.django_types import ModelForm, StackedInline
from backends.forms import BackendForm
from backends.models import Backend

TIMEOUTS = ("connect_timeout_s", "first_byte_timeout_s", "first_byte_plain_timeout_s", "idle_timeout_s")
SHOWN_MODELS = 40
_REAL_QUESTION = (
    "Each account of this backend is sent one request for one token of an answer, and it is billed."
)


def test(row: Backend) -> Pressed:
    """Button: test every account."""
    results = backend_test_now(row.name)
    return Pressed(
        " ".join(f"Test of {result.line()}" for result in results), ok=all(result.ok for result in results)
    )


def test_really(row: Backend) -> Pressed:
    """Button: ask every account for one token."""
    results = real_test_now(row.name)
    return Pressed(
        " ".join(f"Test of {result.line()}" for result in results), ok=all(result.ok for result in results)
    )


def show_models(row: Backend) -> Pressed:
    """Button: ask for the model list, and keep it."""
    names = [entry.model for entry in backend_models_now(row.name)]
    more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
    return Pressed(
        f"Backend {row.name} lists {len(names)} models: {', '.join(names[:SHOWN_MODELS]) or 'none'}{more}."
    )


def set_enabled(row: Backend, enabled: bool) -> Pressed:
    """Button: let the router use it, or pass it over."""
    row.is_enabled = enabled
    row.save(update_fields=["is_enabled", "updated_at"])
    return Pressed(f"Backend {row.name} is {'enabled' if enabled else 'disabled'}.")


class OAuthProviderInline(StackedInline):
    """The operator's own OAuth client at the provider of this backend."""

    model = OAuthProvider
    form = OAuthProviderForm
    classes = ("collapse",)
    verbose_name = verbose_name_plural = "OAuth provider"

    def get_fieldsets(self, request: HttpRequest, obj: Backend | None = None) -> Any:
        """Empty: none. What the environment says wins."""
        name = environment_name(obj.name) if obj else "NAME"
        text = (
            "Only for accounts that log in with OAuth: a client that you registered at the provider. Patchbay ships"
            " nobody's client id."
            f" PATCHBAY_OAUTH_{name}_CLIENT_ID, _ISSUER, _AUTHORIZE_URL, _TOKEN_URL and _SCOPES in the environment"
            f" win over these fields. {RULE} {DECISION}"
        )
        fields = ["client_id", "issuer", "authorize_url", "token_url", "scopes", "redirect_url"]
        return [(None, {"fields": fields, "description": text})]


@admin.register(Backend)
class BackendAdmin(ObjectButtons):
    """Upstream services."""

    form = BackendForm
    list_display = ("name", "protocol", "address", "account_count", "model_count", "is_enabled")
    list_filter = ("protocol", "is_enabled")
    search_fields = ("name", "base_url")
    actions = ("test_selected", "enable_selected", "disable_selected")
    readonly_fields = ("account_list", "catalog_list")
    buttons = (
        Button("test", "Test connection", test),
        Button("test-real", "Send one real request", test_really, question=_REAL_QUESTION),
        Button("models", "Show models", show_models),
        Button(
            "disable",
            "Disable",
            lambda row: set_enabled(row, False),
            lambda row: row.is_enabled,
            is_change=True,
        ),
        Button(
            "enable",
            "Enable",
            lambda row: set_enabled(row, True),
            lambda row: not row.is_enabled,
            is_change=True,
        ),
    )

    def get_form(
        self, request: HttpRequest, obj: Backend | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """A new backend may bring the key of its first account."""
        if obj is None:
            kwargs["form"] = BackendAddForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Backend | None = None) -> Any:
        """What it is; what it has; what is seldom touched."""
        main = ["name", "base_url", "protocol", *(["is_enabled"] if obj else ["secret"])]
        sections: list[Any] = [(None, {"fields": main})]
        if obj:
            sections.append(("Accounts and models", {"fields": ["account_list", "strategy", "catalog_list"]}))
        features = ["model_globs", "responses", "capabilities", *([] if obj else ["strategy"])]
        sections.append(("Models and features", {"fields": features, "classes": ["collapse"]}))
        sections.append(
            ("Timeouts", {"fields": TIMEOUTS, "classes": ["collapse"], "description": _TIMEOUTS_HELP})
        )
        sections.append(("Redaction", {"fields": ["redacts"], "description": _REDACTION_HELP}))
        sections.append(("History", {"fields": ["keeps_bodies"], "classes": ["collapse"]}))
        return sections

    def get_inlines(self, request: HttpRequest, obj: Backend | None) -> Any:
        """Who logs its accounts in; once the backend is there."""
        return [OAuthProviderInline] if obj else []

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the counts of the list, in one query."""
        counts = {"accounts_n": Count("accounts", distinct=True), "models_n": Count("catalog", distinct=True)}
        return super().get_queryset(request).annotate(**counts)

    @admin.display(description="base URL", ordering="base_url")
    def address(self, row: Backend) -> str:
        """As text: an address is never a link."""
        return row.base_url

    @admin.display(description="accounts", ordering="accounts_n")
    def account_count(self, row: Any) -> int:
        """How many accounts are in the pool."""
        return int(row.accounts_n)

    @admin.display(description="models", ordering="models_n")
    def model_count(self, row: Any) -> int:
        """How many models it listed last."""
        return int(row.models_n)

    @admin.display(description="accounts")
    def account_list(self, row: Backend) -> str:
        """The pool."""
        return ", ".join(row.accounts.values_list("alias", flat=True)) or "none: requests cannot be served"

    @admin.display(description="models it listed last")
    def catalog_list(self, row: Backend) -> str:
        """The stored catalog."""
        names = list(row.catalog.values_list("model_id", flat=True)[: SHOWN_MODELS + 1])
        listed = ", ".join(names[:SHOWN_MODELS])
        return f"{listed}, …" if len(names) > SHOWN_MODELS else listed or "none yet"

    def save_model(self, request: HttpRequest, obj: Backend, form: ModelForm, change: bool) -> None:
        """With a new backend its first account; with a new host a word about the keys of the old one."""
        super().save_model(request, obj, form, change)
        if not change:
            account = account_add(obj.name, obj, form.cleaned_data.get("secret") or None)
            if notice := account_terms(account):
                self.message_user(request, notice, messages.WARNING)
        elif "base_url" in form.changed_data:
            self._warn_of_closed_keys(request, obj)

    def _warn_of_closed_keys(self, request: HttpRequest, obj: Backend) -> None:
        rows = Account.objects.filter(backend=obj).filter(~Q(sealed_secret="") | Q(token__isnull=False))
        if closed := [row.alias for row in rows if credential_problem(row)]:
            text = (
                f"The stored credentials of {', '.join(closed)} were entered for another host and are not sent to"
                " this one. Give them again on the account pages."
            )
            self.message_user(request, text, messages.WARNING)

    @admin.action(description="Test connection", permissions=["change"])
    def test_selected(self, request: HttpRequest, rows: QuerySet[Backend]) -> None:
        """Bulk action."""
        self.press_for_all(request, "test", rows)

    @admin.action(description="Enable", permissions=["change"])
    def enable_selected(self, request: HttpRequest, rows: QuerySet[Backend]) -> None:
        """Bulk action."""
        self.press_for_all(request, "enable", rows)

    @admin.action(description="Disable", permissions=["change"])
    def disable_selected(self, request: HttpRequest, rows: QuerySet[Backend]) -> None:
        """Bulk action."""
        self.press_for_all(request, "disable", rows)


_REDACTION_HELP = (
    "Keys, tokens, e-mail addresses and the like leave as placeholders, and come back in the answer. The rules, and a"
    " page to try them: Redaction rules. A model server in your own network (Ollama, LM Studio, vLLM, llama.cpp) always"
    " gets its requests as they are."
)
_TIMEOUTS_HELP = (
    "Seconds. Empty: what PATCHBAY_UPSTREAM_TIMEOUTS says (connect 5, first byte 120 or 600, idle 300)."
)
