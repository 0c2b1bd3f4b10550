"""System checks of the way in, each with an id and a hint."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from backends.checks import of_rows


def open_bind_without_key() -> list[CheckMessage]:
    """patchbay.E020: others could call Patchbay, and nothing would ask them for a key."""
    from accounts.models import ClientKey

    host = settings.PATCHBAY_HOST
    if is_loopback(host) or settings.PATCHBAY_API_KEY is not None or ClientKey.objects.exists():
        return []
    return [
        Error(
            f"Patchbay would listen on {host or 'every address'} without asking anybody for a key.",
            hint="Make a client key (python manage.py keys add NAME), or set PATCHBAY_API_KEY, or bind to 127.0.0.1.",
            id="patchbay.E020",
        )
    ]


register(of_rows(open_bind_without_key), "database")  # for `manage.py check --database default`


@register()
def workers_without_redis(**kwargs: Any) -> list[CheckMessage]:
    """patchbay.E021: each worker would keep windows, queues and budgets of its own."""
    if settings.PATCHBAY_WORKERS == 1 or settings.REDIS_URL:
        return []
    return [
        Error(
            f"{settings.PATCHBAY_WORKERS} workers need one place for the state that they share.",
            hint="Set REDIS_URL, for example redis://127.0.0.1:6379, or start without --workers.",
            id="patchbay.E021",
        )
    ]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
