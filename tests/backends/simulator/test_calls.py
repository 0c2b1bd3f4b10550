"""Tool calls that a script spells out, and which result counts as the answer to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import anthropic
import openai
import pytest

from backends.simulator.reply import Call
from backends.simulator.script import ScriptError, parse
from tests.servers import SimulatorThread

ARGUMENTS = '{"path": "a b/c,d+e.txt", "lines": ["1", "ü"]}'
WORD = f"call=write:{quote(ARGUMENTS, safe='')}"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
ASK: Any = [{"role": "user", "content": "please"}]
RESULT = "written"


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture
def gpt(upstream: SimulatorThread) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-test", base_url=f"{upstream.url}/v1", max_retries=0) as made:
        yield made


@pytest.fixture
def claude(upstream: SimulatorThread) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="sk-test", base_url=upstream.url, max_retries=0) as made:
        yield made


def chat_tools(*names: str) -> Any:
    return [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in names]


def responses_tools(*names: str) -> Any:
    return [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in names]


def test_chat_calls_carry_the_scripted_input_byte_for_byte(gpt: openai.OpenAI) -> None:
    asked: Any = {"model": f"gpt-4o+{WORD}", "messages": ASK, "tools": chat_tools("read", "write")}
    whole = gpt.chat.completions.create(**asked).choices[0].message.tool_calls
    with gpt.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls
    for calls in (whole, streamed):
        assert calls is not None
        assert [(c.function.name, c.function.arguments) for c in calls if c.type == "function"] == [
            ("write", ARGUMENTS)
        ]


def test_messages_calls_carry_the_scripted_input(claude: anthropic.Anthropic) -> None:
    tools: Any = [{"name": "write", "input_schema": SCHEMA}]
    with claude.messages.stream(
        model=f"claude-opus-4-8+{WORD}", max_tokens=99, messages=ASK, tools=tools
    ) as stream:
        (call,) = stream.get_final_message().content
    assert call.type == "tool_use"
    assert call.input == json.loads(ARGUMENTS)


def test_responses_calls_carry_the_scripted_input_of_function_and_custom_tools(gpt: openai.OpenAI) -> None:
    tools = [*responses_tools("write"), {"type": "custom", "name": "apply_patch"}]
    model = f"gpt-4o+{WORD},call=apply_patch:%2A%2A%2A%20Begin"
    output = gpt.responses.create(model=model, input="please", tools=tools).output
    assert [item.type for item in output] == ["function_call", "custom_tool_call"]
    assert output[0].arguments == ARGUMENTS  # type: ignore[union-attr]
    assert output[1].input == "*** Begin"  # type: ignore[union-attr]


def test_tools_that_the_request_does_not_offer_are_not_called(gpt: openai.OpenAI) -> None:
    for tools in (chat_tools("read"), openai.omit):
        answer = gpt.chat.completions.create(model=f"gpt-4o+{WORD}", messages=ASK, tools=tools)
        assert answer.choices[0].finish_reason == "stop"


def test_input_that_a_function_cannot_take_is_refused_by_name(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="call=write needs its input as a JSON object"):
        gpt.chat.completions.create(model="gpt-4o+call=write:oops", messages=ASK, tools=chat_tools("write"))
    with pytest.raises(ScriptError, match="name a tool"):
        parse("call=:{}")


def test_a_result_counts_although_something_was_said_after_it(gpt: openai.OpenAI) -> None:
    call: Any = {"id": "c1", "type": "function", "function": {"name": "write", "arguments": "{}"}}
    history: Any = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": RESULT},
        {"role": "system", "content": "Go on."},
    ]
    answer = gpt.chat.completions.create(model=f"gpt-4o+{WORD}", messages=history, tools=chat_tools("write"))
    assert (answer.choices[0].message.content or "").endswith(f"The tool answered: {RESULT}")
    items: Any = [
        {"role": "user", "content": "please"},
        {"type": "function_call", "call_id": "c1", "name": "write", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": RESULT},
        {"role": "developer", "content": "Go on."},
    ]
    response = gpt.responses.create(model=f"gpt-4o+{WORD}", input=items, tools=responses_tools("write"))
    assert response.output_text.endswith(f"The tool answered: {RESULT}")


def test_a_result_from_before_the_last_answer_does_not_count(gpt: openai.OpenAI) -> None:
    history: Any = [
        *ASK,
        {"role": "tool", "tool_call_id": "c1", "content": RESULT},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "again"},
    ]
    answer = gpt.chat.completions.create(model=f"gpt-4o+{WORD}", messages=history, tools=chat_tools("write"))
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_call_streams_in_pieces_that_add_up() -> None:
    call = Call(0, "write", ARGUMENTS)
    assert len(call.fragments) > 3
    assert "".join(call.fragments) == ARGUMENTS
