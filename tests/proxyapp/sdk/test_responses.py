"""The OpenAI SDK's responses through a running Patchbay."""

from __future__ import annotations

import json

from openai import AsyncOpenAI, OpenAI
from openai.types.responses import ParsedResponse, Response

from tests.proxyapp.sdk.clients import GPT, responses_tools, scripted
from tests.servers import SimulatorThread


def calls_of(response: Response | ParsedResponse[None]) -> list[tuple[str, list[str]]]:
    """Name and argument names of each function call."""
    return [
        (item.name, list(json.loads(item.arguments)))
        for item in response.output
        if item.type == "function_call"
    ]


def test_a_response_comes_back_whole_with_the_usage_that_upstream_billed(
    gpt: OpenAI, upstream: SimulatorThread
) -> None:
    response = gpt.responses.create(model=GPT, input="ping")
    entry = upstream.wait_for(lambda entry: entry.path == "/v1/responses" and entry.done)
    assert response.output_text.endswith("You said: ping")
    assert (response.model, response.status) == (GPT, "completed")
    assert response.usage is not None
    assert entry.usage is not None
    assert response.usage.total_tokens == entry.usage["total_tokens"]


def test_stream_events_are_numbered_without_gaps_and_end_completed(gpt: OpenAI) -> None:
    with gpt.responses.create(model=GPT, input="ping", stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_stream_helper_assembles_what_a_plain_request_returns(gpt: OpenAI) -> None:
    plain = gpt.responses.create(model=GPT, input="ping")
    with gpt.responses.stream(model=GPT, input="ping") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert len(deltas) > 3
    assert "".join(deltas) == final.output_text == plain.output_text
    assert final.usage == plain.usage


def test_a_forced_tool_is_called_with_arguments_that_fit_its_schema(gpt: OpenAI) -> None:
    response = gpt.responses.create(
        model=GPT,
        input="ping",
        tools=responses_tools(),
        tool_choice={"type": "function", "name": "get_time"},
    )
    assert calls_of(response) == [("get_time", ["zone"])]


def test_parallel_tools_are_assembled_from_a_stream(gpt: OpenAI) -> None:
    model = scripted(GPT, "parallel=2")
    with gpt.responses.stream(model=model, input="ping", tools=responses_tools()) as stream:
        final = stream.get_final_response()
    assert calls_of(final) == [("get_weather", ["city"]), ("get_time", ["zone"])]


def test_a_tool_result_goes_back_and_is_answered(gpt: OpenAI) -> None:
    model = scripted(GPT, "tool=get_weather")
    asked = gpt.responses.create(model=model, input="ping", tools=responses_tools())
    (call,) = asked.output
    assert call.type == "function_call"
    answered = gpt.responses.create(
        model=model,
        input=[
            {"role": "user", "content": "ping"},
            {
                "type": "function_call",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
            },
            {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"},
        ],
        tools=responses_tools(),
    )
    assert answered.output_text.endswith("The tool answered: 12 degrees")


def test_reasoning_items_stand_before_the_message(gpt: OpenAI) -> None:
    model = scripted(GPT, "think")
    plain = gpt.responses.create(model=model, input="ping")
    with gpt.responses.stream(model=model, input="ping") as stream:
        streamed = stream.get_final_response()
    assert [item.type for item in plain.output] == ["reasoning", "message"]
    assert [item.type for item in streamed.output] == ["reasoning", "message"]


async def test_the_async_client_gets_plain_and_streamed_answers(async_gpt: AsyncOpenAI) -> None:
    plain = await async_gpt.responses.create(model=GPT, input="ping")
    async with async_gpt.responses.stream(model=GPT, input="ping") as stream:
        final = await stream.get_final_response()
    assert final.output_text == plain.output_text
