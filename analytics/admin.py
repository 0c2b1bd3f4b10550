"""The history in the admin: read-only, cheap on a million rows (no full counts, no DISTINCT over the table)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from analytics.drafts import Outcome
from analytics.models import RequestRecord
from analytics.queries import attempts_of, status_range
from analytics.rows import model_text, tokens_text
from analytics.why import attempt_lines, decision_lines, usage_lines
from backends.django_types import ModelAdmin, RowPaginator
from backends.models import Backend
from backends.wire.kinds import Kind

COUNT_CAP = 10_000


class CappedPaginator(RowPaginator):
    """Counts to a bound: nobody pages through a million rows, and counting them all takes longer than the page."""

    cap = COUNT_CAP

    @cached_property
    def count(self) -> int:
        """At most `cap`."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.cap].count())


class ChoiceFilter(admin.SimpleListFilter):
    """A filter whose choices do not come from reading the table."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows whose column has the chosen value."""
        return queryset.filter(**{self.parameter_name or "": self.value()}) if self.value() else queryset


class OutcomeFilter(ChoiceFilter):
    """By how the request ended."""

    title = parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every outcome there is."""
        return [(outcome.value, outcome.value) for outcome in Outcome]


class KindFilter(ChoiceFilter):
    """By operation."""

    title = parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every kind there is."""
        return [(kind.value, kind.value) for kind in Kind]


class BackendFilter(ChoiceFilter):
    """By backend, of those that are configured now."""

    title = parameter_name = "backend"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The configured names."""
        return [(name, name) for name in Backend.objects.values_list("name", flat=True)]


class StatusFilter(ChoiceFilter):
    """By class of HTTP status."""

    title = parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Classes, and the one code that people look for."""
        return [("2xx", "2xx"), ("4xx", "4xx"), ("429", "429"), ("5xx", "5xx")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows in the class."""
        chosen = self.value()
        if chosen not in {"2xx", "4xx", "429", "5xx"}:
            return queryset
        low, high = status_range(chosen)
        return queryset.filter(status__gte=low, status__lte=high)


def milliseconds(field: str, label: str) -> Callable[[RequestRecord], str]:
    """A column of the record page: a duration to the tenth of a millisecond."""

    @admin.display(description=label)
    def shown(row: RequestRecord) -> str:
        value: float | None = getattr(row, field)
        return "-" if value is None else f"{value:,.1f} ms"

    return shown


def count(field: str, label: str) -> Callable[[RequestRecord], str]:
    """A column of the record page: a number of tokens."""

    @admin.display(description=label)
    def shown(row: RequestRecord) -> str:
        value: int | None = getattr(row, field)
        return "-" if value is None else f"{value:,}"

    return shown


def lines(label: str, told: Callable[[RequestRecord], Sequence[str]]) -> Callable[[RequestRecord], str]:
    """A part of the account of `manage.py why`, one line below the other; whatever is in it is escaped."""

    @admin.display(description=label)
    def shown(row: RequestRecord) -> SafeString:
        body = format_html_join("", "<li>{}</li>", ((line,) for line in told(row)))
        return format_html('<ol class="pb-attempts">{}</ol>', body)

    return shown


SEARCHED = ("model_asked", "model_used", "account", "key", "session")
DECISION = lines("rule, candidates, choice", decision_lines)
ATTEMPTS = lines("attempts, in order", lambda row: attempt_lines(attempts_of(row)))
USAGE = lines("in all", usage_lines)
TIMES = [
    milliseconds("queued_ms", "waiting for an account"),
    milliseconds("duration_ms", "whole request"),
    milliseconds("connect_ms", "connecting"),
    milliseconds("ttfb_ms", "until the first byte"),
    milliseconds("ttft_ms", "until the first content"),
    milliseconds("overhead_ms", "Patchbay's own share"),
]
ASKED = (
    *("kind", "protocol", "model_asked", "stream", "key"),
    *("session", "session_source", "client", "path"),
)
TOKENS = [
    count("input_tokens", "input, caches included"),
    count("cache_read_tokens", "read from cache"),
    count("cache_write_tokens", "written to cache"),
    count("output_tokens", "output, reasoning included"),
    count("reasoning_tokens", "reasoning"),
]


@admin.register(RequestRecord)
class RequestRecordAdmin(ModelAdmin):
    """What passed through. Rows go only by retention."""

    list_display = ("when", "status", "outcome", "kind", "which_model", "served_by", "took", "tokens")
    list_filter = (
        ("started_at", admin.DateFieldListFilter),
        OutcomeFilter,
        StatusFilter,
        BackendFilter,
        KindFilter,
    )
    search_fields = SEARCHED
    search_help_text = "Request id, model, account, client key or session, exactly."
    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Equality only: an id is found by its key, and nothing needs a pattern match over a million rows."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.startswith("req_"):
            return queryset.filter(pk=term), False
        return queryset.filter(reduce(or_, (Q(**{column: term}) for column in SEARCHED))), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """History is written by requests alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What happened, happened."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows go only by retention."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: RequestRecord | None = None) -> Any:
        """What people ask first comes first."""
        return (
            (None, {"fields": ("id", "when", "status", "outcome", "error", DECISION, ATTEMPTS)}),
            ("Asked", {"fields": ASKED}),
            ("Served", {"fields": ("model_used", "backend", "account", "lane", "mutations", "lost")}),
            ("Tokens and cost", {"fields": (USAGE, *TOKENS, "usage_source", "raw_usage")}),
            ("Times", {"fields": tuple(TIMES)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: RequestRecord | None = None) -> Any:
        """All of them."""
        return [name for _, section in self.get_fieldsets(request, obj) for name in section["fields"]]

    @admin.display(description="when (UTC)", ordering="started_at")
    def when(self, row: RequestRecord) -> str:
        """To the second."""
        return f"{row.started_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="model")
    def which_model(self, row: RequestRecord) -> str:
        """Asked, and used where it differs."""
        return model_text(row)

    @admin.display(description="served by")
    def served_by(self, row: RequestRecord) -> str:
        """Backend and account."""
        return "/".join(part for part in (row.backend, row.account) if part) or "-"

    @admin.display(description="took", ordering="duration_ms")
    def took(self, row: RequestRecord) -> str:
        """In milliseconds."""
        return f"{row.duration_ms:,.0f} ms"

    @admin.display(description="tokens")
    def tokens(self, row: RequestRecord) -> str:
        """In and out."""
        return tokens_text(row) or "-"
