"""The Anthropic SDK in front of a chat backend: messages, streams, tools, thinking, images, structured answers."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from anthropic.types import Message

from tests.proxyapp.sdk.clients import ASK, GPT, anthropic_tools, scripted
from tests.proxyapp.sdk.translated import CHAT, PICTURE, PNG, Person, arrived
from tests.servers import SimulatorThread


def text_of(message: Any) -> str:
    """All text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_from_a_chat_backend(claude: Anthropic, upstream: SimulatorThread) -> None:
    raw = claude.messages.with_raw_response.create(
        model=GPT, max_tokens=256, messages=ASK, system="Be brief."
    )
    message, entry = raw.parse(), arrived(upstream, CHAT)
    assert text_of(message).endswith("You said: ping")
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert message.id.startswith("msg_")
    assert message.model
    assert message._request_id
    assert entry.json()["messages"][0]["content"] == "Be brief."
    assert (raw.headers["x-patchbay-lane"], raw.headers["x-patchbay-backend"]) == ("translated", "openai")
    assert entry.usage is not None
    assert message.usage.input_tokens == entry.usage["prompt_tokens"]
    assert message.usage.output_tokens == entry.usage["completion_tokens"]


def test_stream_events_arrive_in_the_clients_order(claude: Anthropic) -> None:
    with claude.messages.create(model=GPT, max_tokens=256, messages=ASK, stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_the_stream_assembles_to_the_plain_answer(claude: Anthropic) -> None:
    model = scripted(GPT, "think", "cache=70:30")
    plain = claude.messages.create(model=model, max_tokens=256, messages=ASK)
    with claude.messages.stream(model=model, max_tokens=256, messages=ASK) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 3
    assert "".join(pieces) == text_of(final) == text_of(plain)
    assert (final.stop_reason, final.usage) == (plain.stop_reason, plain.usage)
    assert [block.type for block in final.content] == [block.type for block in plain.content]


def test_reasoning_comes_as_thinking_without_a_forged_signature(claude: Anthropic) -> None:
    model = scripted(GPT, "think")
    message = claude.messages.create(
        model=model, max_tokens=4096, messages=ASK, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    first, second = message.content
    assert first.type == "thinking"
    assert first.thinking
    assert first.signature == ""
    assert second.type == "text"


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_their_results(
    claude: Anthropic, upstream: SimulatorThread, streamed: bool
) -> None:
    asked: Any = {
        "model": scripted(GPT, "parallel=2", "think"),
        "max_tokens": 256,
        "tools": anthropic_tools(),
    }
    message = _answer(claude, streamed, messages=ASK, **asked)
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [(call.name, list(call.input)) for call in calls] == [
        ("get_weather", ["city"]),
        ("get_time", ["zone"]),
    ]
    assert message.stop_reason == "tool_use"
    results: Any = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.name} is fine"} for call in calls
    ]
    history: Any = [
        *ASK,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": results},
    ]
    upstream.reset()
    answered = _answer(claude, streamed, messages=history, **asked)
    assert text_of(answered).endswith("The tool answered: get_time is fine")
    sent = arrived(upstream, CHAT).json()["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "tool"]
    assert [one["tool_call_id"] for one in sent[2:]] == [call["id"] for call in sent[1]["tool_calls"]]


def _answer(client: Anthropic, streamed: bool, **asked: Any) -> Message:
    if not streamed:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True])
def test_the_tool_runner_finishes_without_server_side_threads(claude: Anthropic, streamed: bool) -> None:
    asked_for: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Weather of a city.

        Args:
            city: Its name.
        """
        asked_for.append(city)
        return "12 degrees"

    runner: Any = claude.beta.messages.tool_runner(
        model=scripted(GPT, "tool=get_weather"),
        max_tokens=256,
        messages=ASK,
        tools=[get_weather],
        stream=streamed,
    )
    assert text_of(runner.until_done()).endswith("The tool answered: 12 degrees")
    assert asked_for == ["simulated city"]


def test_a_forced_tool_is_called(claude: Anthropic, upstream: SimulatorThread) -> None:
    message = claude.messages.create(
        model=GPT,
        max_tokens=256,
        messages=ASK,
        tools=anthropic_tools(),
        tool_choice={"type": "tool", "name": "get_time", "disable_parallel_tool_use": True},
    )
    (call,) = message.content
    assert call.type == "tool_use"
    assert (call.name, message.stop_reason) == ("get_time", "tool_use")
    sent = arrived(upstream, CHAT).json()
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "get_time"}}
    assert sent["parallel_tool_calls"] is False


def test_images_reach_the_chat_backend(claude: Anthropic, upstream: SimulatorThread) -> None:
    content: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    ]
    claude.messages.create(model=GPT, max_tokens=256, messages=[{"role": "user", "content": content}])
    (sent,) = arrived(upstream, CHAT).json()["messages"]
    assert [part["type"] for part in sent["content"]] == ["text", "image_url", "image_url"]
    assert [part["image_url"]["url"] for part in sent["content"][1:]] == [
        PICTURE,
        "https://example.com/a.png",
    ]


def test_structured_answers_are_parsed(claude: Anthropic, upstream: SimulatorThread) -> None:
    message = claude.messages.parse(model=GPT, max_tokens=256, messages=ASK, output_format=Person)
    assert isinstance(message.parsed_output, Person)
    wanted = arrived(upstream, CHAT).json()["response_format"]
    assert wanted["type"] == "json_schema"
    assert set(wanted["json_schema"]["schema"]["properties"]) == {"name", "age"}


def test_the_length_limit_and_stop_sequences_are_told(claude: Anthropic, upstream: SimulatorThread) -> None:
    short = claude.messages.create(model=GPT, max_tokens=3, messages=ASK, stop_sequences=["\n\n"])
    assert short.stop_reason == "max_tokens"
    sent = arrived(upstream, CHAT).json()
    assert sent["stop"] == ["\n\n"]
    assert 3 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


def test_what_a_chat_backend_cannot_be_told_is_named(claude: Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(
        model=GPT, max_tokens=64, messages=ASK, extra_body={"top_k": 5, "container": "abc"}
    )
    lost = raw.headers["x-patchbay-lost"].split(", ")
    assert "$.top_k" in lost


def test_a_hosted_tool_that_nobody_runs_there_is_refused_by_name(
    claude: Anthropic, upstream: SimulatorThread
) -> None:
    tools: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        claude.messages.create(model=GPT, max_tokens=64, messages=ASK, tools=tools)
    assert not [entry for entry in upstream.journal if entry.method == "POST"]


def test_tokens_are_estimated_and_marked(claude: Anthropic, upstream: SimulatorThread) -> None:
    raw = claude.messages.with_raw_response.count_tokens(model=GPT, messages=ASK, system="word " * 400)
    assert 200 < raw.parse().input_tokens < 1000
    assert raw.headers["x-patchbay-estimated"]
    assert raw.headers["x-patchbay-lane"] == "translated"
    assert not [entry for entry in upstream.journal if entry.method == "POST"]


async def test_the_async_client_gets_the_same(async_claude: AsyncAnthropic) -> None:
    model = scripted(GPT, "parallel=2", "think")
    async with async_claude.messages.stream(
        model=model, max_tokens=256, messages=ASK, tools=anthropic_tools()
    ) as stream:
        final = await stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "tool_use", "tool_use"]
    assert final.stop_reason == "tool_use"
