"""The official OpenAI SDK against the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from tests.servers import SimulatorThread

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True},
}
FLAT_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
CUSTOM_TOOL: Any = {"type": "custom", "name": "apply_patch", "description": "Patch files"}


class Person(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str]


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture
def client(upstream: SimulatorThread) -> Iterator[openai.OpenAI]:
    upstream.reset()
    with openai.OpenAI(api_key="sk-test", base_url=f"{upstream.url}/v1", max_retries=0) as made:
        yield made


def ask(text: str = "Hello there") -> Any:
    return [{"role": "user", "content": text}]


def test_chat_says_who_it_is(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=ask())
    assert answer.choices[0].finish_reason == "stop"
    assert "simulated" in answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def test_chat_stream_equals_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="g", messages=ask())
    with client.chat.completions.stream(
        model="g", messages=ask(), stream_options={"include_usage": True}
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.usage == whole.usage


def test_usage_chunk_comes_only_when_asked_for(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="g", messages=ask(), stream=True))
    assert all(chunk.usage is None for chunk in plain)
    assert all(chunk.choices for chunk in plain)
    billed = list(
        client.chat.completions.create(
            model="g", messages=ask(), stream=True, stream_options={"include_usage": True}
        )
    )
    assert billed[-1].choices == []
    assert billed[-1].usage.prompt_tokens == 3


def test_chat_tool_loop(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="g+parallel", messages=ask(), tools=[CHAT_TOOL]) as stream:
        message = stream.get_final_completion().choices[0].message
    assert [call.function.parsed_arguments for call in message.tool_calls] == [{"city": "simulated city"}] * 2
    assert message.tool_calls[0].id != message.tool_calls[1].id
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
    turns = [*ask(), message.model_dump(exclude_none=True), *results]
    final = client.chat.completions.create(model="g+parallel", messages=turns, tools=[CHAT_TOOL])
    assert final.choices[0].finish_reason == "stop"
    assert "sunny" in final.choices[0].message.content


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_forced_tool_is_called(client: openai.OpenAI, choice: Any) -> None:
    answer = client.chat.completions.create(model="g", messages=ask(), tools=[CHAT_TOOL], tool_choice=choice)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


def test_chat_reasoning_and_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="g+think", messages=ask(), n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].message.reasoning_content
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0


def test_chat_parses_into_a_model(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="g", messages=ask(), response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="simulated name", age=1, tags=["simulated tags"])
    loose = client.chat.completions.create(model="g", messages=ask(), response_format={"type": "json_object"})
    assert loose.choices[0].message.content == '{"answer":"simulated answer"}'


def test_chat_length_and_filter(client: openai.OpenAI) -> None:
    short = client.chat.completions.create(model="g", messages=ask(), max_completion_tokens=2)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 2)
    held = client.chat.completions.create(model="g+stop=filter", messages=ask())
    assert held.choices[0].finish_reason == "content_filter"


def test_response_and_its_stream_agree(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="g+think", input="Hello there", instructions="Be kind.")
    with client.responses.stream(model="g+think", input="Hello there", instructions="Be kind.") as stream:
        final = stream.get_final_response()
    assert "simulated" in whole.output_text
    assert [item.type for item in whole.output] == ["reasoning", "message"]
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert final.status == "completed"


def test_response_events_are_numbered(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="g", input=ask(), stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"


@pytest.mark.parametrize("tool", [FLAT_TOOL, CUSTOM_TOOL], ids=["function", "custom"])
def test_response_tool_loop(client: openai.OpenAI, tool: Any) -> None:
    with client.responses.stream(model="g+tool", input=ask(), tools=[tool]) as stream:
        call = stream.get_final_response().output[0]
    function = tool is FLAT_TOOL
    assert call.type == ("function_call" if function else "custom_tool_call")
    if function:
        assert call.parsed_arguments == {"city": "simulated city"}
    kind = "function_call_output" if function else "custom_tool_call_output"
    turns = [
        *ask(),
        call.model_dump(exclude={"parsed_arguments"}, exclude_none=True),
        {"type": kind, "call_id": call.call_id, "output": "sunny"},
    ]
    final = client.responses.create(model="g+tool", input=turns, tools=[tool])
    assert "sunny" in final.output_text


def test_response_parses_into_a_model(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(model="g", input="Someone", text_format=Person)
    assert parsed.output_parsed == Person(name="simulated name", age=1, tags=["simulated tags"])


def test_incomplete_response_says_why(client: openai.OpenAI) -> None:
    with client.responses.stream(model="g", input="x", max_output_tokens=2) as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"


def test_encrypted_reasoning_comes_when_included(client: openai.OpenAI) -> None:
    plain = client.responses.create(model="g+think", input="x")
    sealed = client.responses.create(model="g+think", input="x", include=["reasoning.encrypted_content"])
    assert plain.output[0].encrypted_content is None
    assert sealed.output[0].encrypted_content


def test_failures_inside_streams(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="told to fail"):
        list(client.chat.completions.create(model="g+error@2", messages=ask(), stream=True))
    events = list(client.responses.create(model="g+error@3:failed", input="x", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.id == events[0].response.id


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings(client: openai.OpenAI, encoding: Any) -> None:
    answer = client.embeddings.create(
        model="text-embedding-3-small", input=["one", "two", "one"], encoding_format=encoding
    )
    first, second, third = (item.embedding for item in answer.data)
    assert first == third
    assert first != second
    if encoding == "float":
        assert len(first) == 1536
        assert sum(value * value for value in first) == pytest.approx(1, abs=1e-4)
    assert answer.usage.total_tokens == 3


def test_embeddings_by_default_and_with_dimensions(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="e", input="text", dimensions=8)
    again = client.embeddings.create(model="e", input="text", dimensions=8, encoding_format="float")
    assert answer.data[0].embedding == pytest.approx(again.data[0].embedding)


def test_legacy_completions(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="g", prompt="Once", max_tokens=200)
    chunks = list(client.completions.create(model="g", prompt="Once", max_tokens=200, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_models(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"gpt-4o", "gpt-4o-mini", "o3", "text-embedding-3-small"} <= names
    assert client.models.retrieve("o3").owned_by == "openai"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_path_without_version(upstream: SimulatorThread) -> None:
    with openai.OpenAI(api_key="k", base_url=upstream.url, max_retries=0) as client:
        assert client.chat.completions.create(model="g", messages=ask()).choices


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/chat/completions", {"messages": []}, "model"),
        ("/chat/completions", {"model": "g"}, "messages"),
        ("/responses", {"model": "g"}, "input"),
        ("/embeddings", {"model": "g"}, "input"),
        ("/completions", {"model": "g"}, "prompt"),
        ("/completions", {"model": "g", "prompt": [None]}, "prompt"),
        ("/embeddings", {"model": "g", "input": ["a", {}]}, "input"),
    ],
)
def test_missing_field_is_named(client: openai.OpenAI, path: str, body: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(path, body=body, cast_to=object)
    assert caught.value.param == param


def test_wrong_key_is_refused_in_the_protocols_words() -> None:
    with (
        SimulatorThread(keys=["sk-good"]) as upstream,
        openai.OpenAI(api_key="sk-bad", base_url=f"{upstream.url}/v1", max_retries=0) as bad,
        openai.OpenAI(api_key="sk-good", base_url=f"{upstream.url}/v1", max_retries=0) as good,
    ):
        with pytest.raises(openai.AuthenticationError) as caught:
            bad.models.list()
        assert caught.value.code == "invalid_api_key"
        assert "sk-bad" not in str(caught.value)
        assert good.chat.completions.create(model="g", messages=ask()).choices


def test_demo_knows_only_its_models() -> None:
    with (
        SimulatorThread(demo=True, gap=0.0) as upstream,
        openai.OpenAI(api_key="k", base_url=f"{upstream.url}/v1", max_retries=0) as client,
    ):
        assert {model.id for model in client.models.list()} == {"demo", "demo-claude", "demo-gpt"}
        assert client.chat.completions.create(model="demo", messages=ask()).choices
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="gpt-4o", messages=ask())
        assert caught.value.code == "model_not_found"
        assert upstream.journal[-1].body == b""
