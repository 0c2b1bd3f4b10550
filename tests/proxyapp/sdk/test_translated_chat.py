"""The OpenAI SDK's chat completions in front of an Anthropic backend."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion

from tests.proxyapp.sdk.clients import ASK, CLAUDE, chat_tools, scripted
from tests.proxyapp.sdk.test_chat import calls_of
from tests.proxyapp.sdk.translated import MESSAGES, PICTURE, PNG, Person, arrived
from tests.servers import SimulatorThread


def text_of(completion: ChatCompletion) -> str:
    """The text of the first choice."""
    return completion.choices[0].message.content or ""


def test_a_completion_from_an_anthropic_backend(gpt: OpenAI, upstream: SimulatorThread) -> None:
    raw = gpt.chat.completions.with_raw_response.create(
        model=CLAUDE, messages=[{"role": "system", "content": "Be brief."}, *ASK]
    )
    completion, entry = raw.parse(), arrived(upstream, MESSAGES)
    assert text_of(completion).endswith("You said: ping")
    assert (completion.object, completion.choices[0].finish_reason) == ("chat.completion", "stop")
    assert completion.id.startswith("chatcmpl-")
    assert completion.created > 0
    assert completion._request_id
    sent = entry.json()
    assert sent["max_tokens"] > 0
    assert "Be brief." in json.dumps(sent["system"])
    assert entry.header("anthropic-version")
    assert (raw.headers["x-patchbay-lane"], raw.headers["x-patchbay-backend"]) == ("translated", "anthropic")
    assert entry.usage is not None
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == entry.usage["input_tokens"]
    assert completion.usage.completion_tokens == entry.usage["output_tokens"]


def test_chunks_add_up_to_the_plain_answer_and_usage_comes_last(gpt: OpenAI) -> None:
    model = scripted(CLAUDE, "cache=70:30:5")
    plain = gpt.chat.completions.create(model=model, messages=ASK)
    with gpt.chat.completions.create(
        model=model, messages=ASK, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    said = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(said) == text_of(plain)
    assert (chunks[-1].choices, chunks[-1].usage) == ([], plain.usage)
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_include_usage_no_usage_chunk_is_smuggled_in(gpt: OpenAI) -> None:
    with gpt.chat.completions.create(model=CLAUDE, messages=ASK, stream=True) as stream:
        chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_thinking_comes_as_reasoning_content(gpt: OpenAI) -> None:
    model = scripted(CLAUDE, "think")
    plain = gpt.chat.completions.create(model=model, messages=ASK, reasoning_effort="high")
    with gpt.chat.completions.create(model=model, messages=ASK, stream=True) as stream:
        pieces = [(chunk.choices[0].delta.model_extra or {}).get("reasoning_content") for chunk in stream]
    whole = (plain.choices[0].message.model_extra or {})["reasoning_content"]
    assert whole == "".join(piece or "" for piece in pieces) != ""
    assert plain.usage is not None
    assert plain.usage.completion_tokens_details is not None
    assert plain.usage.completion_tokens_details.reasoning_tokens


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_their_results(gpt: OpenAI, upstream: SimulatorThread, streamed: bool) -> None:
    asked: Any = {"model": scripted(CLAUDE, "parallel=2", "think"), "tools": chat_tools()}
    completion = _answer(gpt, streamed, messages=ASK, **asked)
    assert calls_of(completion) == [("get_weather", ["city"]), ("get_time", ["zone"])]
    assert completion.choices[0].finish_reason == "tool_calls"
    message = completion.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result {number}"}
        for number, call in enumerate(message.tool_calls or [])
    ]
    upstream.reset()
    answered = _answer(gpt, streamed, messages=[*ASK, message, *results], **asked)
    assert "The tool answered: result 0" in text_of(answered)
    sent = arrived(upstream, MESSAGES).json()["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "user"]
    calls = [block["id"] for block in sent[1]["content"] if block["type"] == "tool_use"]
    assert [block["tool_use_id"] for block in sent[2]["content"]] == calls
    assert not [block for block in sent[1]["content"] if block["type"] == "thinking"]


def _answer(client: OpenAI, streamed: bool, **asked: Any) -> ChatCompletion:
    if not streamed:
        return client.chat.completions.create(**asked)
    with client.chat.completions.stream(**asked) as stream:
        return stream.get_final_completion()


def test_a_forced_tool_is_called(gpt: OpenAI, upstream: SimulatorThread) -> None:
    completion = gpt.chat.completions.create(
        model=CLAUDE,
        messages=ASK,
        tools=chat_tools(),
        tool_choice={"type": "function", "function": {"name": "get_time"}},
        parallel_tool_calls=False,
    )
    assert calls_of(completion) == [("get_time", ["zone"])]
    wanted = {"type": "tool", "name": "get_time", "disable_parallel_tool_use": True}
    assert arrived(upstream, MESSAGES).json()["tool_choice"] == wanted


def test_images_reach_the_anthropic_backend(gpt: OpenAI, upstream: SimulatorThread) -> None:
    content: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    gpt.chat.completions.create(model=CLAUDE, messages=[{"role": "user", "content": content}])
    (sent,) = arrived(upstream, MESSAGES).json()["messages"]
    sources = [part["source"] for part in sent["content"] if part["type"] == "image"]
    assert sources == [
        {"type": "base64", "media_type": "image/png", "data": PNG},
        {"type": "url", "url": "https://example.com/a.png"},
    ]


def test_structured_answers_are_parsed(gpt: OpenAI, upstream: SimulatorThread) -> None:
    completion = gpt.chat.completions.parse(model=CLAUDE, messages=ASK, response_format=Person)
    assert isinstance(completion.choices[0].message.parsed, Person)
    wanted = arrived(upstream, MESSAGES).json()["output_config"]["format"]
    assert wanted["type"] == "json_schema"
    assert set(wanted["schema"]["properties"]) == {"name", "age"}


def test_the_length_limit_is_told(gpt: OpenAI, upstream: SimulatorThread) -> None:
    completion = gpt.chat.completions.create(
        model=CLAUDE, messages=ASK, max_completion_tokens=3, stop="\n\nEnd"
    )
    assert completion.choices[0].finish_reason == "length"
    sent = arrived(upstream, MESSAGES).json()
    assert (sent["max_tokens"], sent["stop_sequences"]) == (3, ["\n\nEnd"])


def test_a_refusal_is_no_ordinary_end(gpt: OpenAI) -> None:
    completion = gpt.chat.completions.create(model=scripted(CLAUDE, "stop=refusal"), messages=ASK)
    assert completion.choices[0].finish_reason == "content_filter" or completion.choices[0].message.refusal


def test_what_an_anthropic_backend_cannot_be_told_is_named(gpt: OpenAI) -> None:
    raw = gpt.chat.completions.with_raw_response.create(
        model=CLAUDE, messages=ASK, seed=7, presence_penalty=0.5, logit_bias={"50256": -100}
    )
    lost = raw.headers["x-patchbay-lost"].split(", ")
    assert {"$.seed", "$.presence_penalty", "$.logit_bias"} <= set(lost)


def test_several_choices_are_refused_by_name(gpt: OpenAI, upstream: SimulatorThread) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model=CLAUDE, messages=ASK, n=2)
    assert caught.value.param == "n"
    assert not [entry for entry in upstream.journal if entry.method == "POST"]


async def test_the_async_client_gets_the_same(async_gpt: AsyncOpenAI) -> None:
    model = scripted(CLAUDE, "parallel=2", "think")
    async with async_gpt.chat.completions.stream(model=model, messages=ASK, tools=chat_tools()) as stream:
        final = await stream.get_final_completion()
    assert [name for name, _ in calls_of(final)] == ["get_weather", "get_time"]
