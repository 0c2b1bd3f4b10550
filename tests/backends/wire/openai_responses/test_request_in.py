"""Requests of Responses clients in the neutral form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.wire.conversation import (
    CannotCarry,
    Conversation,
    HostedTool,
    Media,
    OutputFormat,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from backends.wire.openai_responses import parse_request
from backends.wire.openai_responses.sealed import seal
from backends.wire.splice import BadBody


def parse(input: Any = "x", **fields: Any) -> Conversation:
    return parse_request(json.dumps({"model": "m", "input": input, **fields}).encode())


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(call_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", **fields}


def output(call_id: str, value: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": value}


def roles(talk: Conversation) -> list[tuple[str, list[str]]]:
    return [(turn.role, [type(block).__name__ for block in turn.blocks]) for turn in talk.turns]


def test_a_string_is_one_user_turn() -> None:
    assert parse("hello").turns == [Turn("user", [Text("hello")])]


def test_messages_need_no_type() -> None:
    assert roles(parse([user("a"), {"role": "assistant", "content": "b"}])) == [
        ("user", ["Text"]),
        ("assistant", ["Text"]),
    ]


def test_instructions_and_leading_developer_messages_are_the_system_and_later_ones_stay_in_place() -> None:
    talk = parse(
        [
            {"role": "developer", "content": [{"type": "input_text", "text": "two"}]},
            {"role": "system", "content": "three"},
            user("a"),
            {"role": "developer", "content": "later"},
            user("b"),
        ],
        instructions="one",
    )
    assert [text.text for text in talk.system] == ["one", "two", "three"]
    assert [turn.role for turn in talk.turns] == ["user", "system", "user"]


def test_a_message_and_the_calls_behind_it_are_one_turn_with_the_results_right_after() -> None:
    talk = parse(
        [
            user("a"),
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gA"},
            {"role": "assistant", "content": "let me see"},
            call("1"),
            call("2"),
            output("1"),
            output("2"),
            user("and?"),
        ]
    )
    assert roles(talk) == [
        ("user", ["Text"]),
        ("assistant", ["Thinking", "Text", "ToolCall", "ToolCall"]),
        ("user", ["ToolResult", "ToolResult", "Text"]),
    ]


def test_a_result_that_comes_late_is_put_behind_its_call() -> None:
    talk = parse([user("a"), call("1"), user("b"), output("1"), user("c")])
    assert roles(talk) == [
        ("user", ["Text"]),
        ("assistant", ["ToolCall"]),
        ("user", ["ToolResult"]),
        ("user", ["Text"]),
        ("user", ["Text"]),
    ]


def test_a_late_result_joins_the_results_that_are_there() -> None:
    talk = parse([call("1"), call("2"), output("2"), {"role": "assistant", "content": "x"}, output("1")])
    assert roles(talk)[1] == ("user", ["ToolResult", "ToolResult"])
    assert roles(talk)[2] == ("assistant", ["Text"])


def test_arguments_stay_as_they_were_written() -> None:
    talk = parse([call("1", arguments='{"b" : 1.0,\n"a":2}', id="fc_9", namespace="ns")])
    block = talk.turns[0].blocks[0]
    assert block == ToolCall("1", "f", '{"b" : 1.0,\n"a":2}', namespace="ns", item_id="fc_9")


def test_custom_calls_and_their_outputs() -> None:
    talk = parse(
        [
            {"type": "custom_tool_call", "call_id": "1", "name": "patch", "input": "*** x"},
            {"type": "custom_tool_call_output", "call_id": "1", "output": "done"},
        ]
    )
    assert talk.turns[0].blocks == [ToolCall("1", "patch", "*** x", is_custom=True)]
    assert talk.turns[1].blocks == [ToolResult("1", [Text("done")], is_custom=True)]


def test_a_tool_can_give_back_images_and_files() -> None:
    content = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
    ]
    result = parse([call("1"), output("1", content)]).turns[1].blocks[0]
    assert isinstance(result, ToolResult)
    assert result.content == [
        Text("see"),
        Media("image", "image/png", data="AAAA", detail="low"),
        Media("document", "application/pdf", data="BBBB", name="a.pdf"),
    ]


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"type": "input_image", "image_url": "https://x/y.png"}, Media("image", url="https://x/y.png")),
        ({"type": "input_image", "file_id": "file-1"}, Media("image", file_id="file-1")),
        ({"type": "image_url", "image_url": {"url": "https://x"}}, Media("image", url="https://x")),
        ({"type": "input_file", "file_url": "https://x"}, Media("document", url="https://x")),
        ({"type": "input_file", "file_id": "file-1"}, Media("document", file_id="file-1")),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
            Media("audio", "audio/mp3", data="AA"),
        ),
    ],
)
def test_media(part: dict[str, Any], media: Media) -> None:
    assert parse([{"role": "user", "content": [part]}]).turns[0].blocks == [media]


def test_reasoning_keeps_what_its_provider_encrypted() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
        "encrypted_content": "gAAA",
    }
    assert parse([item]).turns[0].blocks == [
        Thinking("a\n\nb", "responses", encrypted="gAAA", id="rs_1", is_summary=True)
    ]


@pytest.mark.parametrize(
    "thinking",
    [
        Thinking("deep", "anthropic", signature="c2ln"),
        Thinking("", "anthropic", signature="c2ln"),
        Thinking("", "anthropic", encrypted="cmVk"),
        Thinking("shown", "chat"),
    ],
)
def test_thinking_that_was_sealed_comes_back_whole(thinking: Thinking) -> None:
    summary = [{"type": "summary_text", "text": thinking.text}] if thinking.text else []
    item = {"type": "reasoning", "id": "rs", "summary": summary, "encrypted_content": seal(thinking)}
    assert parse([item]).turns[0].blocks == [thinking]


def test_a_seal_that_was_broken_leaves_only_the_summary() -> None:
    sealed = seal(Thinking("deep", "anthropic", signature="c2ln"))
    item = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "deep"}],
        "encrypted_content": f"{sealed}x=",
    }
    assert parse([item]).turns[0].blocks == [Thinking("deep", "responses", is_summary=True)]


def test_tools_of_all_kinds() -> None:
    talk = parse(
        tools=[
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False},
            {"type": "function", "function": {"name": "nested", "parameters": {"type": "object"}}},
            {
                "type": "custom",
                "name": "c",
                "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
            },
            {
                "type": "namespace",
                "name": "ns",
                "description": "group",
                "tools": [{"type": "function", "name": "g"}],
            },
            {"type": "web_search", "external_web_access": False},
            {"type": "mcp", "server_label": "docs"},
        ]
    )
    assert talk.tools == [
        Tool("f", schema={"type": "object"}, strict=False),
        Tool("nested", schema={"type": "object"}),
        Tool("c", is_custom=True, grammar={"type": "grammar", "syntax": "lark", "definition": "x"}),
        Tool("g", "group", namespace="ns"),
        HostedTool("responses", "web_search", {"type": "web_search", "external_web_access": False}),
        HostedTool("responses", "docs", {"type": "mcp", "server_label": "docs"}),
    ]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        (None, None),
        ("none", ToolChoice("none")),
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("any")),
        ({"type": "function", "name": "f"}, ToolChoice("one", ("f",))),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("one", ("f",))),
        ({"type": "custom", "name": "c"}, ToolChoice("one", ("c",))),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}],
            },
            ToolChoice("any", ("f",)),
        ),
    ],
)
def test_tool_choice(given: Any, choice: ToolChoice | None) -> None:
    assert parse(tool_choice=given).tool_choice == choice


def test_settings() -> None:
    talk = parse(
        max_output_tokens=9,
        temperature=0.5,
        reasoning={"effort": "low", "summary": "auto"},
        text={
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True},
        },
        parallel_tool_calls=False,
        stream=True,
        store=False,
        previous_response_id="resp_1",
        prompt_cache_key="k",
        safety_identifier="u",
        service_tier="flex",
        truncation="auto",
        include=["reasoning.encrypted_content"],
        client_metadata={"any": "thing"},
        max_tool_calls=3,
    )
    assert talk.max_tokens == 9
    assert talk.sampling.temperature == 0.5
    assert talk.reasoning == Reasoning(None, "low", None, "auto")
    assert talk.output == OutputFormat("schema", {"a": 1}, "n", None, True)
    assert (talk.verbosity, talk.parallel_tools, talk.stream, talk.store) == ("low", False, True, False)
    assert (talk.previous_response_id, talk.session, talk.user) == ("resp_1", "k", "u")
    assert [path for path in talk.extras if path != "$"] == ["$.max_tool_calls"]


def test_codex_as_it_really_asks() -> None:
    talk = parse(
        [
            {
                "type": "message",
                "role": "developer",
                "id": "msg_a",
                "content": [{"type": "input_text", "text": "p"}],
            },
            {
                "type": "message",
                "role": "user",
                "id": "msg_b",
                "content": [{"type": "input_text", "text": "q"}],
            },
        ],
        stream=True,
        tools=[
            {"type": "function", "name": "shell", "strict": False, "parameters": {"type": "object"}},
            {
                "type": "namespace",
                "name": "multi_agent_v1",
                "description": "Agents.",
                "tools": [{"type": "function", "name": "spawn", "strict": False, "parameters": {}}],
            },
            {"type": "web_search", "external_web_access": False},
        ],
        tool_choice="auto",
        parallel_tool_calls=True,
        reasoning={"summary": "auto"},
        store=False,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
        client_metadata={"x": "y"},
    )
    assert [text.text for text in talk.system] == ["p"]
    assert roles(talk) == [("user", ["Text"])]
    assert [tool.name for tool in talk.tools] == ["shell", "spawn", "web_search"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "input[0]"),
        ({"input": [{"id": "rs_1"}]}, "input[0]"),
        ({"input": [user("x"), {"type": "compaction", "encrypted_content": "x"}]}, "input[1]"),
    ],
)
def test_what_needs_the_provider_itself_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(CannotCarry) as caught:
        parse(**fields)
    assert caught.value.field == field


def test_a_reference_is_resolved_from_what_is_stored() -> None:
    body = {"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}, user("x")]}
    stored = {"msg_1": {"type": "message", "role": "assistant", "content": "earlier"}}
    talk = parse_request(json.dumps(body).encode(), stored)
    assert talk.turns[0] == Turn("assistant", [Text("earlier")])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"input": 3}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [call("")]}, "input[0].call_id"),
        ({"input": [call("1", arguments={})]}, "input[0].arguments"),
        (
            {"input": [{"role": "developer", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0]",
        ),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [3]}]}, "tools[0].tools[0]"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"store": "no"}, "store"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadBody) as caught:
        parse(**fields)
    assert caught.value.field == field
    assert field in caught.value.message
