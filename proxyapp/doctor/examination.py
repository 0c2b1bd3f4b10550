"""All checks, in the order in which they are worth reading."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from accounts.listing import list_accounts
from accounts.models import ClientKey
from accounts.snapshot import Snapshot, load_snapshot
from accounts.vault import VaultError
from backends.models import Route
from backends.online import run_online
from backends.own_url import own_url
from proxyapp.doctor import configuration, databases, home, machine, online
from proxyapp.doctor.findings import Finding, fail, warn


def examine() -> list[Finding]:
    """Look at everything. Changes nothing; for a thread without an event loop."""
    stored = databases.database_findings()
    found = [*_machine(), *_home(), *stored]
    if databases.are_usable(stored):
        return [*found, *_configured(), *_online(load_snapshot())]
    later = warn("accounts", "Nothing that is stored was looked at.", "First cure the databases.")
    return [*found, later, *_online(None)]


def _machine() -> list[Finding]:
    pins = machine.read_pins(settings.BASE_DIR / "requirements.txt")
    return [
        machine.python_finding(sys.version_info[:2], platform.python_version()),
        *machine.package_findings(pins, machine.installed_versions(pins)),
        machine.disk_finding(settings.PATCHBAY_HOME, shutil.disk_usage(settings.PATCHBAY_HOME).free),
        machine.redis_finding(settings.REDIS_URL),
    ]


def _home() -> list[Finding]:
    return [
        *home.home_findings(settings.PATCHBAY_HOME),
        *home.setting_findings(os.environ, home.known_settings()),
    ]


def _configured() -> list[Finding]:
    now = time.time()
    checks: list[Callable[[], Iterable[Finding]]] = [
        home.secret_findings,
        lambda: configuration.account_findings(list_accounts(now), now),
        lambda: configuration.route_findings(Route.objects.all()),
        lambda: configuration.key_findings(list(ClientKey.objects.all()), timezone.now()),
        lambda: [configuration.admin_finding()],
        configuration.backend_findings,
        configuration.redaction_findings,
    ]
    return [finding for check in checks for finding in _guarded(check)]


def _guarded(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except (DatabaseError, VaultError) as exc:
        cure = "Check PATCHBAY_HOME, its disk and its rights."
        return [fail("database", f"A check could not read what it needs: {exc}.", cure)]


def _online(snapshot: Snapshot | None) -> list[Finding]:
    return run_online(_ask(snapshot))


async def _ask(snapshot: Snapshot | None) -> list[Finding]:
    url = own_url()
    port = online.port_finding(await online.ask_port(url), url, settings.VERSION)
    if snapshot is None:
        return [port]
    return [
        port,
        *await online.try_backends(snapshot),
        online.clock_finding(await online.ask_clocks(snapshot)),
    ]
