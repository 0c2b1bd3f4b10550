"""A chat client's request in the neutral form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.wire.conversation import (
    HostedTool,
    Media,
    OutputFormat,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from backends.wire.openai_chat import parse_request
from backends.wire.splice import BadBody
from tests.backends.wire.openai_chat.build import ask, call


def user(*parts: Any) -> Any:
    return ask({"role": "user", "content": list(parts)}).turns[0].blocks


def test_leading_system_and_developer_texts_are_the_system_prompt() -> None:
    talk = ask(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        {"role": "user", "content": "hi", "name": "bob"},
        {"role": "system", "content": "later"},
    )
    assert talk.system == [Text("a"), Text("b")]
    assert talk.turns == [Turn("user", [Text("hi")], "bob"), Turn("system", [Text("later")])]


def test_content_parts_become_blocks_in_their_order() -> None:
    assert user(
        {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA", "detail": "low"}},
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "aGk=", "filename": "a.txt"}},
    ) == [
        Media("image", "image/jpeg", "AAAA", detail="low"),
        Text("what?"),
        Media("image", url="https://x/y.png"),
        Media("audio", "audio/mp3", "BBBB"),
        Media("document", "application/pdf", "CCCC", name="a.pdf"),
        Media("document", "text/plain", text="hi", name="a.txt"),
    ]


def test_parts_and_tools_of_the_responses_api_are_understood_too() -> None:
    assert user({"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "https://x"}) == [
        Text("x"),
        Media("image", url="https://x"),
    ]
    assert ask(tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}]).tools == [
        Tool("f", None, {"type": "object"})
    ]


def test_an_assistant_message_keeps_reasoning_text_refusal_and_calls() -> None:
    talk = ask(
        {
            "role": "assistant",
            "content": "yes",
            "reasoning_content": "hm",
            "refusal": "no",
            "tool_calls": [
                call("c1", "f", '{"a": 1.0}'),
                {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "r2"}]},
        {"role": "user", "content": "go on"},
    )
    assert talk.turns == [
        Turn(
            "assistant",
            [
                Thinking("hm", "chat"),
                Text("yes"),
                Refusal("no"),
                ToolCall("c1", "f", '{"a": 1.0}'),
                ToolCall("c2", "sh", "ls", is_custom=True),
            ],
        ),
        Turn("user", [ToolResult("c1", [Text("r1")]), ToolResult("c2", [Text("r2")], is_custom=True)]),
        Turn("user", [Text("go on")]),
    ]


def test_content_null_beside_calls_makes_no_text() -> None:
    for content in (None, ""):
        turns = ask({"role": "assistant", "content": content, "tool_calls": [call("c")]}).turns
        assert turns == [Turn("assistant", [ToolCall("c", "f", "{}")])]


def test_legacy_functions_pair_calls_and_results_by_name() -> None:
    talk = ask(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    made, result = talk.turns[0].blocks[0], talk.turns[1].blocks[0]
    assert isinstance(made, ToolCall)
    assert isinstance(result, ToolResult)
    assert made.id == result.call_id
    assert talk.tools == [Tool("f", None, {"type": "object"})]
    assert talk.tool_choice == ToolChoice("one", ("f",))
    assert talk.legacy_functions
    assert talk.parallel_tools is False


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("none", ToolChoice("none")),
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("any")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("one", ("f",))),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("one", ("f",))),
        ({"type": "function", "name": "f"}, ToolChoice("one", ("f",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            ToolChoice("any", ("f",)),
        ),
        (None, None),
    ],
)
def test_tool_choice(given: Any, meant: ToolChoice | None) -> None:
    assert ask(tool_choice=given).tool_choice == meant


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        ({"reasoning_effort": "high"}, Reasoning("on", "high")),
        ({"reasoning_effort": "none"}, Reasoning("off", "none")),
        ({"reasoning_effort": None}, Reasoning()),
        ({"reasoning": {"max_tokens": 2000}}, Reasoning("on", None, 2000)),
        ({"thinking": {"type": "disabled"}}, Reasoning("off", "none")),
    ],
)
def test_reasoning(fields: dict[str, Any], meant: Reasoning) -> None:
    assert ask(**fields).reasoning == meant


def test_the_newer_of_two_names_wins() -> None:
    talk = ask(
        max_tokens=5, max_completion_tokens=7, user="old", safety_identifier="new", prompt_cache_key="s"
    )
    assert (talk.max_tokens, talk.user, talk.session) == (7, "new", "s")


def test_custom_hosted_and_search_tools() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
    search = {"type": "web_search"}
    talk = ask(
        tools=[{"type": "custom", "custom": {"name": "c", "format": grammar}}, search], web_search_options={}
    )
    assert talk.tools == [
        Tool("c", is_custom=True, grammar={"type": "grammar", "syntax": "lark", "definition": "x"}),
        HostedTool("chat", "web_search", search),
        HostedTool("chat", "web_search_options", {}),
    ]


def test_response_format_and_stop_in_all_forms() -> None:
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
    }
    assert ask(response_format=schema).output == OutputFormat("schema", {"type": "object"}, "n", strict=True)
    assert ask(response_format={"type": "json_object"}).output == OutputFormat("json")
    assert ask(response_format={"type": "text"}).output is None
    assert [ask(stop=stop).stop for stop in (None, "a", ["a", "b"])] == [[], ["a"], ["a", "b"]]


def test_usage_is_only_shown_in_a_stream_that_asked() -> None:
    options = {"stream_options": {"include_usage": True}}
    assert ask(stream=True, **options).include_usage
    assert not ask(**options).include_usage
    assert not ask(stream=True).include_usage


def test_what_has_no_neutral_meaning_is_kept_by_its_path() -> None:
    talk = ask(n=2, logit_bias={"1": 2}, client_metadata={"a": 1}, seed=None, **{"odd name": 1})
    assert talk.extras == {"$.n": 2, "$.logit_bias": {"1": 2}, "$.client_metadata": {"a": 1}}
    assert ask(n=1).extras == {}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("messages", {"messages": {}}),
        ("messages[0]", {"messages": [1]}),
        ("messages[0].role", {"messages": [{"role": "bot"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
        ("messages[0].content[0].type", {"messages": [{"role": "user", "content": [{}]}]}),
        ("messages[0].tool_call_id", {"messages": [{"role": "tool", "content": ""}]}),
        ("messages[0].tool_calls[0].function", {"messages": [{"role": "assistant", "tool_calls": [{}]}]}),
        ("model", {"model": 1}),
        ("temperature", {"temperature": "hot"}),
        ("max_tokens", {"max_tokens": True}),
        ("stop", {"stop": [1]}),
        ("tools[0].function.name", {"tools": [{"type": "function", "function": {}}]}),
        ("tool_choice", {"tool_choice": "maybe"}),
        ("response_format.type", {"response_format": {"type": "xml"}}),
        ("reasoning_effort", {"reasoning_effort": "much"}),
        ("stream_options.include_usage", {"stream_options": {"include_usage": 1}, "stream": True}),
    ],
)
def test_a_wrong_type_names_its_field(field: str, fields: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [], **fields}
    with pytest.raises(BadBody) as caught:
        parse_request(json.dumps(body).encode())
    assert caught.value.field == field


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 5000, b'{"model":"m"}'])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        parse_request(body)
