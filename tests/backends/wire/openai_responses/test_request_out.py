"""Requests to a backend that speaks Responses."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.conversation import (
    Block,
    CannotCarry,
    Conversation,
    Foreign,
    HostedTool,
    Lost,
    Media,
    OutputFormat,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from backends.wire.openai_responses import build_request, parse_request
from backends.wire.target import Target, ToolName
from tests.backends.wire.official import check_request

OPENAI = Target("gpt-5.2", "openai")
PLAIN = Target("some-model")
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def build(talk: Conversation, target: Target = OPENAI) -> tuple[dict[str, Any], list[str]]:
    before = deepcopy(talk)
    lost = Lost()
    body = check_request("openai_responses", build_request(talk, target, lost).body)
    assert talk == before
    return body, lost.paths


def talk(*turns: Turn, **fields: Any) -> Conversation:
    return Conversation("asked", list(turns) or [Turn("user", [Text("x")])], **fields)


def user(*blocks: Block) -> Turn:
    return Turn("user", list(blocks))


def assistant(*blocks: Block) -> Turn:
    return Turn("assistant", list(blocks))


def test_the_least_request() -> None:
    body, lost = build(talk())
    assert body == {
        "model": "gpt-5.2",
        "input": [{"type": "message", "role": "user", "content": "x"}],
        "store": False,
    }
    assert lost == []


def test_system_texts_are_instructions_and_later_ones_stay_in_place() -> None:
    body, _ = build(talk(user(Text("a")), Turn("system", [Text("c")]), system=[Text("s"), Text("t")]))
    assert body["instructions"] == "s\n\nt"
    assert [item["role"] for item in body["input"]] == ["user", "developer"]
    assert build(talk(Turn("system", [Text("c")])), PLAIN)[0]["input"][0]["role"] == "system"


def test_a_tool_loop_in_order() -> None:
    body, lost = build(
        talk(
            user(Text("a")),
            assistant(Text("b"), ToolCall("1", "f", '{"x": 1.0}'), ToolCall("2", "f", "")),
            user(ToolResult("2", [Text("two")]), ToolResult("1", [], is_error=True), Text("go on")),
        )
    )
    assert body["input"][1:] == [
        {"type": "message", "role": "assistant", "content": "b"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"x": 1.0}'},
        {"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "2", "output": "two"},
        {"type": "function_call_output", "call_id": "1", "output": "Error"},
        {"type": "message", "role": "user", "content": "go on"},
    ]
    assert lost == []


def test_calls_without_answer_and_answers_without_call_are_mended() -> None:
    body, lost = build(
        talk(
            assistant(ToolCall("1", "f", "{}")),
            user(Text("never mind"), ToolResult("9", [Text("?")])),
        )
    )
    assert [item["type"] for item in body["input"]] == ["function_call", "function_call_output", "message"]
    assert body["input"][1]["call_id"] == "1"
    assert lost == ["$.messages[1].content[1]"]


def test_foreign_ids_and_long_names_are_mapped_together() -> None:
    name = "mcp__server__" + "x" * 90
    talked = talk(
        assistant(ToolCall("functions.f:0", name, "{}")),
        user(ToolResult("functions.f:0", [Text("ok")])),
        tools=[Tool(name, schema=SCHEMA)],
        tool_choice=ToolChoice("one", (name,)),
    )
    built = build_request(talked, OPENAI, Lost())
    body = json.loads(built.body)
    sent = body["tools"][0]["name"]
    assert len(sent) <= 64
    assert body["input"][0]["name"] == body["tool_choice"]["name"] == sent
    assert body["input"][0]["call_id"] == body["input"][1]["call_id"]
    assert built.names.client(sent) == ToolName(name)


def test_images_in_a_tool_result_are_carried() -> None:
    result = ToolResult("1", [Text("see"), Media("image", "image/png", data="AAAA")], is_error=True)
    body, _ = build(talk(assistant(ToolCall("1", "f", "{}")), user(result)))
    assert body["input"][1]["output"] == [
        {"type": "input_text", "text": "Error: see"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AAAA"},
    ]


def test_files() -> None:
    media = [
        Media("document", "application/pdf", data="AAAA", name="a.pdf"),
        Media("document", url="https://x/a.pdf"),
        Media("document", "text/plain", text="plain", name="n.txt"),
        Media("image", file_id="file-1", detail="low"),
    ]
    body, _ = build(talk(user(*media)))
    assert body["input"][0]["content"] == [
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "input_file", "file_url": "https://x/a.pdf"},
        {"type": "input_text", "text": "n.txt\n\nplain"},
        {"type": "input_image", "detail": "low", "file_id": "file-1"},
    ]


@pytest.mark.parametrize("media", [Media("audio", data="AA"), Media("image", file_id="file_01ABC")])
def test_media_that_cannot_go_along_is_refused_by_its_place(media: Media) -> None:
    with pytest.raises(CannotCarry) as caught:
        build(talk(user(Text("a"), media)))
    assert caught.value.field == "$.messages[0].content[1]"


def test_only_its_own_reasoning_goes_back() -> None:
    own = Thinking("t", "responses", encrypted="gAAA", id="rs_1")
    body, lost = build(talk(assistant(Thinking("x", "anthropic", signature="s"), own, Text("y"))))
    assert body["input"][0] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "t"}],
        "encrypted_content": "gAAA",
    }
    assert body["include"] == ["reasoning.encrypted_content"]
    assert lost == ["$.messages[0].content[0]"]


def test_a_refusal_stays_one_and_blocks_of_others_are_lost() -> None:
    body, lost = build(talk(assistant(Refusal("no"), Foreign("anthropic", "server_tool_use", {}))))
    assert body["input"][0]["content"] == [{"type": "refusal", "refusal": "no"}]
    assert lost == ["$.messages[0].content[1]"]


def test_tools() -> None:
    grammar = {"syntax": "lark", "definition": "x"}
    body, lost = build(
        talk(
            tools=[
                Tool("f", "does", SCHEMA, strict=True),
                Tool("g", None, {"type": "object"}, strict=True),
                Tool("h"),
                Tool("c", is_custom=True, grammar=grammar),
                Tool("n", schema=SCHEMA, namespace="ns"),
            ],
            tool_choice=ToolChoice("auto", ("f", "c")),
            parallel_tools=False,
        )
    )
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "does", "parameters": SCHEMA, "strict": True},
        {"type": "function", "name": "g", "parameters": empty, "strict": False},
        {"type": "function", "name": "h", "parameters": empty, "strict": False},
        {"type": "custom", "name": "c", "format": {"type": "grammar", **grammar}},
        {"type": "function", "name": "ns__n", "parameters": SCHEMA, "strict": False},
    ]
    assert body["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
    }
    assert body["parallel_tool_calls"] is False
    assert lost == ["$.tools[1].strict"]


def test_a_custom_tool_is_a_function_where_the_server_knows_no_other() -> None:
    talked = talk(
        assistant(ToolCall("1", "c", "*** ü", is_custom=True)),
        user(ToolResult("1", [Text("ok")], is_custom=True)),
        tools=[Tool("c", is_custom=True)],
    )
    built = build_request(talked, PLAIN, Lost())
    body = json.loads(built.body)
    assert body["tools"][0]["type"] == "function"
    assert json.loads(body["input"][0]["arguments"]) == {"input": "*** ü"}
    assert body["input"][1]["type"] == "function_call_output"
    assert built.names.client("c").is_custom


def test_a_tool_of_another_provider_is_refused_by_name() -> None:
    search = HostedTool("anthropic", "web_search", {"type": "web_search_20260318", "name": "web_search"})
    with pytest.raises(CannotCarry, match="web_search") as caught:
        build(talk(tools=[Tool("f"), search]))
    assert caught.value.field == "tools[1]"


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("none"), "none"),
        (ToolChoice("auto"), "auto"),
        (ToolChoice("any"), "required"),
        (ToolChoice("one", ("f",)), {"type": "function", "name": "f"}),
    ],
)
def test_tool_choice(choice: ToolChoice, written: Any) -> None:
    assert build(talk(tools=[Tool("f")], tool_choice=choice))[0]["tool_choice"] == written
    assert "tool_choice" not in build(talk(tool_choice=choice))[0]


@pytest.mark.parametrize(
    ("reasoning", "written"),
    [
        (Reasoning(), None),
        (Reasoning(effort="high"), {"effort": "high"}),
        (Reasoning(effort="max"), {"effort": "xhigh"}),
        (Reasoning(mode="adaptive"), {"summary": "auto"}),
        (Reasoning(mode="adaptive", effort="low", summary="omitted"), {"effort": "low"}),
        (Reasoning(mode="on", budget=5000), {"effort": "high", "summary": "auto"}),
        (Reasoning(mode="off"), {"effort": "none"}),
        (Reasoning(effort="low", summary="detailed"), {"effort": "low", "summary": "detailed"}),
    ],
)
def test_reasoning(reasoning: Reasoning, written: Any) -> None:
    body, lost = build(talk(reasoning=reasoning))
    assert body.get("reasoning") == written
    assert ("include" in body) == (written is not None)
    assert lost == []


def test_a_model_that_does_not_think_gets_no_reasoning() -> None:
    body, lost = build(talk(reasoning=Reasoning("on", "high")), Target("gpt-4.1", "openai"))
    assert "reasoning" not in body
    assert lost == ["$.reasoning"]


def test_settings_that_exist_here_and_those_that_do_not() -> None:
    talked = talk(
        max_tokens=8,
        stop=["x"],
        sampling=Sampling(0.5, 0.9, 5, 6, 0.1, 0.2),
        output=OutputFormat("schema", SCHEMA, strict=True),
        verbosity="low",
        user="u" * 100,
        session="s",
        service_tier="standard_only",
        extras={"$": {"anything": 1}, "$.metadata.x": 1},
    )
    body, lost = build(talked, Target("gpt-4.1", "openai"))
    assert body["max_output_tokens"] == 16
    assert (body["temperature"], body["top_p"]) == (0.5, 0.9)
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "output", "schema": SCHEMA, "strict": True},
        "verbosity": "low",
    }
    assert len(body["safety_identifier"]) == 64
    assert body["prompt_cache_key"] == "s"
    assert lost == [
        "$.max_tokens",
        "$.stop",
        "$.top_k",
        "$.seed",
        "$.frequency_penalty",
        "$.presence_penalty",
        "$.service_tier",
        "$.metadata.x",
    ]
    thinking, lost = build(talk(sampling=Sampling(0.5)))
    assert "temperature" not in thinking
    assert lost == ["$.temperature"]


def test_several_answers_are_refused() -> None:
    with pytest.raises(CannotCarry) as caught:
        build(talk(extras={"$.n": 2}))
    assert caught.value.field == "n"


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ids = st.text("abcdefghij0123456789_-", min_size=1, max_size=20)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """The common subset: what both this protocol and the neutral form say in the same words."""
    turns: list[Turn] = [user(Text(draw(words)))]
    for number in range(draw(st.integers(0, 3))):
        calls: list[Block] = [
            ToolCall(f"c{number}{at}", draw(ids), draw(words)) for at in range(draw(st.integers(0, 2)))
        ]
        if draw(st.booleans()):
            own = Thinking(draw(words), "responses", encrypted=draw(ids), id=draw(ids), is_summary=True)
            calls.insert(0, own)
        turns.append(assistant(*calls, Text(draw(words))))
        results: list[Block] = [
            ToolResult(block.id, [Text(draw(words))]) for block in calls if isinstance(block, ToolCall)
        ]
        turns.append(user(*results, Text(draw(words)), Media("image", url="https://x/y")))
    made = Conversation(
        "gpt-5.2", turns, [Text(draw(words))], tools=[Tool("f", draw(words), SCHEMA, strict=True)]
    )
    made.max_tokens = draw(st.integers(16, 10**6))
    made.tool_choice = draw(
        st.sampled_from([ToolChoice("auto"), ToolChoice("one", ("f",)), ToolChoice("any")])
    )
    made.reasoning = Reasoning(effort=draw(st.sampled_from(["low", "high", None])), summary="auto")
    made.output = OutputFormat("schema", SCHEMA, draw(ids), draw(words), strict=True)
    made.store, made.stream = False, draw(st.booleans())
    return made


@given(conversations())
def test_what_is_built_is_parsed_back(talked: Conversation) -> None:
    lost = Lost()
    parsed = parse_request(build_request(talked, OPENAI, lost).body)
    assert lost.paths == []
    parsed.extras, parsed.include_usage = {}, False
    for turn in parsed.turns:
        for block in turn.blocks:
            if isinstance(block, Media):
                block.detail = None
    assert parsed == talked
