"""PATCHBAY_HOME: the one directory that holds state, and the master secret inside it.

Rules: the directory is 0700 and every file in it 0600; a secret file is made once, by whoever is
first, and never overwritten; a file that others can read is refused, not repaired in silence.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from backends.private_files import sync_directory, whole_file

SECRET_FILE = "secret_key"
SUBDIRECTORIES = ("secrets", "spool")


class HomeError(Exception):
    """The home directory cannot be used. The text says what to do."""


def ensure_home(home: Path) -> Path:
    """Create `home` and its subdirectories with mode 0700, tighten what we own, and return it."""
    for directory in (home, *(home / name for name in SUBDIRECTORIES)):
        _ensure_private_directory(directory)
    return home


def read_or_create_secret(home: Path) -> list[str]:
    """The master secrets, newest first: the first signs and encrypts, the others still open old data.

    Made on first start. Several processes may start at once: one makes it, the others read.
    """
    path = home / "secrets" / SECRET_FILE
    if not path.exists():
        _create_secret(path)
    return read_secret(path)


def read_secret(path: Path) -> list[str]:
    """Secrets in `path`, one a line. Refuses a link, a file others can read, and an empty file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as exc:
        raise HomeError(f"Cannot read {path}: {exc.strerror}. It must be a regular file you own.") from exc
    with os.fdopen(handle) as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise HomeError(f"{path} can be read by other users. Run: chmod 600 {path}")
        lines = [line.strip() for line in file if line.strip()]
    if not lines:
        raise HomeError(
            f"{path} is empty. Restore it from a backup; stored keys cannot be opened without it."
        )
    return lines


def _ensure_private_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(directory.stat().st_mode) != 0o700:
            directory.chmod(0o700)
    except OSError as exc:
        raise HomeError(
            f"Cannot use {directory} ({exc.strerror}). Set PATCHBAY_HOME to a directory you own."
        ) from exc


def _create_secret(path: Path) -> None:
    """No reader ever sees half of it; where another process was first, that one's secret stands."""
    try:
        with suppress(FileExistsError), whole_file(path, is_new=True) as file:
            file.write(secrets.token_urlsafe(48).encode() + b"\n")
        sync_directory(path.parent)
    except OSError as exc:
        raise HomeError(f"Cannot write {path} ({exc.strerror}). Check its disk and rights.") from exc
