"""System checks of the machine and the stored rows, each with an id and a hint."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import OperationalError, ProgrammingError, connections

from backends.addresses import BadBaseUrl, check_base_url

FIXED_SQLITE = (3, 51, 3)


@register()
def sqlite_version(**kwargs: Any) -> list[CheckMessage]:
    """patchbay.W001: a library with a known fault in the mode we use."""
    vendors = {connections[alias].vendor for alias in connections}
    if "sqlite" not in vendors or sqlite3.sqlite_version_info >= FIXED_SQLITE:
        return []
    return [
        Warning(
            f"SQLite {sqlite3.sqlite_version} has a rare fault in write-ahead logging that can damage a database.",
            hint="Use a Python built with SQLite 3.51.3 or newer. Keep backups.",
            id="patchbay.W001",
        )
    ]


@register()
def debug_is_off(**kwargs: Any) -> list[CheckMessage]:
    """patchbay.E001: Django's debug pages show settings and local variables."""
    if not settings.DEBUG:
        return []
    hint = "Set DEBUG = False. Patchbay has no setting that turns it on; look into router_site/settings.py."
    return [Error("DEBUG is on beside stored keys.", hint=hint, id="patchbay.E001")]


def of_rows(check: Callable[[], list[CheckMessage]]) -> Callable[..., list[CheckMessage]]:
    """A check of the configuration's rows: silent before `migrate`, which runs it on tables that are not there yet."""

    def checked(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
        if not databases or "default" not in databases:
            return []
        try:
            return check()
        except (OperationalError, ProgrammingError):
            return []

    checked.__name__, checked.__doc__ = check.__name__, check.__doc__
    return checked


@register("database")
@of_rows
def base_urls_are_allowed() -> list[CheckMessage]:
    """patchbay.W002: a backend whose address is refused, for example in a restored database."""
    from backends.models import Backend  # models are not loaded yet when this module is

    found: list[CheckMessage] = []
    for row in Backend.objects.filter(is_enabled=True):
        try:
            check_base_url(row.base_url)
        except BadBaseUrl as exc:
            hint = "Change its base URL in the admin, or remove it: python manage.py backend remove NAME"
            found.append(Warning(f"Backend {row.name} is left out: {exc}", hint=hint, id="patchbay.W002"))
    return found


@register("database")
@of_rows
def redaction_works() -> list[CheckMessage]:
    """patchbay.W003: a rule that cannot be used, for example in a restored database, keeps backends from requests.
    patchbay.W004: no rule is used at all."""
    from backends.models import Backend  # models are not loaded yet when this module is
    from backends.redaction import load_redaction

    rows = Backend.objects.filter(is_enabled=True, redacts=True)
    names = ", ".join(row.name for row in rows if not row.is_own_server)
    if names and settings.PATCHBAY_PASSTHROUGH:
        hint = "Start without --passthrough (PATCHBAY_PASSTHROUGH) to redact them."
        told = f"Requests to {names} go out as they are: nothing is redacted under --passthrough."
        return [Warning(told, hint=hint, id="patchbay.W004")]
    if names and (problem := load_redaction().problem):
        hint = "Correct the rule in the admin, or turn it off: python manage.py redaction disable NAME"
        return [Warning(f"{names} get no requests: {problem}", hint=hint, id="patchbay.W003")]
    return []
