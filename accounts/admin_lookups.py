"""What the lists of rows with secrets have in common."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from backends.admin_buttons import ObjectButtons

HIDDEN_COLUMNS = ("sealed_secret", "secret_hint", "digest", "prefix", "uid", "token")


class NoSecretLookups(ObjectButtons):
    """No list can be filtered by a secret's column: even a yes or no tells something."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Refuse the columns that belong to secrets."""
        if lookup.split("__")[0] in HIDDEN_COLUMNS:
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]
