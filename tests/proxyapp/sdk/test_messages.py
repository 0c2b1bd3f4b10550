"""The Anthropic SDK's messages, streams, tools and thinking through a running Patchbay."""

from __future__ import annotations

from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message

from tests.proxyapp.sdk.clients import ASK, CLAUDE, anthropic_tools, scripted
from tests.servers import SimulatorThread


def text_of(message: Message) -> str:
    """All text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_comes_back_whole_with_the_usage_that_upstream_billed(
    claude: Anthropic, upstream: SimulatorThread
) -> None:
    message = claude.messages.create(model=CLAUDE, max_tokens=256, messages=ASK, system="Be brief.")
    entry = upstream.wait_for(lambda entry: entry.path == "/v1/messages" and entry.done)
    assert text_of(message).endswith("You said: ping")
    assert (message.role, message.model, message.stop_reason) == ("assistant", CLAUDE, "end_turn")
    assert entry.usage is not None
    assert message.usage.input_tokens == entry.usage["input_tokens"]
    assert message.usage.output_tokens == entry.usage["output_tokens"]
    assert message._request_id == entry.request_id


def test_raw_stream_events_arrive_in_the_protocols_order(claude: Anthropic) -> None:
    with claude.messages.create(model=CLAUDE, max_tokens=256, messages=ASK, stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_the_stream_helper_assembles_what_a_plain_request_returns(claude: Anthropic) -> None:
    plain = claude.messages.create(model=CLAUDE, max_tokens=256, messages=ASK)
    with claude.messages.stream(model=CLAUDE, max_tokens=256, messages=ASK) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 3
    assert "".join(pieces) == text_of(final) == text_of(plain)
    assert (final.stop_reason, final.usage) == (plain.stop_reason, plain.usage)


def test_a_forced_tool_is_called_with_arguments_that_fit_its_schema(claude: Anthropic) -> None:
    message = claude.messages.create(
        model=CLAUDE,
        max_tokens=256,
        messages=ASK,
        tools=anthropic_tools(),
        tool_choice={"type": "tool", "name": "get_time"},
    )
    (call,) = message.content
    assert call.type == "tool_use"
    assert message.stop_reason == "tool_use"
    assert (call.name, list(call.input)) == ("get_time", ["zone"])


def test_parallel_tools_are_assembled_from_a_stream(claude: Anthropic) -> None:
    model = scripted(CLAUDE, "parallel=2")
    with claude.messages.stream(model=model, max_tokens=256, messages=ASK, tools=anthropic_tools()) as stream:
        final = stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert [list(call.input) for call in calls] == [["city"], ["zone"]]
    assert len({call.id for call in calls}) == 2


def test_a_tool_result_goes_back_and_is_answered(claude: Anthropic) -> None:
    model = scripted(CLAUDE, "tool=get_weather")
    asked = claude.messages.create(model=model, max_tokens=256, messages=ASK, tools=anthropic_tools())
    (call,) = asked.content
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"}
    history = [*ASK, {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    answered = claude.messages.create(model=model, max_tokens=256, messages=history, tools=anthropic_tools())
    assert text_of(answered).endswith("The tool answered: 12 degrees")


def test_thinking_comes_with_its_signature_streamed_and_plain(claude: Anthropic) -> None:
    model = scripted(CLAUDE, "think")
    plain = claude.messages.create(
        model=model, max_tokens=4096, messages=ASK, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    with claude.messages.stream(
        model=model, max_tokens=4096, messages=ASK, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        streamed = stream.get_final_message()
    for message in (plain, streamed):
        assert [block.type for block in message.content] == ["thinking", "text"]
    first, again = plain.content[0], streamed.content[0]
    assert first.type == again.type == "thinking"
    assert first.signature
    assert (first.thinking, first.signature) == (again.thinking, again.signature)


def test_tokens_are_counted_without_asking_a_model(claude: Anthropic, upstream: SimulatorThread) -> None:
    counted = claude.messages.count_tokens(model=CLAUDE, messages=ASK, system="x" * 400)
    assert counted.input_tokens > 100
    assert [entry.kind for entry in upstream.journal.of(path="/v1/messages/count_tokens")] == ["count_tokens"]


def test_cache_tokens_reach_the_client(claude: Anthropic) -> None:
    message = claude.messages.create(
        model=scripted(CLAUDE, "cache=700:30"),
        max_tokens=256,
        messages=ASK,
        cache_control={"type": "ephemeral"},
    )
    assert message.usage.cache_read_input_tokens == 700
    assert message.usage.cache_creation_input_tokens == 30


async def test_the_async_client_gets_plain_and_streamed_answers(async_claude: AsyncAnthropic) -> None:
    plain = await async_claude.messages.create(model=CLAUDE, max_tokens=256, messages=ASK)
    async with async_claude.messages.stream(model=CLAUDE, max_tokens=256, messages=ASK) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(pieces) == text_of(final) == text_of(plain)
    assert (await async_claude.messages.count_tokens(model=CLAUDE, messages=ASK)).input_tokens > 0


async def test_the_async_client_assembles_parallel_tools(async_claude: AsyncAnthropic) -> None:
    model = scripted(CLAUDE, "parallel=2", "think")
    async with async_claude.messages.stream(
        model=model, max_tokens=256, messages=ASK, tools=anthropic_tools()
    ) as stream:
        final = await stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "tool_use", "tool_use"]
    assert final.stop_reason == "tool_use"
