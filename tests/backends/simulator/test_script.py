"""The words that steer the simulator."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backends.simulator
from backends.simulator import Script, ScriptError
from backends.simulator.script import parse, script_of_key, seconds, size, split_model, words


def test_every_word_is_documented() -> None:
    table = backends.simulator.__doc__.replace("cl+te", "cl-te")
    missing = [word for word in words() if f"`{word}" not in table and f"/{word}" not in table]
    assert missing == []


@pytest.mark.parametrize("word", words())
def test_every_word_changes_the_script_or_asks_for_a_value(word: str) -> None:
    try:
        script = parse(word)
    except ScriptError:
        script = parse(f"{word}=7")
    assert script != Script()


def test_values_are_read() -> None:
    script = parse(
        "status=429,ra=3,ttfb=20ms,size=4k,cut@b17,drip=7:1ms,u5h=0.4,u7d_opus=1.01,hdr=a:b,hdr=c:d"
    )
    assert (script.status, script.retry_after, script.ttfb, script.size) == (429, "3", 0.02, 4096)
    assert (script.cut_bytes, script.cut_at, script.drip) == (17, None, (7, 0.001))
    assert script.windows == (("5h", 0.4), ("7d_opus", 1.01))
    assert script.headers == (("a", "b"), ("c", "d"))


def test_stronger_source_wins_and_ok_keeps_the_shape_of_the_answer() -> None:
    assert parse("status=429,gap=5ms", "status=500").status == 500
    forgiven = parse("status=429,tool,gap=5ms,cut@2", "ok")
    assert forgiven == parse("tool,gap=5ms")
    assert parse("ok,status=429").status == 429


def test_label_separates_keys_with_the_same_script() -> None:
    assert parse("status=401#one") == parse("status=401#two") == parse("status=401")
    assert parse("#work") == Script()
    assert script_of_key("sk-sim-status=401#one") == "status=401#one"
    assert script_of_key("sk-ant-123") == script_of_key(None) == ""


def test_plus_also_joins_words() -> None:
    assert parse("cl+te+think") == parse("cl+te,think")
    assert split_model("a/b:c+tool,cl+te") == ("a/b:c", "tool,cl+te")


@pytest.mark.parametrize(
    "text", ["nope", "status=many", "gap=soon", "usage=odd", "cut@x", "drip=x", "text", "u5h=x", "redirect=x"]
)
def test_misspelt_script_is_an_error_that_names_the_word(text: str) -> None:
    with pytest.raises(ScriptError, match=text.partition("=")[0].partition("@")[0]):
        parse(text)


@given(st.text(alphabet="abcdeo-kst=@,+#0123456789.", max_size=30))
def test_any_text_is_a_script_or_a_script_error(text: str) -> None:
    with contextlib.suppress(ScriptError):
        assert isinstance(parse(text), Script)


@given(st.integers(0, 10_000), st.sampled_from(["ms", "s", "m", "h", "d", ""]))
def test_durations(number: int, unit: str) -> None:
    factor = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}[unit]
    assert seconds(f"{number}{unit}") == pytest.approx(number * factor)


def test_sizes() -> None:
    assert [size(text) for text in ("7", "7k", "7M")] == [7, 7 << 10, 7 << 20]
