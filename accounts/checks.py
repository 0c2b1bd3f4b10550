"""System checks of the secrets, each with an id and a hint."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from backends.checks import of_rows

PRIVATE = ("config.sqlite3", "config.sqlite3-wal", "history.sqlite3", "history.sqlite3-wal")


def stored_secrets_open() -> list[CheckMessage]:
    """patchbay.E010 when the master secret opens none of the stored keys it must open.

    A key stored for another host is no reason: that account says so itself. One message for all.
    """
    from accounts.models import Account, OAuthToken
    from accounts.vault import can_decrypt

    sealed = [
        *Account.objects.exclude(sealed_secret="").values_list("alias", "sealed_secret"),
        *OAuthToken.objects.values_list("account__alias", "sealed_access"),
    ]
    closed = [alias for alias, secret in sealed if not can_decrypt(secret)]
    if not closed:
        return []
    return [
        Error(
            f"The master secret does not open the stored keys of: {', '.join(closed)}.",
            hint=(
                f"Restore {settings.PATCHBAY_HOME / 'secrets' / 'secret_key'} (or PATCHBAY_SECRET_KEY) from the"
                " backup that belongs to this database, or remove these accounts with `accounts remove` and add"
                " them again."
            ),
            id="patchbay.E010",
        )
    ]


register(of_rows(stored_secrets_open), "database")  # for `manage.py check --database default`


@register()
def api_key_is_no_sample(**kwargs: Any) -> list[CheckMessage]:
    """patchbay.E011 for a published example, patchbay.W012 for a short PATCHBAY_API_KEY."""
    from accounts.models import SAMPLE_KEYS

    key = settings.PATCHBAY_API_KEY
    if key is None:
        return []
    hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
    if key.lower() in SAMPLE_KEYS:
        return [Error("PATCHBAY_API_KEY is a published example key.", hint=hint, id="patchbay.E011")]
    if len(key) < 16:
        return [Warning("PATCHBAY_API_KEY has fewer than 16 characters.", hint=hint, id="patchbay.W012")]
    return []


@register()
def home_is_private(**kwargs: Any) -> list[CheckMessage]:
    """patchbay.E012: something in PATCHBAY_HOME that other users of this machine can read."""
    home: Path = settings.PATCHBAY_HOME
    secrets = [path for path in (home / "secrets").glob("*") if path.is_file()]
    exposed = [path for path in (home, *(home / name for name in PRIVATE), *secrets) if _is_exposed(path)]
    return [
        Error(
            f"{path} can be read by other users.",
            hint=f"Run: chmod {'700' if path.is_dir() else '600'} {path}",
            id="patchbay.E012",
        )
        for path in exposed
    ]


def _is_exposed(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(os.lstat(path).st_mode) & 0o077)
    except FileNotFoundError:
        return False
