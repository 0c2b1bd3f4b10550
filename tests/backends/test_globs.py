"""Globs one by one, and many at once."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from backends.globs import GlobIndex, glob_matches, is_exact, literal_prefix

_GLOB = st.text(alphabet="ab*?", min_size=1, max_size=8)


@given(st.text(alphabet="ab*?", max_size=12), st.text(alphabet="ab", max_size=12))
def test_globs_match_like_the_slow_definition(glob: str, name: str) -> None:
    def slow(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return slow(pattern[1:], text) or bool(text and slow(pattern, text[1:]))
        return bool(text) and pattern[0] in ("?", text[0]) and slow(pattern[1:], text[1:])

    assert glob_matches(glob, name) == slow(glob, name)


def test_everything_but_the_two_wildcards_is_literal() -> None:
    assert glob_matches("claude-*[1m]", "claude-opus-4-8[1m]")
    assert not glob_matches("claude-[ab]", "claude-a")
    assert glob_matches("a.b+c", "a.b+c")
    assert not glob_matches("a.b", "axb")
    assert glob_matches("GPT-*", "gpt-5")
    assert glob_matches("a*b", "a\nb")


@given(st.lists(_GLOB, max_size=12), st.lists(st.text(alphabet="ab", max_size=8), max_size=6))
def test_the_index_finds_what_looking_at_each_finds(globs: list[str], names: list[str]) -> None:
    index = GlobIndex(globs)
    for name in [*names, *names]:  # the second time it remembers
        slow = next((number for number, glob in enumerate(globs) if glob_matches(glob, name)), None)
        assert index.first(name) == slow


def test_prefixes_and_exactness() -> None:
    assert [literal_prefix(glob) for glob in ("abc", "ab*c", "*", "a?c")] == ["abc", "ab", "", "a"]
    assert [is_exact(glob) for glob in ("abc", "ab*c", "a?c")] == [True, False, False]


def test_a_pattern_made_to_be_slow_is_not() -> None:
    began = time.monotonic()
    assert not glob_matches("*a" * 60 + "b", "a" * 200)
    assert not glob_matches("*a?" * 40 + "b", "a" * 200)
    assert time.monotonic() - began < 5
