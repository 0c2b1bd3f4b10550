"""Files are replaced whole, backed up, and put back exactly; all of a tool's or none."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxyapp.connect import files
from proxyapp.connect.ledger import Changed, Ledger, entry_of, undo
from proxyapp.connect.parts import ConnectError, Edit
from proxyapp.connect.showing import difference, mask

NOW = datetime(2026, 9, 27, 10, 15, 0, tzinfo=UTC)
SECRET = "pb-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


def plan(*paths: Path, text: str = "new\n", holds_key: bool = False) -> list[files.Change]:
    return files.plan([Edit(path, lambda _: text) for path in paths], holds_key=holds_key)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_backup_stands_beside_the_file_and_becomes_it_again(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("old\n")
    path.chmod(0o640)
    os.utime(path, (1, 1))
    [written] = files.apply(plan(path), NOW)
    assert written.backup == tmp_path / "settings.json.patchbay-20260927-101500.bak"
    assert (path.read_text(), mode(path)) == ("new\n", 0o640)
    assert (written.backup.read_text(), mode(written.backup)) == ("old\n", 0o640)
    files.restore(written)
    assert (path.read_text(), mode(path), path.stat().st_mtime) == ("old\n", 0o640, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_backups_are_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("0")
    for text in ("1", "2", "3"):
        files.apply(plan(path, text=text), NOW)
    assert sorted(one.read_text() for one in tmp_path.glob("a.patchbay-*.bak")) == ["0", "1", "2"]


def test_a_file_with_a_key_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o644)
    files.apply(plan(path, holds_key=True), NOW)
    assert mode(path) == 0o600


def test_a_new_file_and_its_folders_are_private_and_go_away_again(tmp_path: Path) -> None:
    path = tmp_path / "x" / "y" / "a"
    [written] = files.apply(plan(path), NOW)
    assert (mode(path), mode(tmp_path / "x"), written.backup) == (0o600, 0o700, None)
    files.restore(written)
    assert not (tmp_path / "x").exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles" / "a", tmp_path / "a"
    real.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    [written] = files.apply(plan(link), NOW)
    assert link.is_symlink()
    assert (real.read_text(), written.path) == ("new\n", real)


@pytest.mark.parametrize("what", ["read-only", "folder", "below a file", "not text", "huge", "loop"])
def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    if what == "folder":
        path.mkdir()
    elif what == "below a file":
        path.write_text("x")
        path = path / "b"
    elif what == "not text":
        path.write_bytes(b"\xff\xfe")
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(files.MAX_BYTES + 1)
    elif what == "loop":
        path.symlink_to(path)
    else:
        path.write_text("x")
        path.chmod(0o444)
    with pytest.raises(ConnectError) as failure:
        files.plan([Edit(path, lambda text: text + "new")], holds_key=False)
    assert str(path) in str(failure.value)
    assert "Nothing was changed" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_all_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "later" / "second"
    first.write_text("old")
    changes = plan(first, second)
    (tmp_path / "later").write_text("now a file is in the way")
    before = everything(tmp_path)
    with pytest.raises(ConnectError, match=r"later.*Nothing was changed"):
        files.apply(changes, NOW)
    assert everything(tmp_path) == before


def test_a_change_by_somebody_else_at_this_moment_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    changes = plan(path)
    path.write_text("theirs")
    with pytest.raises(ConnectError, match="try again"):
        files.apply(changes, NOW)
    assert everything(tmp_path) == {"a": b"theirs"}


def connected(ledger: Ledger, *paths: Path, text: str) -> None:
    changes = files.plan([Edit(path, lambda _: text) for path in paths], holds_key=False, base=ledger.base)
    ledger.add(entry_of(changes, files.apply(changes, NOW), models=(), key=""))


def test_undo_goes_back_step_by_step(tmp_path: Path) -> None:
    path, ledger = tmp_path / "tool" / "a", Ledger(tmp_path / "home", "tool")
    (tmp_path / "home").mkdir()
    path.parent.mkdir()
    path.write_text("0")
    for text in ("1", "2"):
        connected(ledger, path, text=text)
    for text in ("1", "0"):
        assert ledger.last is not None
        undo(ledger.last)
        ledger.drop_last()
        assert path.read_text() == text
    assert ledger.last is None
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


def test_what_was_changed_since_is_not_undone_and_shown_without_secrets(tmp_path: Path) -> None:
    one, two, ledger = tmp_path / "one", tmp_path / "two", Ledger(tmp_path / "home", "tool")
    (tmp_path / "home").mkdir()
    connected(ledger, one, two, text=f"api_key: {SECRET}\nmine: 0\n")
    two.write_text(f"api_key: {SECRET}\nmine: 1\nother_secret: hunter2\n")
    assert ledger.last is not None
    with pytest.raises(Changed, match=f"{two} was changed since") as failure:
        undo(ledger.last)
    assert failure.value.lines[2:] == [
        "@@ -1,2 +1,3 @@", " api_key: ***", "-mine: 0", "+mine: 1", "+other_secret: ***"
    ]  # fmt: skip
    assert one.exists()
    assert SECRET not in (tmp_path / "home" / "connect" / "tool.json").read_text()
    two.unlink()
    with pytest.raises(Changed):
        undo(ledger.last)


def test_connecting_anew_starts_from_what_was_there_before_unless_it_was_changed(tmp_path: Path) -> None:
    path, ledger = tmp_path / "a", Ledger(tmp_path / "home", "tool")
    (tmp_path / "home").mkdir()
    path.write_text("mine")
    assert ledger.base(path, b"mine") == b"mine"
    connected(ledger, path, text="1")
    connected(ledger, path, text="2")
    assert ledger.base(path, b"2") == b"mine"
    assert ledger.base(path, b"changed since") == b"changed since"
    assert ledger.base(tmp_path / "other", None) is None


def test_a_ledger_that_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "connect").mkdir()
    (tmp_path / "connect" / "tool.json").write_text("{")
    with pytest.raises(ConnectError, match="cannot be read"):
        assert Ledger(tmp_path, "tool").last


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f'"ANTHROPIC_AUTH_TOKEN": "{SECRET}",', '"ANTHROPIC_AUTH_TOKEN": "***",'),
        ('"ANTHROPIC_AUTH_TOKEN": "patchbay"', '"ANTHROPIC_AUTH_TOKEN": "patchbay"'),
        ("openai-api-key: hunter2 # mine", "openai-api-key: *** # mine"),
        ('apiKey = "a \\" b"', 'apiKey = "***"'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        (f'"H": "x-patchbay-key: {SECRET}"', '"H": "x-patchbay-key: ***"'),
        ("max_tokens: 128000", "max_tokens: 128000"),
        ('"api_key": "{env:KEY}"', '"api_key": "{env:KEY}"'),
        ("args: [sk-live-0123456789]", "args: [***]"),
        ("model: sonnet", "model: sonnet"),
    ],
)
def test_secrets_are_not_shown(text: str, shown: str) -> None:
    assert mask(text) == shown
    assert difference("", f"{text}\n", "file")[-1] == f"+{shown}"
