"""The OpenAI SDK's responses in front of an Anthropic backend, and of one that speaks chat only."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.proxyapp.sdk.clients import CLAUDE, responses_tools, scripted
from tests.proxyapp.sdk.test_responses import calls_of
from tests.proxyapp.sdk.translated import CHAT, LOCAL, MESSAGES, PICTURE, RESPONSES_MODELS, Person, arrived
from tests.servers import SimulatorThread

USER = {"role": "user", "content": "ping"}
both = pytest.mark.parametrize(("model", "path"), RESPONSES_MODELS, ids=["messages", "chat"])


@both
def test_a_response_from_another_protocol(
    gpt: OpenAI, upstream: SimulatorThread, model: str, path: str
) -> None:
    raw = gpt.responses.with_raw_response.create(model=model, input="ping", instructions="Be brief.")
    response, entry = raw.parse(), arrived(upstream, path)
    assert response.output_text.endswith("You said: ping")
    assert (response.object, response.status, response.instructions) == ("response", "completed", "Be brief.")
    assert response.id.startswith("resp_")
    assert response._request_id
    assert "Be brief." in json.dumps(entry.json())
    assert raw.headers["x-patchbay-lane"] == "translated"
    assert response.usage is not None
    assert entry.usage is not None
    told = entry.usage.get("output_tokens", entry.usage.get("completion_tokens"))
    assert response.usage.output_tokens == told


@both
def test_stream_events_are_numbered_and_assemble_to_the_plain_answer(
    gpt: OpenAI, model: str, path: str
) -> None:
    model = scripted(model, "think", "cache=70:30")
    plain = gpt.responses.create(model=model, input="ping")
    with gpt.responses.stream(model=model, input="ping") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [item.type for item in final.output] == [item.type for item in plain.output]
    assert [item.type for item in plain.output] == ["reasoning", "message"]
    assert final.output_text == plain.output_text
    assert final.usage == plain.usage


@both
@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_their_results(
    gpt: OpenAI, upstream: SimulatorThread, model: str, path: str, streamed: bool
) -> None:
    asked: Any = {"model": scripted(model, "parallel=2", "think"), "tools": responses_tools(), "store": False}
    first = _answer(gpt, streamed, input=[USER], **asked)
    assert calls_of(first) == [("get_weather", ["city"]), ("get_time", ["zone"])]
    calls = [item.call_id for item in first.output if item.type == "function_call"]
    results = [
        {"type": "function_call_output", "call_id": call, "output": f"result {number}"}
        for number, call in enumerate(calls)
    ]
    upstream.reset()
    history = [USER, *(item.to_dict() for item in first.output), *results]
    answered = _answer(gpt, streamed, input=history, **asked)
    assert "The tool answered: result" in answered.output_text
    roles = [one["role"] for one in arrived(upstream, path).json()["messages"]]
    assert roles == (
        ["user", "assistant", "user"] if path == MESSAGES else ["user", "assistant", "tool", "tool"]
    )


def _answer(client: OpenAI, streamed: bool, **asked: Any) -> Any:
    if not streamed:
        return client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        return stream.get_final_response()


@both
def test_images_reach_the_backend(gpt: OpenAI, upstream: SimulatorThread, model: str, path: str) -> None:
    content: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
    ]
    gpt.responses.create(model=model, input=[{"role": "user", "content": content}])
    (sent,) = arrived(upstream, path).json()["messages"]
    assert [part["type"] for part in sent["content"]] == [
        "text",
        "image" if path == MESSAGES else "image_url",
    ]


@both
def test_structured_answers_are_parsed(gpt: OpenAI, model: str, path: str) -> None:
    response = gpt.responses.parse(model=model, input="Who?", text_format=Person)
    assert isinstance(response.output_parsed, Person)


def test_the_length_limit_makes_it_incomplete(gpt: OpenAI) -> None:
    response = gpt.responses.create(model=CLAUDE, input="ping", max_output_tokens=16)
    assert (response.status, response.incomplete_details and response.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )


@both
@pytest.mark.parametrize("streamed", [False, True])
def test_a_previous_response_is_continued(
    gpt: OpenAI, upstream: SimulatorThread, model: str, path: str, streamed: bool
) -> None:
    first = _answer(gpt, streamed, model=model, input="my name is Ada")
    upstream.reset()
    second = _answer(gpt, streamed, model=model, input="who am I?", previous_response_id=first.id)
    assert second.output_text.endswith("You said: who am I?")
    assert second.previous_response_id == first.id
    sent = arrived(upstream, path).json()["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "user"]
    assert "my name is Ada" in json.dumps(sent[0])


def test_a_tool_loop_by_previous_response(gpt: OpenAI) -> None:
    asked: Any = {"model": scripted(CLAUDE, "tool=get_time"), "tools": responses_tools()}
    first = gpt.responses.create(input="ping", **asked)
    (call,) = first.output
    assert call.type == "function_call"
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "noon"}
    second = gpt.responses.create(input=[result], previous_response_id=first.id, **asked)
    assert second.output_text.endswith("The tool answered: noon")


def test_items_of_an_earlier_answer_may_be_named_by_id(gpt: OpenAI) -> None:
    asked: Any = {"model": scripted(CLAUDE, "tool=get_time", "think"), "tools": responses_tools()}
    for streamed in (False, True):
        first = _answer(gpt, streamed, input=[USER], **asked)
        named = [{"type": "item_reference", "id": item.id} for item in first.output]
        (call,) = [item for item in first.output if item.type == "function_call"]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "noon"}
        second = _answer(gpt, streamed, input=[USER, *named, result], **asked)
        assert second.output_text.endswith("The tool answered: noon")


@pytest.mark.parametrize("store", [True, False])
def test_a_response_that_is_not_kept_is_an_error_that_says_so(gpt: OpenAI, store: bool) -> None:
    gone = "resp_0123456789" if store else gpt.responses.create(model=CLAUDE, input="ping", store=False).id
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(model=CLAUDE, input="and?", previous_response_id=gone)
    assert (caught.value.code, caught.value.param) == (
        "previous_response_not_found",
        "previous_response_id",
    )


def test_hosted_tools_that_nobody_runs_there_are_refused_by_name(
    gpt: OpenAI, upstream: SimulatorThread
) -> None:
    tools: Any = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    with pytest.raises(openai.BadRequestError, match="code_interpreter"):
        gpt.responses.create(model=LOCAL, input="ping", tools=tools)
    assert not upstream.journal.of(path=CHAT)


async def test_the_async_client_gets_the_same(async_gpt: AsyncOpenAI) -> None:
    plain = await async_gpt.responses.create(model=CLAUDE, input="ping")
    async with async_gpt.responses.stream(model=CLAUDE, input="ping") as stream:
        final = await stream.get_final_response()
    assert final.output_text == plain.output_text
