"""A backup as a file: one .tar.gz with a manifest first, written whole or not at all, read with suspicion.

Rule: only the members named here exist. Each must be a plain file, come once, and have the size and SHA-256 that the
manifest tells; anything else is refused before a byte of it is written. So no name in an archive ever becomes a path.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from backends.private_files import new_file, sync_directory, whole_file

FORMAT = 1
MANIFEST = "manifest.json"
SECRET = "secret_key"
DATABASES = {"default": "config.sqlite3", "history": "history.sqlite3"}
MEMBERS = (*DATABASES.values(), SECRET)
_MOST_MANIFEST = 1 << 20  # bytes
_MOST_SECRET = 1 << 16
_PIECE = 1 << 20


class ArchiveError(Exception):
    """The archive cannot be written, or is none of ours, or is damaged. The text says what to do."""


class Member(msgspec.Struct, frozen=True):
    """One file. `size` in bytes; `sha256` in hexadecimal."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds. `created_at`: ISO 8601, UTC. `secrets`: fingerprints of the master secrets, newest first.

    `patchbay`: the version whose data they are, "" for one before that which made the archive. `migrations`: those that
    were applied, `app.name`, by database.
    """

    format: int
    patchbay: str
    created_at: str
    members: dict[str, Member]
    migrations: dict[str, list[str]]
    secrets: list[str]


# --- writing ------------------------------------------------------------------------------------------------------


def member_of(path: Path) -> Member:
    """A file's size and checksum."""
    with path.open("rb") as file:
        return Member(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def write_archive(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write beside `target`, then link it there: an existing file is never replaced. Raises ArchiveError."""
    try:
        with whole_file(target, is_new=True) as file:
            _write_members(file, manifest, files)
        sync_directory(target.parent)
    except FileExistsError as exc:
        raise ArchiveError(f"{target} exists. Choose another name, or remove it first.") from exc
    except OSError as exc:
        raise ArchiveError(f"{target} cannot be written ({exc.strerror}). Choose another place.") from exc


def _write_members(file: IO[bytes], manifest: Manifest, files: Mapping[str, Path]) -> None:
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6, format=tarfile.PAX_FORMAT) as tar:
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        tar.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))
        for name, path in files.items():
            with path.open("rb") as source:
                tar.addfile(_entry(name, manifest.members[name].size), source)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


# --- reading ------------------------------------------------------------------------------------------------------


def read_archive(path: Path, room_for: Mapping[str, Path]) -> Manifest:
    """Check the whole archive, and write its members to the paths of `room_for` as they come.

    Raises ArchiveError; what was written until then is the caller's to remove.
    """
    with _opened(path) as tar:
        entries = iter(tar)
        manifest = _read_manifest(tar, next(entries, None))
        missing = set(manifest.members)
        for entry in entries:
            if entry.name not in missing:
                raise ArchiveError(f"{path} holds {entry.name[:80]!r}, which no backup of Patchbay does.")
            missing.remove(entry.name)
            _extract(tar, entry, manifest.members[entry.name], room_for[entry.name])
        if missing:
            raise ArchiveError(f"{path} is cut short: {', '.join(sorted(missing))} is missing. Use another.")
    return manifest


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r|gz") as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, TypeError, ValueError) as exc:
        # gzip's and tar's own readers stumble over some damage with the last two
        raise ArchiveError(f"{path} is damaged or no backup ({exc}). Use another.") from exc
    except OSError as exc:
        raise ArchiveError(f"{path} cannot be read ({exc.strerror or exc}). Use another.") from exc


def _read_manifest(tar: tarfile.TarFile, entry: tarfile.TarInfo | None) -> Manifest:
    if entry is None or entry.name != MANIFEST or not entry.isreg() or entry.size > _MOST_MANIFEST:
        raise ArchiveError("The archive does not begin with a manifest, so it is no backup of Patchbay.")
    source = tar.extractfile(entry)
    assert source is not None  # only of a link or a folder
    try:
        manifest = msgspec.json.decode(source.read(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ArchiveError(
            f"The manifest of the archive cannot be read ({exc}). Use another backup."
        ) from exc
    if manifest.format != FORMAT:
        raise ArchiveError(f"The archive has format {manifest.format}, and this Patchbay reads {FORMAT}.")
    if DATABASES["default"] not in manifest.members or not set(manifest.members) <= set(MEMBERS):
        raise ArchiveError(
            "The manifest names other files than a backup of Patchbay has. Use another backup."
        )
    return manifest


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, told: Member, target: Path) -> None:
    limit = _MOST_SECRET if entry.name == SECRET else told.size
    if not entry.isreg() or entry.size != told.size or told.size > limit:
        raise ArchiveError(f"{entry.name} is not as the manifest tells. Use another backup.")
    source, found = tar.extractfile(entry), hashlib.sha256()
    assert source is not None
    with new_file(target) as file:
        while piece := source.read(_PIECE):
            found.update(piece)
            file.write(piece)
    if found.hexdigest() != told.sha256:
        raise ArchiveError(f"{entry.name} has another checksum than the manifest tells. Use another backup.")
