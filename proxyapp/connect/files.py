"""Reading and replacing the files of a tool: all of them or none, each with a backup beside it.

Rule: a file is replaced whole, by renaming a complete new one over it, so no program ever reads half of it. It keeps
its owner and its mode, less what others may do when a key stands in it. A link is followed and stays a link.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from backends.private_files import PRIVATE, new_file, sync_directory, whole_file
from proxyapp.connect.parts import ConnectError, Edit

MAX_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of one file. `before` is None when it does not exist; `path` is free of links."""

    path: Path
    before: bytes | None = field(repr=False)
    after: bytes = field(repr=False)
    mode: int = PRIVATE
    is_secret: bool = False

    @property
    def is_one(self) -> bool:
        """Whether anything changes at all."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one file. Without a backup it did not exist; `made` are folders made for it, outermost first."""

    path: Path
    backup: Path | None
    sha256: str
    made: tuple[Path, ...] = ()


Base = Callable[[Path, bytes | None], bytes | None]


def plan(edits: Sequence[Edit], *, holds_key: bool, base: Base = lambda path, now: now) -> list[Change]:
    """What the edits would do to the files. Changes nothing. Raises ConnectError.

    `base`: what to start from, given a file's path and what is in it now.
    """
    return [_plan(edit, base, holds_key=holds_key) for edit in edits]


def _plan(edit: Edit, base: Base, *, holds_key: bool) -> Change:
    try:
        path = edit.path.resolve()
        before, mode = read(path)
        _check_writable(path, mode)
        after = edit.rewrite((base(path, before) or b"").decode()).encode()
    except ConnectError as exc:
        raise ConnectError(f"{edit.path}: {exc}") from exc
    except UnicodeError as exc:
        raise ConnectError(f"{edit.path} is not UTF-8 text. Nothing was changed.") from exc
    except (OSError, RuntimeError) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        raise ConnectError(f"{edit.path} cannot be used ({why}). Nothing was changed.") from exc
    return Change(path, before, after, mode & ~0o077 if holds_key else mode, edit.is_secret)


def read(path: Path) -> tuple[bytes | None, int]:
    """A file's bytes, None if there is none, and its mode. Raises ConnectError, OSError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None, PRIVATE
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise ConnectError("it is no regular file. Nothing was changed.")
        if facts.st_size > MAX_BYTES:
            raise ConnectError("it is larger than 8 MiB, so it is no settings file. Nothing was changed.")
        return file.read(), stat.S_IMODE(facts.st_mode)


def _check_writable(path: Path, mode: int) -> None:
    if path.exists() and not (mode & 0o200 and os.access(path, os.W_OK)):
        raise ConnectError(f"it is read-only. Nothing was changed; to allow it: chmod u+w {path}")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConnectError(f"{folder} cannot be written to. Nothing was changed.")


def apply(changes: Sequence[Change], now: datetime) -> list[Written]:
    """Make the changes, all or none. Raises ConnectError."""
    done: list[Written] = []
    try:
        for change in changes:
            if change.is_one:
                done.append(_apply(change, now))
    except (OSError, ConnectError) as exc:
        for written in reversed(done):
            with suppress(OSError):
                restore(written)
        why = str(exc) if isinstance(exc, ConnectError) else f"{change.path}: {exc.strerror}."
        raise ConnectError(f"{why} Nothing was changed.") from exc
    return done


def _apply(change: Change, now: datetime) -> Written:
    made = tuple(_make_folders(change.path.parent))
    backup = None
    try:
        if read(change.path)[0] != change.before:
            raise ConnectError(f"{change.path} was changed at this moment by another program; try again.")
        if change.before is not None:
            backup = _back_up(change, now)
        replace(change.path, change.after, change.mode)
    except BaseException:
        if backup is not None:
            backup.unlink(missing_ok=True)
        _remove_folders(made)
        raise
    return Written(change.path, backup, digest(change.after), made)


def restore(written: Written) -> None:
    """Put back what was there before: the backup becomes the file again. Raises OSError."""
    if written.backup is not None:
        os.replace(written.backup, written.path)
    else:
        written.path.unlink(missing_ok=True)
    _sync(written.path.parent)
    _remove_folders(written.made)


def digest(content: bytes) -> str:
    """What tells whether a file is still as it was written."""
    return hashlib.sha256(content).hexdigest()


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write a whole file beside `path` and rename it over it. Raises OSError."""
    with whole_file(path) as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        _keep_owner(file.fileno(), path)
    _sync(path.parent)


def _keep_owner(handle: int, path: Path) -> None:
    try:
        old, new = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(handle, old.st_uid, old.st_gid)


def _back_up(change: Change, now: datetime) -> Path:
    """A copy beside the file with its mode, under a name that no earlier one has."""
    stem, number = f"{change.path.name}.patchbay-{now:%Y%m%d-%H%M%S}", 1
    while True:
        backup = change.path.with_name(f"{stem}{f'-{number}' if number > 1 else ''}.bak")
        try:
            with new_file(backup) as file:
                file.write(change.before or b"")
                _keep_owner(file.fileno(), change.path)
        except FileExistsError:
            number += 1
            continue
        shutil.copystat(change.path, backup)
        return backup


def _make_folders(folder: Path) -> Iterator[Path]:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700)
        yield one


def _remove_folders(made: Sequence[Path]) -> None:
    """Take away the folders that were made, unless something else is in them by now."""
    for folder in reversed(made):
        with suppress(OSError):
            folder.rmdir()


def _sync(folder: Path) -> None:
    """As durable as the file system can make it: some cannot sync a folder, and the file is in its place by now."""
    with suppress(OSError):
        sync_directory(folder)
