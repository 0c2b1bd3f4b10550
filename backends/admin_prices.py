"""Prices in the admin: dated, over the price list's."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone

from backends.django_types import ModelAdmin
from backends.models import PriceOverride

PAST = (
    "This price holds for requests that are recorded already. They keep their cost until you run:"
    " python manage.py recost --since {since}"
)


@admin.register(PriceOverride)
class PriceOverrideAdmin(ModelAdmin):
    """US dollars per million tokens, from a day on; they go before the price list's."""

    list_display = ("model", "at", "since", "input", "cache_read", "output", "note")
    list_filter = ("backend",)
    search_fields = ("model", "note")
    list_select_related = ("backend",)
    date_hierarchy = None
    fieldsets = (
        (None, {"fields": ("backend", "model", "since", "note")}),
        (
            "US dollars per million tokens",
            {
                "fields": ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output"),
                "description": "An empty price of cache reads or writes means the input's."
                " Without a price of input or output, requests that use it are unpriced.",
            },
        ),
    )

    @admin.display(description="at", ordering="backend")
    def at(self, row: PriceOverride) -> str:
        """The backend, or all of them."""
        return row.backend.name if row.backend else "every backend"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Say what does not change by itself."""
        super().save_model(request, obj, form, change)
        if obj.since <= timezone.now().date():
            messages.info(request, PAST.format(since=obj.since.isoformat()))
