"""The home directory: private, made once, refused when others can read it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from router_site.home import HomeError, ensure_home, read_or_create_secret
from tests.patchbay import PROJECT


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directories_and_the_secret_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        home = ensure_home(tmp_path / "home")
        read_or_create_secret(home)
    finally:
        os.umask(before)
    assert {mode(home), mode(home / "secrets"), mode(home / "spool")} == {0o700}
    assert mode(home / "secrets" / "secret_key") == 0o600


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    home = ensure_home(tmp_path / "home")
    assert read_or_create_secret(home) == read_or_create_secret(home)


def test_processes_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    home = ensure_home(tmp_path / "home")
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(read_or_create_secret(home))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(each) for each in found}) == 1
    assert [path.name for path in (home / "secrets").iterdir()] == ["secret_key"]


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    home = ensure_home(tmp_path / "home")
    read_or_create_secret(home)
    (home / "secrets" / "secret_key").chmod(0o644)
    with pytest.raises(HomeError, match="chmod 600"):
        read_or_create_secret(home)


def test_a_link_or_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    home = ensure_home(tmp_path / "home")
    (tmp_path / "elsewhere").write_text("x\n")
    (home / "secrets" / "secret_key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HomeError, match="regular file"):
        read_or_create_secret(home)
    (home / "secrets" / "secret_key").unlink()
    (home / "secrets" / "secret_key").touch(mode=0o600)
    with pytest.raises(HomeError, match="empty"):
        read_or_create_secret(home)


def test_older_secrets_follow_the_current_one(tmp_path: Path) -> None:
    home = ensure_home(tmp_path / "home")
    path = home / "secrets" / "secret_key"
    path.touch(mode=0o600)
    path.write_text("new\n\nold\n")
    assert read_or_create_secret(home) == ["new", "old"]


def test_a_home_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="PATCHBAY_HOME"):
        ensure_home(tmp_path / "file" / "home")


_FULL_DISK = """
import resource, sys
from pathlib import Path
from router_site.home import HomeError, read_or_create_secret

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write fails, as on a full disk
try:
    read_or_create_secret(Path(sys.argv[1]))
except HomeError as exc:
    print(exc)
"""


def test_a_disk_that_takes_no_secret_is_named(tmp_path: Path) -> None:
    home = ensure_home(tmp_path / "home")
    command = [sys.executable, "-c", _FULL_DISK, str(home)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    place = home / "secrets" / "secret_key"
    assert done.stdout == f"Cannot write {place} (File too large). Check its disk and rights.\n"
    assert done.stderr == ""
    assert list(place.parent.iterdir()) == []
