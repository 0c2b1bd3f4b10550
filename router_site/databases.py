"""Which database a model lives in: history apart from configuration."""

from __future__ import annotations

from typing import Any

HISTORY_APPS = {"analytics"}


class HistoryRouter:
    """`analytics` lives in `history`, everything else in `default`."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "history" if model._meta.app_label in HISTORY_APPS else "default"

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "history") == (app_label in HISTORY_APPS)
