"""Requests of Messages clients, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.wire.anthropic import parse_request
from backends.wire.conversation import (
    Cache,
    Foreign,
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
)
from backends.wire.splice import BadBody


def parse(content: object = "hi", **fields: Any) -> Any:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}], **fields}
    return parse_request(json.dumps(body).encode())


def test_what_claude_code_sends() -> None:
    identity = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s"})
    talk = parse(
        [
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
        ],
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc;"},
            {"type": "text", "text": "You are"},
        ],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": []},
        metadata={"user_id": identity},
        stream=True,
    )
    assert talk.turns[0].blocks == [Text("a"), Text("b", Cache())]
    assert talk.system == [Text("You are")]
    assert talk.reasoning == Reasoning("adaptive", "high")
    assert (talk.user, talk.session, talk.stream, talk.max_tokens) == ("d", "s", True, 9)
    assert talk.extras.keys() == {"$.system[0]", "$.context_management"}


def test_blocks() -> None:
    body = b"""{"model":"m","max_tokens":1,"messages":[
      {"role":"assistant","content":[
        {"type":"thinking","thinking":"t","signature":"s"},
        {"type":"thinking","thinking":"hm","signature":""},
        {"type":"redacted_thinking","data":"r"},
        {"type":"tool_use","id":"a","name":"f","input":{"x" : 1.0}},
        {"type":"server_tool_use","id":"b","name":"web_search","input":{}}]},
      {"role":"user","content":[
        {"type":"text","text":"after"},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}},
        {"type":"tool_result","tool_use_id":"a","is_error":true,"content":[
          {"type":"text","text":"bad"},{"type":"image","source":{"type":"url","url":"u"}},
          {"type":"tool_reference","tool_name":"g"}]}]},
      {"role":"system","content":"mid"}]}"""
    talk = parse_request(body)
    assert talk.turns[0].blocks == [
        Thinking("t", "anthropic", "s"),
        Thinking("hm"),
        Thinking(origin="anthropic", encrypted="r"),
        ToolCall("a", "f", '{"x" : 1.0}'),
        Foreign(
            "anthropic",
            "server_tool_use",
            {"type": "server_tool_use", "id": "b", "name": "web_search", "input": {}},
        ),
    ]
    result, text, image = talk.turns[1].blocks
    assert isinstance(result, ToolResult)
    assert result.is_error
    assert result.content[:2] == [Text("bad"), Media("image", url="u")]
    assert isinstance(result.content[2], Text)
    assert "tool_reference" in result.content[2].text
    assert (text, image) == (Text("after"), Media("image", "image/png", data="AA"))
    assert talk.turns[2].role == "system"


def test_documents() -> None:
    talk = parse(
        [
            {
                "type": "document",
                "title": "T",
                "source": {"type": "text", "media_type": "text/plain", "data": "abc"},
            },
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JV"}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "in"}]}},
            {
                "type": "search_result",
                "source": "u",
                "title": "t",
                "content": [{"type": "text", "text": "found"}],
            },
        ]
    )
    assert talk.turns[0].blocks == [
        Media("document", "text/plain", text="abc", name="T"),
        Media("document", "application/pdf", data="JV"),
        Media("document", "text/plain", text="in"),
        Text("t\nu\nfound"),
    ]


def test_tools_and_their_choice() -> None:
    hosted = {"type": "web_search_20250305", "name": "web_search"}
    talk = parse(
        tools=[
            {"name": "f", "input_schema": {"type": "object"}, "strict": True, "defer_loading": True},
            hosted,
        ],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    )
    assert talk.tools == [
        Tool("f", schema={"type": "object"}, strict=True),
        HostedTool("anthropic", "web_search", hosted),
    ]
    assert (talk.tool_choice, talk.parallel_tools) == (ToolChoice("one", ("f",)), False)
    assert talk.extras == {"$.tools[0].defer_loading": True}


def test_options() -> None:
    talk = parse(
        temperature=1,
        top_k=4,
        stop_sequences=["x"],
        thinking={"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        service_tier="standard_only",
        metadata={"user_id": "user_abc_account__session_42"},
    )
    assert (talk.sampling.temperature, talk.sampling.top_k, talk.stop) == (1, 4, ["x"])
    assert talk.reasoning == Reasoning("on", budget=2000, summary="omitted")
    assert talk.output == OutputFormat("schema", {"type": "object"}, strict=True)
    assert (talk.user, talk.session, talk.service_tier) == ("abc", "42", "default")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "a", "name": "f", "input": []}],
                    }
                ]
            },
            "messages[0].content[0].input",
        ),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"system": [{"type": "image", "source": {}}]}, "system[0]"),
        ({"thinking": {"type": 1}}, "thinking.type"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], field: str) -> None:
    with pytest.raises(BadBody) as caught:
        parse(**fields)
    assert caught.value.field == field
    assert field in caught.value.message
