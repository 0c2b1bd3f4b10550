"""A home of its own with an empty history, for what measures the history."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def open_home(path: Path | None = None) -> Path:
    """Point Django at a home (a new one unless given) and bring its databases up to date."""
    home = path or Path(tempfile.mkdtemp(prefix="patchbay-history-"))
    os.environ["PATCHBAY_HOME"] = str(home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "router_site.settings"
    import django

    django.setup()
    from backends.migrating import migrate_if_needed

    migrate_if_needed()
    return home


def settled_size() -> int:
    """Bytes of the history's file, once all of its log is in it."""
    from django.db import connections

    with connections["history"].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(str(connections["history"].settings_dict["NAME"])).stat().st_size
