"""What was done to which tool, so that it can be undone exactly: one small file for each tool in PATCHBAY_HOME.

Holds no secret: of a file that was written it keeps the digest, and its text only with secrets masked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from backends.private_files import PRIVATE
from proxyapp.connect import files
from proxyapp.connect.files import Change, Written
from proxyapp.connect.parts import ConnectError
from proxyapp.connect.showing import mask, masked_difference

FOLDER = "connect"
SECRET_TEXT = "***"


class Filed(msgspec.Struct, frozen=True):
    """One file that was written. `shown` is its text, masked."""

    path: str
    backup: str | None
    sha256: str
    made: list[str]
    shown: str


class Entry(msgspec.Struct, frozen=True):
    """One connect. `models` are those that a person named; `key` names the client key that it made, "" if none."""

    at: datetime
    models: list[str]
    key: str
    files: list[Filed]


def shown(change: Change) -> str:
    """A file's new text as it may be shown and kept."""
    return SECRET_TEXT if change.is_secret else mask(change.after.decode())


class Changed(ConnectError):
    """A file was changed since, so nothing is undone. `lines` say what changed."""

    def __init__(self, message: str, lines: list[str]) -> None:
        super().__init__(message)
        self.lines = lines


def entry_of(changes: list[Change], written: list[Written], *, models: tuple[str, ...], key: str) -> Entry:
    """An entry for what was just written."""
    texts = {change.path: shown(change) for change in changes}
    filed = [
        Filed(
            str(one.path),
            str(one.backup) if one.backup else None,
            one.sha256,
            [str(folder) for folder in one.made],
            texts[one.path],
        )
        for one in written
    ]
    return Entry(datetime.now(UTC), list(models), key, filed)


class Ledger:
    """The entries of one tool, oldest first."""

    def __init__(self, home: Path, tool: str) -> None:
        self._path = home / FOLDER / f"{tool}.json"

    @property
    def entries(self) -> list[Entry]:
        """What was done and not undone. Raises ConnectError for a file that cannot be read."""
        try:
            content, _ = files.read(self._path)
            return msgspec.json.decode(content, type=list[Entry]) if content else []
        except (msgspec.MsgspecError, OSError) as exc:
            raise ConnectError(
                f"{self._path} cannot be read, so nothing can be undone; the backups are beside the tool's files."
            ) from exc

    @property
    def last(self) -> Entry | None:
        """The newest entry."""
        return next(reversed(self.entries), None)

    def base(self, path: Path, now: bytes | None) -> bytes | None:
        """What was in a file before it was ever connected, if nobody else changed it since; else what is in it now.

        So connecting anew leaves nothing behind of what was said before. Raises OSError.
        """
        content = now
        for entry in reversed(self.entries):
            filed = next((one for one in entry.files if one.path == str(path)), None)
            if filed is not None:
                backup = Path(filed.backup) if filed.backup else None
                if content is None or files.digest(content) != filed.sha256:
                    break
                if backup is not None and not backup.exists():
                    break
                content = backup.read_bytes() if backup else None
        return content

    def add(self, entry: Entry) -> None:
        """Keep an entry. Raises OSError."""
        self._write([*self.entries, entry])

    def drop_last(self) -> None:
        """Forget the newest entry. Raises OSError."""
        self._write(self.entries[:-1])

    def _write(self, entries: list[Entry]) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        if entries:
            files.replace(self._path, msgspec.json.format(msgspec.json.encode(entries)), PRIVATE)
        else:
            self._path.unlink(missing_ok=True)


def undo(entry: Entry) -> None:
    """Put every file of the entry back. Raises Changed when one is not as it was written; then none is touched."""
    for filed in entry.files:
        _check_unchanged(filed)
    try:
        for filed in entry.files:
            files.restore(_written(filed))
    except OSError as exc:
        raise ConnectError(f"{exc.filename or filed.path} cannot be put back: {exc.strerror}.") from exc


def _check_unchanged(filed: Filed) -> None:
    path, backup = Path(filed.path), filed.backup
    try:
        content, _ = files.read(path)
    except (OSError, ConnectError) as exc:
        raise ConnectError(f"{path} cannot be read ({exc}), so nothing was undone.") from exc
    if backup and not Path(backup).exists():
        raise ConnectError(f"The backup {backup} is gone, so nothing was undone.")
    if content is not None and files.digest(content) == filed.sha256:
        return
    text = "" if content is None else content.decode(errors="replace")
    if filed.shown == SECRET_TEXT:
        text = SECRET_TEXT
    lines = masked_difference(filed.shown, text, str(path), old=" as written", new=" as it is now")
    where = f" The state before is in {backup}." if backup else " It did not exist before."
    raise Changed(
        f"{path} was changed since, so nothing was undone.{where}",
        lines or ["Only something secret in it changed."],
    )


def _written(filed: Filed) -> Written:
    return Written(
        Path(filed.path),
        Path(filed.backup) if filed.backup else None,
        filed.sha256,
        tuple(Path(folder) for folder in filed.made),
    )
