"""A backup of the configuration before its tables change, so that an upgrade can be taken back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from backends.services import ServiceError

logger = logging.getLogger("patchbay")
DIRECTORY = "backups"
PREFIX = "before-"
KEPT = 3


def keep_a_copy(*, using: str, plan: Sequence[tuple[Any, bool]], **_: Any) -> None:
    """Django calls it before migrations. A configuration that has tables is backed up; of the copies three stay.

    Raises ServiceError when that cannot be done: then nothing is migrated.
    """
    if using != "default" or not plan or not MigrationRecorder(connections[using]).applied_migrations():
        return
    from router_site.backup import dump_hint, make_backup  # reading archives is not for every start

    if hint := dump_hint([using]):
        logger.warning("The tables of the configuration change now, without a copy made before. %s", hint)
        return
    place = copies_of(settings.PATCHBAY_HOME)
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        target = place / f"{PREFIX}{settings.VERSION}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z.tar.gz"
        make_backup(target, with_history=False, version="")  # the version before takes no newer one's
        _forget_older(place)
    except OSError as exc:
        raise _refused(exc.strerror or str(exc)) from exc
    except ServiceError as exc:
        raise _refused(str(exc)) from exc
    logger.info("The configuration as it was before this version: %s", target)


def copies_of(home: Path) -> Path:
    """Where the copies are."""
    return home / DIRECTORY


def _forget_older(place: Path) -> None:
    copies = sorted(place.glob(f"{PREFIX}*.tar.gz"), key=lambda path: path.stat().st_mtime)
    for path in copies[:-KEPT]:
        path.unlink(missing_ok=True)


def _refused(why: str) -> ServiceError:
    return ServiceError(
        f"The tables of the configuration must change for this version, and a copy of it cannot be made before: {why}"
        " Nothing was changed. Make room or correct the rights, and start again."
    )
