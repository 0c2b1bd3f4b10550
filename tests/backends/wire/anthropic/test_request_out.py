"""Requests for a Messages backend: what is asked for arrives in a form that the API accepts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from backends.wire.anthropic import build_request
from backends.wire.conversation import (
    Cache,
    CannotCarry,
    Conversation,
    HostedTool,
    Lost,
    Media,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    Turn,
)
from backends.wire.target import Target
from tests.backends.wire.anthropic.sdk import checked_request

OLD, MIDDLE, NEW, NEWEST = (
    "claude-3-5-sonnet-20241022",
    "claude-sonnet-4-5",
    "claude-opus-4-6",
    "claude-opus-5-5",
)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(20)).decode()
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def talk(*turns: Turn, model: str = NEW, **fields: Any) -> Conversation:
    return Conversation(model, list(turns) or [Turn("user", [Text("hi")])], **fields)


def build(asked: Conversation, model: str = NEW, **target: Any) -> tuple[dict[str, Any], list[str]]:
    lost = Lost()
    built = build_request(asked, Target(model, **target), lost)
    assert built.headers == ((b"anthropic-version", b"2023-06-01"),)
    return checked_request(built.body), lost.paths


def test_the_least_request() -> None:
    body, lost = build(talk())
    assert body == {
        "model": NEW,
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }
    assert lost == []


def test_max_tokens_comes_from_the_client_then_from_the_target() -> None:
    assert build(talk(max_tokens=5))[0]["max_tokens"] == 5
    assert build(talk(), max_output=777)[0]["max_tokens"] == 777


@pytest.mark.parametrize(
    ("model", "thinking", "config"),
    [
        (NEW, {"type": "adaptive", "display": "summarized"}, {"effort": "medium"}),
        ("kimi-k2", {"type": "adaptive", "display": "summarized"}, {"effort": "medium"}),
        (MIDDLE, {"type": "enabled", "budget_tokens": 2048}, None),
        ("claude-3-7-sonnet-latest", {"type": "enabled", "budget_tokens": 2048}, None),
        (OLD, None, None),
    ],
)
def test_effort_becomes_what_the_model_knows(model: str, thinking: object, config: object) -> None:
    body, lost = build(talk(reasoning=Reasoning(effort="medium")), model)
    assert body.get("thinking") == thinking
    assert body.get("output_config") == config
    assert lost == ([] if thinking else ["$.reasoning_effort"])
    assert body["max_tokens"] > (body.get("thinking") or {}).get("budget_tokens", 0)


@pytest.mark.parametrize(("given", "budget"), [(1024, None), (1025, 1024), (3000, 1976), (20000, 4096)])
def test_a_budget_stays_below_the_clients_limit(given: int, budget: int | None) -> None:
    body, lost = build(talk(max_tokens=given, reasoning=Reasoning(effort="high")), MIDDLE)
    assert body["max_tokens"] == given
    assert body.get("thinking", {}).get("budget_tokens") == budget
    assert bool(lost) is (budget is None)


def test_a_budget_becomes_an_effort_for_a_new_model() -> None:
    body, _ = build(talk(reasoning=Reasoning("on", budget=5000)))
    assert body["thinking"]["type"] == "adaptive"
    assert body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(("model", "kept"), [(NEW, True), (NEWEST, False)])
def test_thinking_is_switched_off_where_that_is_possible(model: str, kept: bool) -> None:
    body, lost = build(talk(reasoning=Reasoning(effort="none")), model)
    assert ("thinking" in body) is kept
    assert lost == ([] if kept else ["$.reasoning_effort"])


def test_a_budget_is_dropped_in_a_tool_loop_without_signed_thinking() -> None:
    loop = (
        Turn("user", [Text("go")]),
        Turn("assistant", [Thinking("hm", "chat"), ToolCall("c1", "f", "{}")]),
    )
    asked = talk(*loop, tools=[Tool("f", schema=SCHEMA)], reasoning=Reasoning(effort="low"))
    body, lost = build(asked, MIDDLE)
    assert "thinking" not in body
    assert lost == ["$.messages[1].content[0]", "$.reasoning_effort"]
    assert build(asked, NEW)[0]["thinking"]["type"] == "adaptive"


def test_signed_thinking_goes_back_and_other_thinking_does_not() -> None:
    turn = Turn(
        "assistant",
        [
            Thinking("a", "anthropic", "sig"),
            Thinking("b", "anthropic"),
            Thinking("c", "chat", "forged"),
            Thinking(origin="anthropic", encrypted="xyz"),
            Text("done"),
        ],
    )
    body, lost = build(talk(Turn("user", [Text("q")]), turn, Turn("user", [Text("r")])))
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "done"},
    ]
    assert lost == ["$.messages[1].content[1]", "$.messages[1].content[2]"]


@pytest.mark.parametrize(
    ("model", "kept", "paths"),
    [
        (NEW, {"temperature": 1, "top_k": 4}, ["$.seed", "$.temperature", "$.top_p"]),
        ("claude-opus-4-7", {}, ["$.seed", "$.temperature", "$.top_p", "$.top_k"]),
    ],
)
def test_sampling_is_clamped_or_dropped(model: str, kept: dict[str, object], paths: list[str]) -> None:
    body, lost = build(talk(sampling=Sampling(1.7, 0.5, 4, seed=3)), model)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == kept
    assert lost == paths


def test_sampling_gives_way_to_thinking() -> None:
    body, lost = build(talk(sampling=Sampling(0.2, top_k=3), reasoning=Reasoning(effort="low")), MIDDLE)
    assert "temperature" not in body
    assert lost == ["$.temperature", "$.top_k"]


def test_a_schema_for_the_answer_is_closed_and_its_bounds_are_told() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    body, lost = build(talk(output=OutputFormat("schema", schema)))
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"n": {"type": "integer", "description": '{"minimum":1}'}},
            "required": ["n"],
            "additionalProperties": False,
        },
    }
    assert lost == ["$.response_format"]
    assert "additionalProperties" not in schema


def test_json_mode_and_schemas_for_old_models_are_asked_for_in_words() -> None:
    body, lost = build(talk(system=[Text("Be kind.")], output=OutputFormat("json")))
    assert body["system"][0]["text"] == "Be kind."
    assert "JSON" in body["system"][1]["text"]
    assert lost == ["$.response_format"]
    body, _ = build(talk(output=OutputFormat("schema", SCHEMA)), OLD)
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["system"][0]["text"]


def test_root_unions_of_a_tool_are_merged() -> None:
    schema = {
        "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "k"]}},
        "anyOf": [
            {"$ref": "#/$defs/A"},
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["k"]},
        ],
        "properties": {"k": {"const": 1}},
    }
    body, lost = build(talk(tools=[Tool("f", schema=schema), Tool("g", schema={"allOf": [SCHEMA]})]))
    merged, whole = (tool["input_schema"] for tool in body["tools"])
    assert merged["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "$ref"} & merged.keys()
    assert merged["properties"]["a"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert merged["required"] == ["k"]
    assert whole == SCHEMA
    assert lost == ["$.tools[0].parameters"]


def test_tool_names_are_mapped_and_custom_tools_take_text() -> None:
    tools: list[Tool | HostedTool] = [
        Tool("fn", namespace="ns", schema=SCHEMA),
        Tool("patch", "Edits.", is_custom=True, grammar={"syntax": "lark", "definition": "start: X"}),
        Tool("a.b" * 40),
    ]
    lost = Lost()
    turns = [
        Turn("user", [Text("q")]),
        Turn("assistant", [ToolCall("c", "patch", '*** "x"', is_custom=True)]),
    ]
    built = build_request(talk(*turns, tools=tools), Target(NEW), lost)
    body = checked_request(built.body)
    names = [tool["name"] for tool in body["tools"]]
    assert names[:2] == ["ns__fn", "patch"]
    assert len(names[2]) <= 64
    assert built.names.client("ns__fn").namespace == "ns"
    assert built.names.client("patch").is_custom
    assert built.names.client(names[2]).name == "a.b" * 40
    assert "start: X" in body["tools"][1]["description"]
    assert body["messages"][1]["content"][0]["input"] == {"input": '*** "x"'}
    assert lost.paths == ["$.tools[1].format"]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("any"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("one", ("f",)), None, {"type": "tool", "name": "f"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, expected: object) -> None:
    body, lost = build(talk(tools=[Tool("f", schema=SCHEMA)], tool_choice=choice, parallel_tools=parallel))
    assert body.get("tool_choice") == expected
    assert lost == []


@pytest.mark.parametrize("model", [NEW, NEWEST])
def test_a_forced_choice_gives_way_where_the_model_refuses_it(model: str) -> None:
    effort = "high" if model == NEW else None
    asked = talk(tools=[Tool("f")], tool_choice=ToolChoice("any"), reasoning=Reasoning(effort=effort))
    body, lost = build(asked, model)
    assert body["tool_choice"] == {"type": "auto"}
    assert lost == ["$.tool_choice"]


def test_allowed_tools_filter_the_list() -> None:
    body, _ = build(talk(tools=[Tool("f"), Tool("g")], tool_choice=ToolChoice("any", ("g",))))
    assert [tool["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_choice_of_an_unknown_tool_is_refused() -> None:
    with pytest.raises(CannotCarry, match="`h`"):
        build(talk(tools=[Tool("f")], tool_choice=ToolChoice("one", ("h",))))


def test_hosted_tools_are_native_dropped_or_refused() -> None:
    native = HostedTool("anthropic", "web_search", {"type": "web_search_20250305", "name": "web_search"})
    codex = HostedTool("responses", "web_search", {"type": "web_search", "external_web_access": False})
    body, lost = build(talk(tools=[native, codex]))
    assert body["tools"] == [native.raw]
    assert lost == ["$.tools[1]"]
    with pytest.raises(CannotCarry, match="file_search"):
        build(talk(tools=[HostedTool("responses", "file_search", {"type": "file_search"})]))


def test_calls_of_the_past_get_definitions_that_may_not_be_used() -> None:
    body, _ = build(talk(Turn("user", [Text("q")]), Turn("assistant", [ToolCall("c", "f", '{"a": 1}')])))
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "none"}


def test_four_breakpoints_at_most_and_long_ones_first() -> None:
    turns = [Turn("user", [Text(str(n), Cache("1h" if n > 3 else None)) for n in range(6)])]
    body, lost = build(talk(*turns, system=[Text("s", Cache("1h"))], tools=[Tool("f", cache=Cache())]))
    marks = [body["tools"][0], *body["system"], *body["messages"][0]["content"]]
    assert [block.get("cache_control") for block in marks] == [
        {"type": "ephemeral"}, None, None, None, None,
        {"type": "ephemeral"}, {"type": "ephemeral"}, {"type": "ephemeral"},
    ]  # fmt: skip
    assert lost == ["$.cache_control", "$.cache_control.ttl"]


def test_media_are_what_their_bytes_say() -> None:
    blocks = [
        Media("image", "image/jpg", data=PNG),
        Media("image", "image/jpg", data="AAAA"),
        Media("image", url="https://x/y.png"),
        Media("image", "application/pdf", data=PDF),
        Media("document", "text/plain", data=base64.b64encode("Grüße".encode()).decode(), name="a.txt"),
        Media("image", url=f"data:image/gif;base64,{PNG}"),
    ]
    body, _ = build(talk(Turn("user", list(blocks))))
    sources = [(block["type"], block["source"].get("media_type")) for block in body["messages"][0]["content"]]
    assert sources == [
        ("image", "image/png"), ("image", "image/jpeg"), ("image", None),
        ("document", "application/pdf"), ("document", "text/plain"), ("image", "image/png"),
    ]  # fmt: skip
    text = body["messages"][0]["content"][4]
    assert (text["title"], text["source"]["data"]) == ("a.txt", "Grüße")


@pytest.mark.parametrize(
    "media",
    [
        Media("audio", "audio/wav", data="AAAA"),
        Media("image", "image/svg+xml", data="AAAA"),
        Media("document", "application/msword", data="AAAA"),
        Media("document", file_id="file-openai"),
        Media("image"),
    ],
)
def test_media_that_cannot_be_carried_are_refused_by_place(media: Media) -> None:
    with pytest.raises(CannotCarry) as caught:
        build(talk(Turn("user", [Text("see"), media])))
    assert caught.value.field == "messages[0].content[1]"


@pytest.mark.parametrize(
    ("user", "session", "expected", "paths"),
    [
        ("u1", None, "u1", []),
        ("ann@example.org", None, None, ["$.user"]),
        ("+49 170 1234567", None, None, ["$.user"]),
        (None, "s1", '{"session_id":"s1"}', []),
        ("u1", "s1", '{"user_id":"u1","session_id":"s1"}', []),
    ],
)
def test_user_and_session(
    user: str | None, session: str | None, expected: str | None, paths: list[str]
) -> None:
    body, lost = build(talk(user=user, session=session))
    assert body.get("metadata", {}).get("user_id") == expected
    assert lost == paths


def test_a_long_user_id_is_hashed() -> None:
    body, _ = build(talk(user="x" * 300, session="y" * 300))
    assert len(body["metadata"]["user_id"]) <= 256


def test_the_rest() -> None:
    extras = {"$.logit_bias": {"1": 2}, "$.speed": "standard"}
    asked = talk(stop=["a", " \n"], stream=True, service_tier="default", verbosity="low", extras=extras)
    body, lost = build(asked)
    assert (body["stop_sequences"], body["stream"], body["service_tier"], body["speed"]) == (
        ["a"], True, "standard_only", "standard",
    )  # fmt: skip
    assert lost == ["$.stop[1]", "$.verbosity", "$.logit_bias"]
    with pytest.raises(CannotCarry, match="`n`"):
        build(talk(extras={"$.n": 2}))
