"""The spool of a refresh: new tokens reach the disk here before anything else is done with them.

Rule: a refresh token is single-use, and the provider has forgotten the old one when it answers. From its answer
until the row is written, the spool file is the only place where the login survives a crash. It is sealed like the
row, says which token it replaces, and is adopted only by the row that still holds that one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import secrets
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from django.conf import settings

from accounts.vault import Secret, seal
from backends.private_files import new_file, sync_directory

_NAME = re.compile(r"token-(?P<uid>[0-9a-f]+)(?:\.lock|-(?P<generation>[0-9]+)-[0-9a-f]+\.json)")


@dataclass(frozen=True, slots=True)
class Spooled:
    """The new tokens of an account, sealed. `parent` is the digest of the refresh token that they replace.

    `generation` is the row's once they are stored; `expires_at` is seconds since the epoch, `lifetime` seconds.
    """

    uid: str
    generation: int
    parent: str
    sealed_access: str
    sealed_refresh: str
    scope: str
    expires_at: float | None
    lifetime: float | None


def digest(refresh: Secret) -> str:
    """A refresh token's fingerprint: tells two tokens apart and gives neither away."""
    return hashlib.sha256(refresh.reveal().encode()).hexdigest()


def seal_tokens(
    uid: str, access: Secret, host: str, refresh: Secret | None, refresh_host: str
) -> tuple[str, str]:
    """Both tokens, each for the one place it may travel to; "" for a refresh token that did not come."""
    sealed = seal(refresh.reveal(), owner=uid, host=refresh_host) if refresh else ""
    return seal(access.reveal(), owner=uid, host=host), sealed


def write_spool(tokens: Spooled) -> None:
    """Make the tokens durable: the file and its directory are synced when this returns. Raises OSError."""
    fields = {name: getattr(tokens, name) for name in tokens.__slots__}
    name = f"token-{tokens.uid}-{tokens.generation}-{secrets.token_hex(4)}.json"
    with new_file(_directory() / name) as file:
        file.write(json.dumps(fields).encode())
    sync_directory(_directory())


def read_spool(uid: str) -> Iterator[Spooled]:
    """What is spooled for an account. A file that was cut short by a crash is no token yet and is left out.

    Raises OSError when there is something that cannot be read: it may be the only good token.
    """
    for path in _files(uid):
        with suppress(FileNotFoundError, ValueError, TypeError):
            yield Spooled(**_checked(json.loads(path.read_text()), uid))


def drop_spool(uid: str) -> None:
    """Delete what is spooled for an account, as far as it can be: what stays behind fits no row and is harmless."""
    with suppress(OSError):
        for path in _files(uid):
            path.unlink(missing_ok=True)


def spooled_uids() -> set[str]:
    """The accounts for which something lies in the spool, if only the lock of a process that died."""
    return {match["uid"] for match in _names()}


def _files(uid: str) -> Iterator[Path]:
    return (_directory() / match[0] for match in _names() if match["uid"] == uid and match["generation"])


def _names() -> list[re.Match[str]]:
    try:
        names = os.listdir(_directory())
    except FileNotFoundError:
        return []
    return [match for match in map(_NAME.fullmatch, names) if match]


def _checked(fields: Any, uid: str) -> dict[str, Any]:
    if (
        not isinstance(fields, dict)
        or fields.get("uid") != uid
        or not isinstance(fields.get("generation"), int)
    ):
        raise ValueError("not a spool file of this account")
    return fields


def _directory() -> Path:
    home: Path = settings.PATCHBAY_HOME
    return home / "spool"


# --- one process of this home at a time ---------------------------------------------------------------------------


class RefreshLock:
    """Held by the one process of this home that refreshes an account. The kernel frees it when its holder dies.

    It makes the database's lease exact for the processes that share a home: a lease of this home whose lock is
    free belongs to a dead process, so nobody waits for it to end, and no step of the clock ends it too early.
    """

    def __init__(self, handle: int, path: Path) -> None:
        self._handle, self._path = handle, path

    def __enter__(self) -> RefreshLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others in. The second and later calls do nothing."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                self._path.unlink(missing_ok=True)  # while it is held: later it may be another process's
            finally:
                os.close(handle)


def try_lock(uid: str) -> RefreshLock | None:
    """The lock of an account, or None while another process holds it. Raises OSError when there can be none."""
    path = _directory() / f"token-{uid}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(handle).st_ino:
            return RefreshLock(handle, path)
    except (BlockingIOError, FileNotFoundError):
        pass  # held, or deleted by a holder that has just let go of it: look again later
    os.close(handle)
    return None


def home_identity() -> str:
    """This home on this machine since it was started, in a few characters: where a RefreshLock means something."""
    found = _directory().stat()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = platform.node()
    place = f"{boot} {found.st_dev} {found.st_ino}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]


# --- crash tests --------------------------------------------------------------------------------------------------


def failpoint(name: str) -> None:
    """Where a crash test ends this process as `kill -9` would: PATCHBAY_FAILPOINT=NAME:kill.

    Nothing outside the tests sets PATCHBAY_TEST_FAILPOINTS, and without it the other variable means nothing.
    """
    if (
        os.environ.get("PATCHBAY_TEST_FAILPOINTS") == "on"
        and os.environ.get("PATCHBAY_FAILPOINT") == f"{name}:kill"
    ):
        os.kill(os.getpid(), signal.SIGKILL)
