"""New files that nobody else can read: whole or not at all, whatever fails on the way."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.private_files import new_file, sync_directory, whole_file

_SMALL_DISK = """
import resource, sys
from pathlib import Path
from backends.private_files import whole_file

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # every write beyond it fails, as on a full disk
try:
    with whole_file(Path(sys.argv[1])) as file:
        file.write(b"x" * int(sys.argv[2]))
except OSError as exc:
    print(exc.strerror)
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def stopping(parts: list[bytes], stop: BaseException) -> Iterator[bytes]:
    yield from parts
    raise stop


def test_it_is_there_and_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with whole_file(tmp_path / "a") as file:
            file.write(b"one")
        with new_file(tmp_path / "b") as file:
            file.write(b"two")
    finally:
        os.umask(before)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"one", "b": b"two"}
    assert {mode_of(path) for path in tmp_path.iterdir()} == {0o600}


def test_nobody_sees_it_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        (draft,) = (other for other in tmp_path.iterdir() if other != path)
        assert draft.name.startswith(".a.")
        assert mode_of(draft) == 0o600
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_that_the_block_chose_stays(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as file:
        os.fchmod(file.fileno(), 0o644)
    assert mode_of(tmp_path / "a") == 0o644


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "a").symlink_to(tmp_path / "other")
    with whole_file(tmp_path / "a") as file:
        file.write(b"new")
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "other").read_bytes() == b"other"


@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_new_file_replaces_nothing(tmp_path: Path, *, is_dangling: bool) -> None:
    path = tmp_path / "a"
    if is_dangling:
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_bytes(b"old")
    before = os.lstat(path)
    for writing in (whole_file(path, is_new=True), new_file(path)):
        with pytest.raises(FileExistsError), writing as file:
            file.write(b"new")
    assert os.path.samestat(before, os.lstat(path))
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


@given(
    old=st.none() | st.binary(max_size=20),
    parts=st.lists(st.binary(max_size=20_000), max_size=4),
    stop=st.sampled_from([OSError("disk"), ValueError("bug"), KeyboardInterrupt()]),
    is_new=st.booleans(),
)
def test_a_block_that_fails_leaves_neither_a_draft_nor_a_change(
    old: bytes | None, parts: list[bytes], stop: BaseException, *, is_new: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        if old is not None:
            path.write_bytes(old)
        with pytest.raises(type(stop)), whole_file(path, is_new=is_new) as file:
            file.writelines(stopping(parts, stop))
        assert [one.read_bytes() for one in Path(folder).iterdir()] == ([] if old is None else [old])


@pytest.mark.parametrize("size", [5000, 100_000], ids=["refused at the flush", "refused while it is written"])
def test_a_disk_that_takes_no_more_leaves_neither_a_draft_nor_a_change(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", _SMALL_DISK, str(path), str(size)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "File too large\n"
    assert not said.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_fails_leaves_neither_a_draft_nor_a_change(tmp_path: Path) -> None:
    (tmp_path / "a" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"), whole_file(tmp_path / "a") as file:
        file.write(b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "inside").is_dir()


_NO_LINKS = """
import sys
from pathlib import Path
from backends.private_files import whole_file

for text in (b"one", b"two"):
    try:
        with whole_file(Path(sys.argv[1]), is_new=True) as file:
            file.write(text)
    except FileExistsError as exc:
        print(exc.strerror)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="a file system without hard links needs strace")
@pytest.mark.parametrize("error", ["EPERM", "EOPNOTSUPP"])
def test_without_hard_links_a_new_file_is_whole_and_replaces_nothing(tmp_path: Path, error: str) -> None:
    """As exFAT and some network shares answer."""
    words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=?link,linkat"]
    words += ["-e", f"inject=?link,linkat:error={error}", sys.executable, "-c", _NO_LINKS]
    done = subprocess.run([*words, str(tmp_path / "a")], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("File exists\n", "")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
    assert (mode_of(tmp_path / "a"), (tmp_path / "a").read_bytes()) == (0o600, b"one")


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "no" / "a"):
        pytest.fail("there is nothing to write to")
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "no")


def test_it_needs_no_settings() -> None:
    code = (
        "import sys, backends.private_files; print(sorted(name for name in sys.modules if 'django' in name))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
