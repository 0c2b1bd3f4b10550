"""What all commands promise: exit codes, one line on stderr, no traceback. Real processes on a home of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backends.command import comma_list, printable
from tests.patchbay import PROJECT, Patchbay


@pytest.fixture
def patchbay(tmp_path: Path) -> Patchbay:
    return Patchbay(home=tmp_path / "home")


def test_a_fresh_home_needs_no_migrate_step(patchbay: Patchbay) -> None:
    patchbay.is_blank = True
    assert patchbay.manage("backend", "list", "--json").stdout.strip() == "[]"


@pytest.mark.parametrize("database", ["default", "history"])
def test_but_it_can_be_migrated_by_hand(patchbay: Patchbay, database: str) -> None:
    patchbay.is_blank = True
    patchbay.manage("migrate", "--database", database)


def test_two_first_commands_at_once_both_work(patchbay: Patchbay) -> None:
    command = [sys.executable, "manage.py", "backend", "list", "--json"]
    both = [
        subprocess.Popen(
            command, cwd=PROJECT, env=patchbay.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60) for process in both]
    assert [(process.returncode, out.strip()) for process, (out, _) in zip(both, answers, strict=True)] == [
        (0, b"[]"),
        (0, b"[]"),
    ], answers


def test_a_failure_is_exit_1_and_one_line(patchbay: Patchbay) -> None:
    done = patchbay.manage("backend", "add", "unheard-of", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "--base-url" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("backend", "bogus"),
        ("backend", "add"),
        ("backend", "add", "x", "--protocol", "smtp"),
        ("keys", "add", "x", "--nonsense"),
        ("history", "--since", "yesterday"),
        ("ask", "hello"),
    ],
)
def test_wrong_use_is_exit_2_and_one_line(patchbay: Patchbay, words: tuple[str, ...]) -> None:
    done = patchbay.manage(*words, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("command", ["backend", "backends", "accounts", "routes", "keys"])
def test_a_group_without_a_sub_command_shows_its_help(patchbay: Patchbay, command: str) -> None:
    done = patchbay.manage(command, check=False)
    assert done.returncode == 2
    assert "examples:" in done.stderr


def test_no_example_holds_a_key_in_the_command_line(patchbay: Patchbay) -> None:
    for words in (("backend", "add"), ("accounts", "add")):
        text = patchbay.manage(*words, "--help").stdout
        examples = text.partition("examples:")[2]
        assert "--key-stdin" in examples
        assert "--key " not in examples


def test_a_reader_that_leaves_early_hears_no_complaint(patchbay: Patchbay) -> None:
    for number in range(5):
        patchbay.manage("keys", "add", f"key-{number}")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "keys", "list"],
        cwd=PROJECT,
        env=patchbay.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait(60) == 0


@pytest.mark.sqlite("damages the file")
def test_a_database_that_cannot_be_used_is_one_line(patchbay: Patchbay) -> None:
    patchbay.manage("keys", "list")
    (patchbay.home / "config.sqlite3").write_bytes(b"this is no database" * 100)
    for suffix in ("-wal", "-shm"):
        (patchbay.home / f"config.sqlite3{suffix}").unlink(missing_ok=True)
    done = patchbay.manage("keys", "list", check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "restore" in done.stderr


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert printable("a\x1b[2Jb\u202ec\nd") == "a\\x1b[2Jb\\u202ec\\nd"
    assert printable("gemütlich → 模型") == "gemütlich → 模型"


def test_lists_with_commas() -> None:
    assert comma_list("gpt-*, o3,,") == ("gpt-*", "o3")
