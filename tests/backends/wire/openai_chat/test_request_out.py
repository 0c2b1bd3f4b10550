"""A conversation as the body for OpenAI and for servers that imitate it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from backends.wire.conversation import (
    Cache,
    CannotCarry,
    Conversation,
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
    ToolResult,
    Turn,
)
from backends.wire.openai_chat import build_request
from backends.wire.target import Target
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


def messages(*turns: Turn, preset: str = "", model: str = "x", **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = built(talk(*turns, **fields), preset, model)[0]["messages"]
    return found


def lost(preset: str = "", model: str = "x", *turns: Turn, **fields: Any) -> list[str]:
    return built(talk(*turns, **fields), preset, model)[1].paths


def test_the_smallest_request_holds_nothing_that_was_not_asked_for() -> None:
    body, gone, _ = built(talk())
    assert body == {"model": "x", "messages": [{"role": "user", "content": "hi"}]}
    assert gone.paths == []


def test_system_text_is_one_message_and_a_developer_message_only_for_openai_reasoners() -> None:
    system = [Text("x-anthropic-billing-header: v=1;"), Text("a"), Text("b")]
    for preset, model, role in (
        ("", "gpt-5", "system"),
        ("openai", "gpt-5.2", "developer"),
        ("openai", "gpt-4o", "system"),
    ):
        assert messages(preset=preset, model=model, system=system)[0] == {"role": role, "content": "a\nb"}
    assert lost(system=system) == ["$.system[0]"]


def test_late_system_turns_stay_in_place_or_become_user_text() -> None:
    turns = Turn("user", [Text("hi")]), Turn("system", [Text("note")])
    assert messages(*turns)[1] == {"role": "system", "content": "note"}
    assert messages(*turns, preset="vllm") == [
        {"role": "user", "content": "hi\n<system-reminder>\nnote\n</system-reminder>"}
    ]


def test_results_stand_behind_their_calls_in_the_order_of_the_calls() -> None:
    made = messages(
        Turn("assistant", [Text("t"), ToolCall("a", "f", '{"x": 1.0}'), ToolCall("b", "g", "")]),
        Turn("system", [Text("note")]),
        Turn(
            "user", [ToolResult("b", [Text("rb")]), ToolResult("a", [Text("ra")], is_error=True), Text("go")]
        ),
    )
    assert made == [
        {
            "role": "assistant",
            "content": "t",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.0}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Error: ra"},
        {"role": "tool", "tool_call_id": "b", "content": "rb"},
        {"role": "system", "content": "note"},
        {"role": "user", "content": "go"},
    ]


def test_an_unanswered_call_gets_a_result_and_an_orphan_is_lost() -> None:
    turns = Turn("assistant", [ToolCall("a", "f", "{}")]), Turn("user", [ToolResult("z", [Text("r")])])
    made = messages(*turns)
    assert [message["role"] for message in made] == ["assistant", "tool"]
    assert made[1]["tool_call_id"] == "a"
    assert "No result" in made[1]["content"]
    assert lost("", "x", *turns) == ["$.messages[1].content[0]"]
    assert messages(turns[0])[1]["content"] == made[1]["content"]


def test_the_last_of_two_results_counts_and_calls_that_share_an_id_share_their_results() -> None:
    two = Turn("user", [ToolResult("a", [Text("1")]), ToolResult("a", [Text("2")])])
    once = messages(Turn("assistant", [ToolCall("a", "f", "{}")]), two)
    twice = messages(Turn("assistant", [ToolCall("a", "f", "{}"), ToolCall("a", "g", "{}")]), two)
    assert [message["content"] for message in once[1:]] == ["2"]
    assert [message["content"] for message in twice[1:]] == ["1", "2"]


def test_images_of_results_come_in_one_user_message_after_all_of_them() -> None:
    results = [ToolResult("a", [IMAGE]), ToolResult("b", [Text("x"), IMAGE])]
    calls = Turn("assistant", [ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")])
    made = messages(calls, Turn("user", results))
    assert [message.get("content") for message in made[1:]] == ["[image]", "x\n[image]", [PNG, PNG]]
    said = messages(calls, Turn("user", [*results, Text("look")]))[3:]
    assert said == [{"role": "user", "content": [PNG, PNG, {"type": "text", "text": "look"}]}]


def test_assistant_turns_in_a_row_are_one_message() -> None:
    made = messages(
        Turn("assistant", [Text("a"), ToolCall("c1", "f", "{}")]),
        Turn("assistant", [ToolCall("c2", "f", "{}")]),
        Turn("user", [ToolResult("c1", []), ToolResult("c2", [])]),
    )
    assert [message["role"] for message in made] == ["assistant", "tool", "tool"]


@pytest.mark.parametrize(
    ("preset", "field"),
    [("deepseek", "reasoning_content"), ("vllm", "reasoning"), ("llamacpp", "reasoning_content")],
)
def test_thinking_goes_back_in_the_field_of_the_target(preset: str, field: str) -> None:
    turn = Turn("assistant", [Thinking("hm", "anthropic", signature="s"), ToolCall("a", "f", "{}")])
    assert messages(turn, preset=preset, tools=[Tool("f")])[0][field] == "hm"


def test_thinking_is_lost_where_nobody_reads_it() -> None:
    turns = Turn("assistant", [Thinking("hm"), Text("a")]), Turn("assistant", [Thinking(encrypted="zz")])
    assert lost("openai", "gpt-5", *turns) == ["$.messages[0].content[0]", "$.messages[1].content[0]"]
    assert lost("vllm", "x", *turns) == ["$.messages[1].content[0]"]  # redacted data is never text
    assert messages(Turn("user", [Text("q")]), Turn("assistant", [Thinking("hm")])) == [
        {"role": "user", "content": "q"}
    ]


def test_deepseek_wants_reasoning_on_each_answer_once_there_are_tools() -> None:
    turn = Turn("assistant", [Text("a")])
    assert messages(turn, preset="deepseek", tools=[Tool("f")])[0]["reasoning_content"] == ""
    assert "reasoning_content" not in messages(turn, preset="deepseek")[0]


def test_openrouter_gets_foreign_thinking_without_its_signature() -> None:
    turn = Turn("assistant", [Thinking("hm", "anthropic", signature="s"), Text("a")])
    details = [{"type": "reasoning.text", "text": "hm"}]
    assert messages(turn, preset="openrouter")[0]["reasoning_details"] == details


def test_openrouter_gets_its_own_details_back_as_they_were() -> None:
    details = [{"type": "reasoning.encrypted", "data": "zz", "id": "1", "format": "f", "index": 0}]
    turn = Turn("assistant", [Thinking("hm", "chat", encrypted=json.dumps(details)), Text("a")])
    assert messages(turn, preset="openrouter")[0] == {
        "role": "assistant",
        "content": "a",
        "reasoning_details": details,
    }


def test_parts_are_strings_wherever_a_string_will_do() -> None:
    two = Turn("user", [Text("a"), Text("b")], "bob")
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert messages(two) == [{"role": "user", "content": "a\nb", "name": "bob"}]
    assert messages(two, preset="openai") == [{"role": "user", "content": parts, "name": "bob"}]
    assert "name" not in messages(two, preset="mistral")[0]


def test_cache_breakpoints_stay_where_the_target_takes_them() -> None:
    turn = Turn("user", [Text("a", Cache("1h"))])
    assert messages(turn, preset="openrouter")[0]["content"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    assert messages(turn)[0]["content"] == "a"
    assert lost("", "x", turn) == ["$.cache_control"]


def test_documents_are_files_text_or_refused() -> None:
    pdf = Turn("user", [Media("document", "application/pdf", "CCCC", name="a.pdf")])
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,CCCC"}}
    assert messages(pdf, preset="openai")[0]["content"] == [file]
    with pytest.raises(CannotCarry) as caught:
        messages(pdf)
    assert caught.value.field == "messages[0].content[0]"
    plain = Turn("user", [Media("document", "text/plain", text="body", name="t")])
    assert messages(plain)[0]["content"] == "t\nbody"
    in_result = messages(
        Turn("assistant", [ToolCall("a", "f", "{}")]), Turn("user", [ToolResult("a", [*pdf.blocks])])
    )  # type: ignore[list-item]
    assert in_result[1]["content"] == "[document]"


def test_a_refusal_has_its_field_at_openai_only() -> None:
    turn = Turn("assistant", [Refusal("no")])
    assert messages(turn, preset="openai") == [{"role": "assistant", "content": None, "refusal": "no"}]
    assert messages(turn) == [{"role": "assistant", "content": "no"}]


def test_parallel_calls_can_be_forbidden() -> None:
    fields: dict[str, Any] = {"tools": [Tool("f")], "parallel_tools": False}
    assert built(talk(**fields))[0]["parallel_tool_calls"] is False
    assert lost("openai", "o3", **fields) == ["$.parallel_tool_calls"]


@pytest.mark.parametrize(
    ("reasoning", "preset", "model", "written"),
    [
        (Reasoning("on", "max"), "", "x", {"reasoning_effort": "high"}),
        (Reasoning("adaptive", "xhigh"), "openai", "gpt-5.2", {"reasoning_effort": "xhigh"}),
        (Reasoning("on", None, 3000), "", "x", {"reasoning_effort": "medium"}),
        (Reasoning("on", None, 100), "openai", "gpt-5", {"reasoning_effort": "minimal"}),
        (Reasoning("adaptive"), "", "x", {}),
        (Reasoning("off"), "openai", "gpt-5.1", {"reasoning_effort": "none"}),
        (Reasoning("off"), "", "x", {}),
        (Reasoning("on", "high"), "openai", "gpt-4o", {}),
        (
            Reasoning("on", "medium"),
            "deepseek",
            "x",
            {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        ),
        (Reasoning("off"), "deepseek", "x", {"thinking": {"type": "disabled"}}),
        (Reasoning("on", None, 3000), "openrouter", "x", {"reasoning": {"max_tokens": 3000}}),
        (Reasoning("off"), "openrouter", "x", {"reasoning": {"enabled": False}}),
    ],
)
def test_reasoning(reasoning: Reasoning, preset: str, model: str, written: dict[str, Any]) -> None:
    body, _, _ = built(talk(reasoning=reasoning), preset, model)
    assert {key: body[key] for key in ("reasoning_effort", "reasoning", "thinking") if key in body} == written


def test_limits_stops_and_sampling_as_the_target_takes_them() -> None:
    fields: dict[str, Any] = {
        "max_tokens": 5000,
        "stop": ["a", "b", "c", "d", "e"],
        "sampling": Sampling(temperature=0.5, top_k=3, seed=4),
    }
    body, gone, _ = built(talk(**fields), max_output=4096)
    assert (body["max_tokens"], body["stop"], body["temperature"]) == (4096, ["a", "b", "c", "d"], 0.5)
    assert gone.paths == ["$.max_tokens", "$.top_k", "$.stop[4]"]
    body, gone, _ = built(talk(**fields), "openai", "gpt-5")
    assert body["max_completion_tokens"] == 5000
    assert body.keys() & {"max_tokens", "stop", "temperature"} == set()
    assert gone.paths == ["$.temperature", "$.top_k", "$.stop"]
    assert built(talk(**fields), "vllm")[0]["top_k"] == 3
    assert built(talk(**fields), "mistral")[0]["random_seed"] == 4


def test_structured_output() -> None:
    wanted = OutputFormat("schema", CLOSED)
    inner = {"name": "output", "schema": CLOSED, "strict": True}
    assert built(talk(output=wanted))[0]["response_format"] == {"type": "json_schema", "json_schema": inner}
    loose = OutputFormat("schema", {"type": "object", "properties": {"a": {}}}, "my name")
    body, gone, _ = built(talk(output=loose), "openai")
    assert body["response_format"]["json_schema"]["strict"] is False
    assert gone.paths == ["$.response_format.json_schema.strict"]
    body, gone, _ = built(talk(output=wanted), "deepseek")
    assert body["response_format"] == {"type": "json_object"}
    assert '"additionalProperties":false' in body["messages"][0]["content"]
    assert gone.paths == ["$.response_format"]


def test_user_and_session_are_opaque_ids_within_the_limits() -> None:
    body, _, _ = built(talk(user="u" * 150, session="s"), "openai")
    assert len(body["safety_identifier"]) == 64
    assert body["prompt_cache_key"] == "s"
    assert built(talk(user="bob"))[0]["user"] == "bob"
    assert lost("mistral", user="bob") == ["$.user"]


def test_usage_is_always_asked_for_in_a_stream_unless_it_comes_anyway() -> None:
    assert built(talk(stream=True))[0]["stream_options"] == {"include_usage": True}
    body = built(talk(stream=True), "mistral")[0]
    assert body["stream"] is True
    assert "stream_options" not in body


def test_extras_of_other_protocols_are_lost_and_of_chat_are_kept() -> None:
    body, gone, _ = built(talk(extras={"$.n": 2, "$.context_management": {}, "$.top_logprobs": 3}))
    assert body["n"] == 2
    assert gone.paths == ["$.context_management", "$.top_logprobs"]


def test_ids_are_made_fit_for_the_target_on_both_sides() -> None:
    turns = (
        Turn("assistant", [ToolCall("functions.f:0", "f", "{}")]),
        Turn("user", [ToolResult("functions.f:0", [Text("r")]), Text("go")]),
    )
    made = messages(*turns, preset="mistral")
    assert made[0]["tool_calls"][0]["id"] == made[1]["tool_call_id"]
    assert len(made[1]["tool_call_id"]) == 9
    assert made[1]["content"] == "r\n\ngo"  # no user may speak behind a tool there


def test_arguments_that_are_no_json_do_not_poison_the_history() -> None:
    made = messages(Turn("assistant", [ToolCall("a", "f", '{"x": ')]))
    assert json.loads(made[0]["tool_calls"][0]["function"]["arguments"]) == {"input": '{"x": '}


def test_gemini_needs_a_thought_signature_on_each_call() -> None:
    own = {"google": {"thought_signature": "abc"}}
    calls = [ToolCall("a", "f", "{}", extra={"extra_content": own}), ToolCall("b", "f", "{}")]
    made = messages(Turn("assistant", [*calls]), preset="gemini", model="gemini-3-pro")[0]["tool_calls"]
    assert made[0]["extra_content"] == own
    assert "thought_signature" in made[1]["extra_content"]["google"]


def test_the_conversation_is_not_changed() -> None:
    given = talk(
        Turn("user", [Text("a"), IMAGE]),
        Turn("assistant", [ToolCall("a", "f", "{}")]),
        Turn("system", [Text("n")]),
        tools=[Tool("f", None, {"$schema": "x", "type": "object"})],
        output=OutputFormat("schema", CLOSED),
    )
    before = copy.deepcopy(given)
    for preset in ("", "openai", "gemini", "vllm", "deepseek", "mistral"):
        build_request(given, Target("x", preset), Lost())
    assert given == before
