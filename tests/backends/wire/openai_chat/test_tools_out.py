"""Tools and their names for OpenAI and for servers that imitate it."""

from __future__ import annotations

from typing import Any

import pytest

from backends.wire.conversation import (
    CannotCarry,
    Conversation,
    HostedTool,
    Media,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    Turn,
)
from backends.wire.target import ToolName
from tests.backends.wire.openai_chat.build import built

IMAGE = Media("image", "image/png", "AAAA")
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def talk(*turns: Turn, **fields: Any) -> Conversation:
    return Conversation("asked", list(turns) or [Turn("user", [Text("hi")])], **fields)


def test_tools_get_properties_and_lose_what_a_server_refuses() -> None:
    schema = {"$schema": "https://x", "type": "object"}
    tool = Tool("f", "d", schema, strict=True)
    body, gone, _ = built(talk(tools=[tool]), "mistral")
    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {"type": "object", "properties": {}},
                "strict": True,
            },
        }
    ]
    assert schema == {"$schema": "https://x", "type": "object"}
    body, gone, _ = built(talk(tools=[tool, Tool("g", None, CLOSED, strict=True)]), "openai")
    assert "strict" not in body["tools"][0]["function"]  # OpenAI refuses it on an open object
    assert body["tools"][1]["function"]["strict"] is True
    assert gone.paths == ["$.tools[0].strict"]


def test_gemini_reads_a_subset_of_json_schema_and_the_rest_as_words() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": ["integer", "null"], "exclusiveMinimum": 0, "description": "count"},
            "c": {"$ref": "#/$defs/c"},
        },
        "$defs": {"c": {"const": "x"}},
    }
    body, _, _ = built(talk(tools=[Tool("f", None, schema)]), "gemini")
    assert body["tools"][0]["function"]["parameters"]["properties"] == {
        "n": {"type": "integer", "nullable": True, "description": "count (exclusiveMinimum: 0)"},
        "c": {"enum": ["x"]},
    }


def test_long_namespaced_and_odd_tool_names_come_back() -> None:
    tools = [Tool("x" * 90), Tool("run", namespace="ns"), Tool("a.b"), Tool("c", is_custom=True)]
    body, _, made = built(talk(tools=tools))  # type: ignore[arg-type]
    sent = [tool["function"]["name"] for tool in body["tools"]]
    assert sent[1] == "ns__run"
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in sent)
    assert [made.names.client(name) for name in sent] == [
        ToolName("x" * 90),
        ToolName("run", "ns"),
        ToolName("a.b"),
        ToolName("c", is_custom=True),
    ]


def test_a_custom_tool_is_native_at_openai_and_a_function_elsewhere() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    tool = Tool("sh", "d", is_custom=True, grammar=grammar)
    turn = Turn("assistant", [ToolCall("a", "sh", "ls", is_custom=True)])
    body, gone, _ = built(talk(turn, tools=[tool]), "openai")
    form = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    assert body["tools"] == [{"type": "custom", "custom": {"name": "sh", "description": "d", "format": form}}]
    assert body["messages"][0]["tool_calls"][0]["custom"] == {"name": "sh", "input": "ls"}
    body, gone, _ = built(talk(turn, tools=[tool]))
    assert "start: x" in body["tools"][0]["function"]["description"]
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"input":"ls"}'
    assert gone.paths == ["$.tools[0].format"]


def test_calls_without_tools_bring_their_definitions_along() -> None:
    body, _, _ = built(talk(Turn("assistant", [ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")])))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == "none"


@pytest.mark.parametrize(
    ("choice", "preset", "written", "offered"),
    [
        (ToolChoice("auto"), "", "auto", "fg"),
        (ToolChoice("any"), "", "required", "fg"),
        (ToolChoice("none"), "", "none", "fg"),
        (ToolChoice("one", ("g",)), "", {"type": "function", "function": {"name": "g"}}, "fg"),
        (ToolChoice("any", ("g",)), "", "required", "g"),
        (
            ToolChoice("auto", ("g",)),
            "openai",
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
            },
            "fg",
        ),
    ],
)
def test_tool_choice(choice: ToolChoice, preset: str, written: Any, offered: str) -> None:
    body, _, _ = built(talk(tools=[Tool("f"), Tool("g")], tool_choice=choice), preset)
    assert body["tool_choice"] == written
    assert "".join(tool["function"]["name"] for tool in body["tools"]) == offered
    assert "tool_choice" not in built(talk(tool_choice=choice), preset)[0]


def test_a_hosted_tool_is_refused_by_name_but_for_the_search_that_codex_always_names() -> None:
    with pytest.raises(CannotCarry, match="web_fetch") as caught:
        built(talk(tools=[HostedTool("anthropic", "web_fetch", {"type": "web_fetch_20250910"})]))
    assert caught.value.field == "tools[0]"
    assert built(talk(tools=[HostedTool("responses", "web_search", {"type": "web_search"})]))[1].paths == [
        "$.tools[0]"
    ]
