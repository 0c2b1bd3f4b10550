"""New files that nobody else can read: written once, durable, and under their own name only when they are whole.

It stands at the bottom and needs no settings: the home makes its master secret with it before there are any.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PRIVATE = 0o600
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def whole_file(path: Path, *, is_new: bool = False) -> Iterator[IO[bytes]]:
    """A file for the block to write; when the block ends it is on the disk and becomes `path`, in one step.

    It is written beside `path` under a hidden name, with mode 0600 whatever the umask; the block may change mode and
    owner of the open file. It takes the place of what `path` was, a link too; with `is_new` nothing may be there.
    Whatever fails, until then `path` is as it was and the draft is gone. The new name outlasts a loss of power only
    after `sync_directory`.

    Raises FileExistsError (only with `is_new`: `path` exists) and any other OSError of a disk that does not take it.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with new_file(draft) as file:
            yield file
        if is_new:
            _name_it(draft, path)
        else:
            draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()


def _name_it(draft: Path, path: Path) -> None:
    """Raises FileExistsError: unlike a rename, a link replaces nothing. Without links the name is taken first."""
    try:
        os.link(draft, path)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        with new_file(path):
            pass
        try:
            draft.replace(path)
        except OSError:
            path.unlink(missing_ok=True)
            raise


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file of mode 0600 under its own name from the start, on the disk when the block ends.

    What a failure leaves of it is the caller's to remove. Raises FileExistsError where anything has that name, a link
    that leads nowhere too, and any other OSError.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(handle)


def sync_directory(directory: Path) -> None:
    """Make names that were added, replaced or removed in a directory durable. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
