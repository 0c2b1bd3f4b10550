"""What was learnt about backends, in the admin. Backends and routes are registered by `accounts`: their pages need its
credentials and keys.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from backends import admin_prices as admin_prices
from backends import admin_redaction, admin_templates  # noqa: F401  (register their pages)
from backends.django_types import ModelAdmin
from backends.models import LearnedQuirk


@admin.register(LearnedQuirk)
class LearnedQuirkAdmin(ModelAdmin):
    """Things that backends refused by name, and that are left out of requests since. Deleting one forgets it."""

    list_display = ("backend", "model", "kind", "name", "evidence", "learned_at")
    list_filter = ("backend", "kind")
    search_fields = ("model", "name", "evidence")
    list_select_related = ("backend",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They are learnt."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Either it was refused or not."""
        return False
