from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.models import RequestRecord
from analytics.pages.cache_busters import first_change
from analytics.pages.cache_losses import cache_losses

TURN = {
    "model": "claude-opus-4-8",
    "messages": [{"role": "user", "content": "héllo"}, {"role": "assistant", "content": "hi"}],
    "max_tokens": 100,
    "system": [{"type": "text", "text": "You are helpful. Today is Monday."}],
    "tools": [{"name": "ls", "input_schema": {"type": "object"}}],
}


def changed(**fields: Any) -> bytes:
    return json.dumps(TURN | fields, ensure_ascii=False).encode()


BEFORE = changed()


def test_a_longer_conversation_is_no_change() -> None:
    longer = [*TURN["messages"], {"role": "user", "content": "go on"}]  # type: ignore[misc]
    assert first_change(BEFORE, changed(messages=longer, max_tokens=5, stream=True)) is None


def test_the_first_byte_of_a_changed_system_prompt_is_named() -> None:
    after = changed(system=[{"type": "text", "text": "You are helpful. Today is Tuesday."}])
    found = first_change(BEFORE, after)
    assert found is not None
    assert found.path == "system[0].text"
    assert found.offset == after.index(b"Tuesday")
    assert "Monday" in found.before
    assert "Tuesday" in found.after


def test_the_order_of_the_cache_counts_not_that_of_the_body() -> None:
    tools = [{"name": "ls", "input_schema": {"type": "object"}}, {"name": "rm"}]
    found = first_change(BEFORE, changed(system="other", tools=tools))
    assert found is not None
    assert found.path == "tools[1]"
    assert (found.before, found.after) == ("", '{"name": "rm"}')


def test_a_message_that_went_away() -> None:
    found = first_change(BEFORE, changed(messages=TURN["messages"][:1]))  # type: ignore[index]
    assert found is not None
    assert (found.path, found.offset, found.after) == ("messages[1]", None, "")


def test_an_earlier_message_that_was_rewritten() -> None:
    after = changed(messages=[{"role": "user", "content": "héllO"}, *TURN["messages"][1:]])  # type: ignore[index]
    found = first_change(BEFORE, after)
    assert found is not None
    assert found.path == "messages[0].content"
    assert found.offset is not None
    assert after[found.offset :].startswith(b'O"')  # counted in bytes, behind a letter of two


def test_a_cache_mark_that_moves_on_is_no_change() -> None:
    marked = [{"type": "text", "text": "héllo", "cache_control": {"type": "ephemeral"}}]
    before = changed(messages=[{"role": "user", "content": marked}])
    after = changed(messages=[{"role": "user", "content": "héllo"}, {"role": "user", "content": marked}])
    assert first_change(before, after) is None


def test_a_field_that_makes_the_messages_new() -> None:
    found = first_change(BEFORE, changed(thinking={"type": "enabled", "budget_tokens": 2000}))
    assert found is not None
    assert found.path == "thinking"


def test_another_type_is_another_value() -> None:
    found = first_change(changed(tools=[{"strict": True}]), changed(tools=[{"strict": 1}]))
    assert found is not None
    assert found.path == "tools[0].strict"


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_request_has_no_change(body: bytes) -> None:
    assert first_change(body, BEFORE) is None
    assert first_change(BEFORE, body) is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_the_named_byte_is_the_first_that_differs(one: str, two: str) -> None:
    before, after = (changed(system=text) for text in (one, two))
    found = first_change(before, after)
    if one == two:
        assert found is None
        return
    assert found is not None
    assert found.offset is not None
    start = after.index(b'"system": ') + len(b'"system": ')
    assert after[start : found.offset] == before[start : found.offset]
    assert after[found.offset : found.offset + 4] != before[found.offset : found.offset + 4]


# --- which turns missed the cache ---------------------------------------------------------------------------------

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


def turn(number: int, read: int, written: int, **fields: Any) -> RequestRecord:
    plain = {
        "id": f"req_{number}",
        "started_at": AT + timedelta(minutes=number),
        "duration_ms": 1000.0,
        "model_used": "claude-opus-4-8",
        "backend": "anthropic",
        "account": "work",
        "fresh_input_tokens": 10,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": written,
    }
    return RequestRecord(**(plain | fields))


def test_a_turn_that_reads_what_was_cached_lost_nothing() -> None:
    assert cache_losses([turn(0, 0, 9000), turn(1, 9000, 500), turn(2, 9500, 100)]) == []


def test_a_turn_that_reads_nothing_is_named_with_what_it_lost() -> None:
    [loss] = cache_losses([turn(0, 0, 9000), turn(1, 9000, 500), turn(2, 0, 9600), turn(3, 9600, 100)])
    assert (loss.turn.id, loss.before.id, loss.expected, loss.read, loss.lost) == (
        "req_2",
        "req_1",
        9500,
        0,
        9500,
    )
    assert loss.cause == ""


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"model_used": "claude-sonnet-4-5"}, "another model: claude-opus-4-8, then claude-sonnet-4-5"),
        ({"account": "home"}, "another account: work, then home"),
        ({"started_at": AT + timedelta(minutes=12)}, "a pause of 11m; a cache lives 5m"),
        ({"cache_write_5m_tokens": 2000}, "a much shorter prompt: the client compacted"),
    ],
)
def test_what_explains_a_loss_without_the_bodies(fields: dict[str, Any], cause: str) -> None:
    [loss] = cache_losses([turn(0, 0, 9000), turn(1, 0, 9500, **fields)])
    assert loss.cause.startswith(cause)


def test_a_cache_of_an_hour_outlives_a_short_pause() -> None:
    first = turn(0, 0, 0, cache_write_1h_tokens=9000)
    [loss] = cache_losses([first, turn(30, 0, 9500)])
    assert loss.cause == ""
    [loss] = cache_losses([first, turn(70, 0, 9500)])
    assert "a cache lives 1h" in loss.cause


def test_failed_turns_and_short_prompts_do_not_count() -> None:
    failed = turn(1, 0, 0, cache_read_tokens=None, cache_write_5m_tokens=None, fresh_input_tokens=None)
    assert cache_losses([turn(0, 0, 9000), failed, turn(2, 9000, 100)]) == []
    assert cache_losses([turn(0, 0, 1000), turn(1, 0, 1000)]) == []
