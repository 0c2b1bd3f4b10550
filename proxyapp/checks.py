"""System checks of the way in, each with an id and a hint."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


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


@register("database")
def bind_is_safe(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The same for `manage.py check --database default`."""
    return open_bind_without_key() if databases and "default" in databases else []


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
