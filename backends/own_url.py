"""Where this server is, for those on its machine."""

from __future__ import annotations

from django.conf import settings


def own_url() -> str:
    """The URL that tools on this machine use, without a version."""
    host = settings.PATCHBAY_HOST
    host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.PATCHBAY_PORT}"
