"""A backup's archive: written whole, and believed only when everything about it is right."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_site.archive import (
    FORMAT,
    MANIFEST,
    ArchiveError,
    Manifest,
    Member,
    member_of,
    read_archive,
    write_archive,
)

CONFIG = b"configuration " * 500


def manifest_of(files: dict[str, bytes]) -> Manifest:
    members = {name: Member(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}
    return Manifest(FORMAT, "1.2.3", "2026-11-22T15:30:00Z", members, {"default": []}, ["abcd"])


def made(directory: Path) -> Path:
    source, target = directory / "source", directory / "backup.tar.gz"
    source.write_bytes(CONFIG)
    manifest = msgspec.structs.replace(manifest_of({}), members={"config.sqlite3": member_of(source)})
    write_archive(target, manifest, {"config.sqlite3": source})
    return target


def read(path: Path, into: Path) -> Manifest:
    into.mkdir(exist_ok=True)
    return read_archive(path, {name: into / f"staged-{name}" for name in ("config.sqlite3", "secret_key")})


def by_hand(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    """An archive as somebody else might make it; a manifest that tells the truth comes first."""
    files = {entry.name: data for entry, data in entries}
    text = msgspec.json.encode(manifest_of({name: files.get(name, b"") for name in ("config.sqlite3",)}))
    with tarfile.open(path, "w:gz") as tar:
        for entry, data in ((tarfile.TarInfo(MANIFEST), text), *entries):
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    target = made(tmp_path)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert read(target, tmp_path / "into").patchbay == "1.2.3"
    staged = tmp_path / "into" / "staged-config.sqlite3"
    assert staged.read_bytes() == CONFIG
    assert stat.S_IMODE(staged.stat().st_mode) == 0o600


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    target = made(tmp_path)
    before = target.read_bytes()
    with pytest.raises(ArchiveError, match="exists"):
        made(tmp_path)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar.gz", "source"]


@given(cut=st.integers(0, 10_000), at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_damaged_archive_is_refused_or_the_same(cut: int, at: int, flip: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        target = made(Path(name))
        data = bytearray(target.read_bytes())
        data[at % len(data)] ^= flip
        target.write_bytes(data[: cut % len(data) or None])
        try:
            read(target, Path(name) / "into")
        except ArchiveError:
            return
        assert (
            Path(name) / "into" / "staged-config.sqlite3"
        ).read_bytes() == CONFIG  # a byte that means nothing


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


GOOD = (entry("config.sqlite3"), CONFIG)
ATTACKS: dict[str, tuple[tuple[tarfile.TarInfo, bytes], ...]] = {
    "climbs out": (GOOD, (entry("../evil"), b"x")),
    "absolute": (GOOD, (entry("/tmp/evil"), b"x")),
    "below": (GOOD, (entry("secrets/secret_key"), b"x")),
    "twice": (GOOD, GOOD),
    "unknown": (GOOD, (entry("more.txt"), b"x")),
    "not in the manifest": (GOOD, (entry("secret_key"), b"x")),
    "missing": (),
    "a link": ((entry("config.sqlite3", tarfile.SYMTYPE, "/etc/passwd"), b""),),
    "a hard link": ((entry("config.sqlite3", tarfile.LNKTYPE, MANIFEST), b""),),
    "a device": ((entry("config.sqlite3", tarfile.CHRTYPE), b""),),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_archive_that_holds_anything_else_is_refused(tmp_path: Path, attack: str) -> None:
    path = by_hand(tmp_path / "evil.tar.gz", *ATTACKS[attack])
    with pytest.raises(ArchiveError):
        read(path, tmp_path / "into")
    assert {path.name for path in tmp_path.iterdir()} == {"evil.tar.gz", "into"}
    assert {path.name for path in (tmp_path / "into").iterdir()} <= {"staged-config.sqlite3"}


CHANGES: dict[str, Callable[[Manifest], object]] = {
    "format": lambda m: msgspec.structs.replace(m, format=FORMAT + 1),
    "checksum": lambda m: msgspec.structs.replace(
        m, members={"config.sqlite3": Member(len(CONFIG), "0" * 64)}
    ),
    "size": lambda m: msgspec.structs.replace(m, members={"config.sqlite3": Member(1, "0" * 64)}),
    "names": lambda m: msgspec.structs.replace(m, members={**m.members, "../x": Member(1, "0")}),
    "nothing in it": lambda m: msgspec.structs.replace(m, members={}),
    "no manifest": lambda m: ["not", "one"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_that_is_not_true_is_refused(tmp_path: Path, change: str) -> None:
    text = msgspec.json.encode(CHANGES[change](manifest_of({"config.sqlite3": CONFIG})))
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in ((MANIFEST, text), ("config.sqlite3", CONFIG)):
            told = tarfile.TarInfo(name)
            told.size = len(data)
            tar.addfile(told, io.BytesIO(data))
    with pytest.raises(ArchiveError):
        read(path, tmp_path / "into")
