"""Token files of other programs: what is found in them, how they are followed, what is said when there is nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.token_files import (
    KEEP_SECONDS,
    FileToken,
    TokenFileError,
    TokenFiles,
    followed,
    parse_token,
    read_token_file,
)

CANARY = "tok-canary-0123456789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials.json"
    path.touch(mode=0o600)
    return path


class Following:
    """One followed file, and a clock that the test moves."""

    def __init__(self, path: Path, token_path: str = "") -> None:
        self.now = 100.0
        self.path, self.token_path = str(path), token_path
        self.files = TokenFiles(clock=lambda: self.now)

    def token(self, after: float = 1.0) -> str:
        self.now += after
        return self.found().secret.reveal()

    def found(self) -> FileToken:
        return self.files.followed(self.path, self.token_path)


def write(path: Path, content: object) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))


# --- what is found ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        CANARY,
        f"\ufeff  {CANARY}\u200b \r\n",
        f'"{CANARY}"',
        {"access_token": CANARY},
        {"accessToken": CANARY, "refreshToken": "other"},
        {
            "claudeAiOauth": {"accessToken": CANARY, "refreshToken": "other"},
            "mcpOAuth": {"accessToken": "no"},
        },
        {"access_token": "", "accessToken": None, "claudeAiOauth": {"accessToken": f" {CANARY}\n"}},
        {"access_token": CANARY, "claudeAiOauth": {"accessToken": "not-this-one"}},
    ],
)
def test_a_token_is_found_in_the_usual_places(file: Path, content: object) -> None:
    write(file, content)
    assert read_token_file(str(file)).secret.reveal() == CANARY


@pytest.mark.parametrize(
    ("token_path", "content"),
    [
        ("tokens.access", {"tokens": {"access": CANARY}, "access_token": "not-this-one"}),
        ("key", {"key": CANARY}),
        ("accounts.1.token", {"accounts": [{"token": "no"}, {"token": CANARY}]}),
        ("0", [CANARY]),
    ],
)
def test_a_token_is_found_where_it_is_said_to_be(file: Path, token_path: str, content: object) -> None:
    write(file, content)
    assert read_token_file(str(file), token_path).secret.reveal() == CANARY


@pytest.mark.parametrize(
    ("beside", "expires_at"),
    [
        ({"expires_at": 1_790_000_000}, 1_790_000_000),
        ({"expiresAt": 1_790_000_000_500}, 1_790_000_000.5),
        ({"expiry": "2026-09-21T13:33:20Z"}, 1_789_997_600),
        ({"expiry": "2026-09-21T15:33:20+02:00"}, 1_789_997_600),
        ({"expires_at": "1790000000"}, 1_790_000_000),
        ({"expires_at": None, "expiresAt": 1_790_000_000}, 1_790_000_000),
        ({"expires_at": "soon", "expiry": True}, None),
        ({"expires_at": 0}, None),
        ({"expires_at": 1e300}, None),
        ({}, None),
    ],
)
def test_the_end_is_read_beside_the_token(
    file: Path, beside: dict[str, Any], expires_at: float | None
) -> None:
    write(file, {"expires_at": 1, "claudeAiOauth": {"accessToken": CANARY, **beside}})
    assert read_token_file(str(file)).expires_at == expires_at


def test_a_path_may_begin_with_the_home_directory(file: Path) -> None:
    write(file, CANARY)
    inside = os.path.relpath(file, Path.home())
    assert followed(f"~/{inside}").secret.reveal() == CANARY


def test_a_link_is_followed(file: Path) -> None:
    write(file, CANARY)
    link = file.with_name("link")
    link.symlink_to(file)
    assert read_token_file(str(link)).secret.reveal() == CANARY


def test_a_file_that_everybody_can_read_is_used_with_a_warning(file: Path) -> None:
    write(file, CANARY)
    assert read_token_file(str(file)).warning == ""
    file.chmod(0o644)
    found = read_token_file(str(file))
    assert found.secret.reveal() == CANARY
    assert f"chmod 600 {file}" in found.warning


# --- what is said when there is none --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "token_path", "said"),
    [
        ("", "", "is empty"),
        (" \n", "", "is empty"),
        ('{"access_token": "tok-canary-01', "", "no whole JSON"),
        ("[" * 100_000, "", "no whole JSON"),
        ({"token": CANARY}, "", "--token-path"),
        ({"access_token": [CANARY]}, "", "--token-path"),
        ({"access_token": CANARY}, "a.b.c", "a.b.c"),
        ({"a": [CANARY]}, "a.1", "a.1"),
        ({"a": CANARY}, "a.b", "a.b"),
        (f'"{CANARY}"', "a.b", "a.b"),
        (CANARY, "a.b", "no JSON"),
        (f"export TOKEN={CANARY}", "", "is no token"),
        (f"{CANARY}\n{CANARY}", "", "is no token"),
        ({"access_token": f"{CANARY}\u00e9"}, "", "is no token"),
        ("x" * 20_000, "", "too long"),
        ("x" * (2**20 + 1), "", "larger than 1 MiB"),
    ],
)
def test_a_file_without_a_token_says_what_to_do_and_not_what_it_holds(
    file: Path, content: object, token_path: str, said: str
) -> None:
    write(file, content)
    with pytest.raises(TokenFileError, match=said) as caught:
        read_token_file(str(file), token_path)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert str(file) in str(caught.value)


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00tok")
    said = {"missing": "no token file", ".": "regular|directory", "pipe": "regular", "binary": "no text"}
    for name, text in said.items():
        with pytest.raises(TokenFileError, match=text):
            read_token_file(str(tmp_path / name))
    with pytest.raises(TokenFileError, match="no path"):
        read_token_file("/tmp/\0")


def test_nothing_in_a_files_token_prints_it(file: Path) -> None:
    write(file, CANARY)
    assert "canary" not in repr(read_token_file(str(file)))


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)),
    st.sampled_from(["", "a", "a.0.b"]),
)
def test_any_content_gives_a_token_or_an_error(content: bytes, token_path: str) -> None:
    try:
        secret, _ = parse_token(content, token_path, "FILE")
    except TokenFileError:
        return
    assert secret.reveal().isascii()
    assert secret.reveal().isprintable()


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["access_token", "expires_at", "expiry", "a", "0"]), inner, max_size=4
        ),
    ),
    max_leaves=12,
)


@given(_JSON, st.sampled_from(["", "a", "a.0", "a.access_token", "..", "a." * 50]))
def test_any_json_gives_a_token_or_an_error(document: object, token_path: str) -> None:
    try:
        secret, expires_at = parse_token(json.dumps(document).encode(), token_path, "FILE")
    except TokenFileError:
        return
    assert secret.reveal().isprintable()
    assert expires_at is None or expires_at < 1e12


# --- following ------------------------------------------------------------------------------------------------------


def test_a_changed_file_is_read_again_within_a_second(file: Path) -> None:
    following = Following(file)
    write(file, "tok-first-0123456789")
    assert following.token() == "tok-first-0123456789"
    write(file, "tok-second-0123456789")
    assert following.token(after=0.5) == "tok-first-0123456789"
    assert following.token(after=0.5) == "tok-second-0123456789"


def test_a_file_of_the_same_size_that_took_its_place_is_read_too(file: Path) -> None:
    following = Following(file)
    write(file, "tok-first-0123456789")
    assert following.token() == "tok-first-0123456789"
    before = file.stat()
    other = file.with_name("new")
    other.touch(mode=0o600)
    write(other, "tok-other-0123456789")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert following.token() == "tok-other-0123456789"


def test_an_unchanged_file_is_not_read_again(file: Path) -> None:
    following = Following(file)
    write(file, "tok-first-0123456789")
    assert following.token() == "tok-first-0123456789"
    before = file.stat()
    write(file, "tok-never-0123456789")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert following.token() == "tok-first-0123456789"  # only its time, size and inode are looked at


@pytest.mark.parametrize("spoil", [lambda path: write(path, '{"access_tok'), lambda path: path.unlink()])
def test_while_a_file_is_being_written_the_last_good_token_stays(file: Path, spoil: Any) -> None:
    following = Following(file)
    write(file, {"access_token": "tok-first-0123456789"})
    assert following.token() == "tok-first-0123456789"
    following.now += 3600  # nobody asked for an hour
    spoil(file)
    assert following.token() == "tok-first-0123456789"
    assert following.token(after=KEEP_SECONDS - 1.5) == "tok-first-0123456789"
    write(file, {"access_token": "tok-second-0123456789"})
    assert following.token() == "tok-second-0123456789"


def test_a_file_that_stays_broken_is_an_error_until_it_is_whole(file: Path) -> None:
    following = Following(file)
    write(file, {"access_token": "tok-first-0123456789"})
    assert following.token() == "tok-first-0123456789"
    write(file, "{")
    following.token()
    for _ in range(3):
        with pytest.raises(TokenFileError, match="no whole JSON"):
            following.token(after=KEEP_SECONDS)
    write(file, {"access_token": "tok-second-0123456789"})
    assert following.token() == "tok-second-0123456789"


def test_a_file_that_comes_later_is_found(file: Path) -> None:
    file.unlink()
    following = Following(file)
    with pytest.raises(TokenFileError):
        following.token()
    write(file, CANARY)
    assert following.token() == CANARY


def test_the_file_is_never_written(file: Path) -> None:
    write(file, {"access_token": CANARY})
    file.chmod(0o400)
    before = file.stat()
    assert Following(file).token() == CANARY
    after = file.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
