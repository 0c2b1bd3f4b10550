"""The home directory, what it keeps secret, and the names of settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path

from django.conf import settings

from accounts.checks import api_key_is_no_sample, home_is_private, stored_secrets_open
from proxyapp.checks import open_bind_without_key
from proxyapp.doctor.findings import Finding, from_messages, or_fine, warn

# Read from the environment, but kept under no name of their own.
_ALSO_READ = (
    *("PATCHBAY_HOME", "PATCHBAY_SECRET_KEY", "PATCHBAY_SECRET_KEY_FILE"),
    *("PATCHBAY_API_KEY_FILE", "PATCHBAY_NOTIFY_URL_FILE"),
)
_BY_COMMANDS = ("PATCHBAY_CLIENT_KEY",)
MOST_LOOKED_AT, MOST_SHOWN = 10_000, 5
_DERIVED = {
    "PATCHBAY_DATA_KEYS",
    "PATCHBAY_KEY_PEPPERS",
    "PATCHBAY_OAUTH",
    "PATCHBAY_REDACTION_KEY",
    "PATCHBAY_IS_FIRST",
}
_OAUTH = re.compile(r"PATCHBAY_OAUTH_[A-Z0-9_]+_(?:ISSUER|CLIENT_ID|AUTHORIZE_URL|TOKEN_URL|SCOPES)")


def home_findings(home: Path) -> list[Finding]:
    """Who can read what is in it."""
    if grave := home_is_private():
        return from_messages("home", grave, "")
    found = [
        warn("home", f"{path} is open to other users.", f"Run: chmod go-rwx {path}")
        for path in _open_paths(home)
    ]
    return or_fine("home", found, f"{home}, private")


def _open_paths(home: Path) -> list[Path]:
    """The first few files and folders in it that others may read or change."""
    looked_at = islice(home.rglob("*"), MOST_LOOKED_AT)
    opened = (path for path in looked_at if not path.is_symlink() and path.lstat().st_mode & 0o077)
    return list(islice(opened, MOST_SHOWN))


def secret_findings() -> list[Finding]:
    """Whether the stored keys open, and who may call. Reads the database."""
    found = from_messages("secrets", stored_secrets_open(), "the master secret opens every stored key")
    callers = [*open_bind_without_key(), *api_key_is_no_sample()]
    return found + from_messages("callers", callers, f"{settings.PATCHBAY_HOST}, as safe as it is open")


def known_settings() -> set[str]:
    """Every PATCHBAY_ name that means something in the environment."""
    own = {name for name in dir(settings) if name.startswith("PATCHBAY_")} - _DERIVED
    return own | {*_ALSO_READ, *_BY_COMMANDS}


def setting_findings(names: Iterable[str], known: Collection[str]) -> list[Finding]:
    """Names that look like settings and are none: `names` are those of the environment."""
    found = []
    for name in sorted(names):
        if not name.startswith("PATCHBAY_") or name in known or _OAUTH.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
        hint = f"Is {near[0]} meant? " if near else ""
        found.append(warn("settings", f"{name} is no setting.", f"{hint}docs/settings.md lists them."))
    return or_fine("settings", found, "every PATCHBAY_ name is known")
