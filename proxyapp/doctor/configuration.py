"""What is configured: accounts, routes, client keys, the way into the admin. Reads the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User

from accounts.key_services import key_status
from accounts.listing import ListedAccount
from accounts.models import ClientKey
from accounts.status import EXPIRED, EXPIRING, NEEDS_LOGIN
from backends.checks import base_urls_are_allowed, redaction_works
from backends.models import Backend, Route
from backends.services import route_findings as look_at_route
from backends.services import target_specs
from proxyapp.doctor.findings import Finding, fail, from_messages, ok, or_fine, warn

SOON = timedelta(days=7)


def account_findings(listed: Sequence[ListedAccount], now: float) -> list[Finding]:
    """Whether each credential can be used. `now`: seconds since the epoch."""
    found = []
    for account in listed:
        alias, credential = account.row.alias, account.credential
        said = f"{alias} ({account.config.backend}): {credential.line(now)}."
        if account.row.is_paused:
            continue
        if credential.status in (NEEDS_LOGIN, EXPIRED):
            found.append(fail("accounts", said, f"Run: python manage.py login {alias}"))
        elif credential.status == EXPIRING and not credential.can_refresh:
            found.append(warn("accounts", said, f"Soon run: python manage.py login {alias}"))
    paused = sum(account.row.is_paused for account in listed)
    return or_fine("accounts", found, f"{len(listed) - paused} usable, {paused} paused")


def backend_findings() -> list[Finding]:
    """Whether there is a backend, and whether its address may be used."""
    if not Backend.objects.filter(is_enabled=True).exists():
        return [
            warn(
                "backends",
                "There is none, so only the built-in simulated model answers.",
                "Run: python manage.py discover, or python manage.py backend add NAME",
            )
        ]
    refused = base_urls_are_allowed(databases=["default"])
    return from_messages("backends", refused, "every address may be used") if refused else []


def redaction_findings() -> list[Finding]:
    """Whether the rules can be used, where a backend redacts."""
    if not Backend.objects.filter(is_enabled=True, redacts=True).exists():
        return []
    return from_messages("redaction", redaction_works(databases=["default"]), "every rule can be used")


def route_findings(routes: Iterable[Route]) -> list[Finding]:
    """Routes that lead nowhere, or not where they say."""
    rows = [row for row in routes if row.is_enabled]
    keys = list(ClientKey.objects.values_list("name", flat=True))
    found = [finding for row in rows for finding in _route(row, keys)]
    return or_fine("routes", found, f"{len(rows)}, each leads somewhere")


def _route(row: Route, keys: Collection[str]) -> Iterator[Finding]:
    cure = f"Look: python manage.py routes explain {row.pattern}"
    targets = target_specs(row)
    if not targets:
        yield fail("routes", f"{row.pattern} has no target left, so its models get an error.", cure)
    said = look_at_route(row.pattern, targets, keys)
    for text in said.errors:
        yield fail("routes", f"{row.pattern}: {text}", cure)
    for text in said.warnings:
        yield warn("routes", f"{row.pattern}: {text}", cure)


def key_findings(rows: Sequence[ClientKey], now: datetime) -> list[Finding]:
    """Client keys that end soon; and whether there is one left that works."""
    states = {row.name: key_status(row, now) for row in rows}
    found = [
        warn(
            "keys",
            f"{row.name} ends {row.expires_at:%Y-%m-%d %H:%M} UTC.",
            "Make a new one before: keys add NAME",
        )
        for row in rows
        if states[row.name] == "active" and row.expires_at and row.expires_at - now < SOON
    ]
    working = [name for name, state in states.items() if state == "active"]
    if rows and not working and settings.PATCHBAY_API_KEY is None:
        found.append(
            fail(
                "keys",
                "Every client key is revoked or expired, so nobody is let in.",
                "Make one: keys add NAME",
            )
        )
    return or_fine("keys", found, f"{len(working)} active" if rows else "none: only this machine may call")


def admin_finding() -> Finding:
    """Whether somebody can get into the admin."""
    names = list(User.objects.filter(is_superuser=True, is_active=True).values_list("username", flat=True))
    if not names:
        return ok("admin", "nobody yet; `createadmin` prints a login link, which makes the first user")
    return ok("admin", f"{', '.join(names)}; `createadmin` prints a login link")
