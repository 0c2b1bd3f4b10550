"""The OpenAI SDK's chat completions through a running Patchbay."""

from __future__ import annotations

import json

from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion

from tests.proxyapp.sdk.clients import ASK, GPT, chat_tools, scripted
from tests.servers import SimulatorThread


def calls_of(completion: ChatCompletion) -> list[tuple[str, list[str]]]:
    """Name and argument names of each function call of the first choice."""
    calls = completion.choices[0].message.tool_calls or []
    return [(c.function.name, list(json.loads(c.function.arguments))) for c in calls if c.type == "function"]


def test_a_completion_comes_back_whole_with_the_usage_that_upstream_billed(
    gpt: OpenAI, upstream: SimulatorThread
) -> None:
    completion = gpt.chat.completions.create(model=GPT, messages=ASK)
    entry = upstream.wait_for(lambda entry: entry.path == "/v1/chat/completions" and entry.done)
    assert (completion.choices[0].message.content or "").endswith("You said: ping")
    assert (completion.model, completion.choices[0].finish_reason) == (GPT, "stop")
    assert completion.usage is not None
    assert entry.usage is not None
    assert completion.usage.total_tokens == entry.usage["total_tokens"]
    assert completion._request_id == entry.request_id


def test_chunks_add_up_to_the_plain_answer_and_usage_comes_last(gpt: OpenAI) -> None:
    plain = gpt.chat.completions.create(model=GPT, messages=ASK)
    with gpt.chat.completions.create(
        model=GPT, messages=ASK, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    said = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(said) == plain.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage == plain.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_include_usage_no_usage_chunk_is_smuggled_in(gpt: OpenAI) -> None:
    with gpt.chat.completions.create(model=GPT, messages=ASK, stream=True) as stream:
        chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_the_stream_helper_assembles_what_a_plain_request_returns(gpt: OpenAI) -> None:
    plain = gpt.chat.completions.create(model=GPT, messages=ASK)
    with gpt.chat.completions.stream(model=GPT, messages=ASK) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert len(deltas) > 3
    assert "".join(deltas) == final.choices[0].message.content == plain.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"


def test_a_forced_tool_is_called_with_arguments_that_fit_its_schema(gpt: OpenAI) -> None:
    completion = gpt.chat.completions.create(
        model=GPT,
        messages=ASK,
        tools=chat_tools(),
        tool_choice={"type": "function", "function": {"name": "get_time"}},
    )
    assert calls_of(completion) == [("get_time", ["zone"])]
    assert completion.choices[0].finish_reason == "tool_calls"


def test_parallel_tools_are_assembled_from_a_stream(gpt: OpenAI) -> None:
    model = scripted(GPT, "parallel=2")
    with gpt.chat.completions.stream(model=model, messages=ASK, tools=chat_tools()) as stream:
        final = stream.get_final_completion()
    assert calls_of(final) == [("get_weather", ["city"]), ("get_time", ["zone"])]


def test_a_tool_result_goes_back_and_is_answered(gpt: OpenAI) -> None:
    model = scripted(GPT, "tool=get_weather")
    asked = gpt.chat.completions.create(model=model, messages=ASK, tools=chat_tools())
    message = asked.choices[0].message
    assert message.tool_calls is not None
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "12 degrees"}
    history = [*ASK, message, result]
    answered = gpt.chat.completions.create(model=model, messages=history, tools=chat_tools())
    assert (answered.choices[0].message.content or "").endswith("The tool answered: 12 degrees")


def test_reasoning_that_the_sdk_has_no_field_for_is_still_there(gpt: OpenAI) -> None:
    completion = gpt.chat.completions.create(model=scripted(GPT, "think"), messages=ASK)
    extra = completion.choices[0].message.model_extra or {}
    assert extra["reasoning_content"]
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens


def test_several_choices_stay_apart_in_a_stream(gpt: OpenAI) -> None:
    with gpt.chat.completions.create(model=GPT, messages=ASK, n=2, stream=True) as stream:
        said = {0: "", 1: ""}
        for chunk in stream:
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
    assert said[0] == said[1] != ""


async def test_the_async_client_gets_plain_and_streamed_answers(async_gpt: AsyncOpenAI) -> None:
    plain = await async_gpt.chat.completions.create(model=GPT, messages=ASK)
    async with async_gpt.chat.completions.stream(model=GPT, messages=ASK) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == plain.choices[0].message.content


async def test_the_async_client_assembles_parallel_tools(async_gpt: AsyncOpenAI) -> None:
    model = scripted(GPT, "parallel=2")
    async with async_gpt.chat.completions.stream(model=model, messages=ASK, tools=chat_tools()) as stream:
        final = await stream.get_final_completion()
    assert [name for name, _ in calls_of(final)] == ["get_weather", "get_time"]
