"""Conversations continued from what was stored."""

from __future__ import annotations

import json
from typing import Any

from backends.wire.conversation import Conversation, Reply, Stop, Text, Thinking, ToolCall, ToolResult, Turn
from backends.wire.openai_responses import history_of, parse_request, resolve, turns_of, with_history


def ask(input: Any, **fields: Any) -> Conversation:
    return parse_request(json.dumps({"model": "m", "input": input, **fields}).encode())


def reply(*blocks: Any) -> Reply:
    return Reply("resp_1", "m", list(blocks), Stop.END)


def test_an_answer_is_one_turn() -> None:
    blocks = [Thinking("t", "anthropic", signature="s"), Text("a")]
    assert turns_of(reply(*blocks)) == [Turn("assistant", blocks)]
    assert turns_of(reply()) == []


def test_the_next_request_continues_the_conversation() -> None:
    first = ask(
        [{"role": "developer", "content": "rule"}, {"role": "user", "content": "a"}], instructions="once"
    )
    stored = history_of(first, reply(ToolCall("c", "f", "{}")))
    output = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    second = ask([output], previous_response_id="resp_1", instructions="now")
    whole = with_history(second, stored)
    assert [text.text for text in whole.system] == ["now", "rule"]
    assert whole.turns == [
        Turn("user", [Text("a")]),
        Turn("assistant", [ToolCall("c", "f", "{}")]),
        Turn("user", [ToolResult("c", [Text("ok")])]),
    ]
    assert whole.previous_response_id is None
    assert second.previous_response_id == "resp_1"


def test_what_was_continued_can_be_stored_and_continued_again() -> None:
    stored = history_of(ask("a"), reply(Text("b")))
    second = with_history(ask("c", previous_response_id="resp_1"), stored)
    third = with_history(ask("e", previous_response_id="resp_2"), history_of(second, reply(Text("d"))))
    texts = [block.text for turn in third.turns for block in turn.blocks if isinstance(block, Text)]
    assert texts == ["a", "b", "c", "d", "e"]


def test_a_result_behind_another_message_is_put_behind_its_stored_call() -> None:
    stored = history_of(ask("a"), reply(ToolCall("c", "f", "{}")))
    output = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    whole = with_history(ask([{"role": "user", "content": "b"}, output]), stored)
    assert [turn.role for turn in whole.turns] == ["user", "assistant", "user", "user"]
    assert isinstance(whole.turns[2].blocks[0], ToolResult)


def test_later_developer_messages_stay_where_they_were() -> None:
    stored = history_of(ask("a"), reply(Text("b")))
    second = ask([{"role": "developer", "content": "from now on"}, {"role": "user", "content": "c"}])
    assert [turn.role for turn in with_history(second, stored).turns] == [
        "user",
        "assistant",
        "system",
        "user",
    ]


def test_nothing_stored_is_changed() -> None:
    stored = history_of(ask("a"), reply(Text("b")))
    before = repr(stored)
    with_history(ask([{"role": "assistant", "content": "more"}]), stored)
    assert repr(stored) == before


def test_references_are_replaced_by_the_items_they_name() -> None:
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": "x"}
    items = [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"type": "item_reference", "id": "gone"},
        "odd",
    ]
    assert resolve(items, {"msg_1": item}) == [item, item, items[2], "odd"]
