"""Who uses a home: every server holds its lock together with others, whoever replaces files holds it alone.

The kernel keeps the lock (`flock`) and frees it when its holder ends, however it ends; there is no stale one.
It says nothing about other machines, nor about commands, which only look in for a moment.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router_site.home import HomeError

LOCK_FILE = "server.lock"
_held: dict[Path, int] = {}  # the locks of this process's servers


def hold_home(home: Path) -> None:
    """Say that a server of this process uses `home`, until `leave_home` or the end of the process. Idempotent.

    Raises HomeError while somebody replaces what is in it.
    """
    if home in _held:
        return
    handle = _open(home)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise HomeError(
            f"Files in {home} are being replaced (`restore` or `secret`). Start again when that is done."
        ) from None
    _held[home] = handle


def leave_home(home: Path) -> None:
    """The server has stopped. Without a `hold_home` before, nothing happens."""
    handle = _held.pop(home, None)
    if handle is not None:
        os.close(handle)


@contextmanager
def home_alone(home: Path) -> Iterator[None]:
    """No server uses `home`, and none starts. Raises HomeError when one does."""
    handle = _open(home)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise HomeError(
            f"Patchbay runs on {home}, or its files are being replaced. Stop it first, then try again."
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def _open(home: Path) -> int:
    try:
        return os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise HomeError(
            f"Cannot use {home / LOCK_FILE} ({exc.strerror}). Check the directory's disk and rights."
        ) from exc
