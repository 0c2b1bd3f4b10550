"""The official Anthropic SDK against the simulator."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from tests.servers import SimulatorThread

WEATHER = {
    "name": "get_weather",
    "description": "Weather at a place",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
        "required": ["city", "days"],
    },
}
CLOCK = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture
def client(upstream: SimulatorThread) -> Iterator[anthropic.Anthropic]:
    upstream.reset()
    with anthropic.Anthropic(api_key="sk-test", base_url=upstream.url, max_retries=0) as made:
        yield made


def ask(text: str = "Hello there") -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_message_says_who_it_is_and_repeats_the_user(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model="claude-opus-4-8", max_tokens=200, messages=ask())
    assert message.stop_reason == "end_turn"
    assert "simulated" in message.content[0].text
    assert "Hello there" in message.content[0].text
    assert message.usage.input_tokens == 3  # 11 characters
    assert message._request_id.startswith("req_")


def test_streamed_message_equals_the_whole_one(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(model="claude-x", max_tokens=200, messages=ask("one two  three"))
    with client.messages.stream(model="claude-x", max_tokens=200, messages=ask("one two  three")) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 5
    assert final.content[0].text == whole.content[0].text == "".join(pieces)
    assert final.usage == whole.usage
    assert final.stop_reason == "end_turn"


def test_tool_call_fits_the_schema_and_the_result_ends_the_turn(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="claude-x+tool", max_tokens=200, tools=[WEATHER], messages=ask()
    ) as stream:
        message = stream.get_final_message()
    call = message.content[0]
    assert message.stop_reason == "tool_use"
    assert (call.name, call.input) == ("get_weather", {"city": "simulated city", "days": 3})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    turns = [
        *ask(),
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    final = client.messages.create(model="claude-x+tool", max_tokens=200, tools=[WEATHER], messages=turns)
    assert final.stop_reason == "end_turn"
    assert "sunny" in final.content[0].text


def test_parallel_tools_make_dense_blocks_unless_the_client_forbids_them(client: anthropic.Anthropic) -> None:
    def names(choice: dict[str, object]) -> list[str]:
        with client.messages.stream(
            model="claude-x+parallel=3",
            max_tokens=200,
            tools=[WEATHER, CLOCK],
            tool_choice=choice,
            messages=ask(),
        ) as stream:
            return [block.name for block in stream.get_final_message().content]

    assert names({"type": "any"}) == ["get_weather", "get_time", "get_weather"]
    assert names({"type": "tool", "name": "get_time", "disable_parallel_tool_use": True}) == ["get_time"]


def test_user_may_ask_for_a_tool_in_words(client: anthropic.Anthropic) -> None:
    tools = [WEATHER]
    asked = client.messages.create(
        model="c", max_tokens=9, tools=tools, messages=ask("Please use the weather tool.")
    )
    unasked = client.messages.create(model="c", max_tokens=9, tools=tools, messages=ask("Hello."))
    assert asked.stop_reason == "tool_use"
    assert unasked.stop_reason == "max_tokens"


def test_thinking_is_signed_in_streams_and_whole(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(model="c+think", max_tokens=200, messages=ask())
    with client.messages.stream(model="c+think", max_tokens=200, messages=ask()) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert streamed.content[0] == whole.content[0]
    assert streamed.content[0].signature
    assert streamed.usage.output_tokens_details.thinking_tokens > 0


def test_structured_output_is_json_that_fits(client: anthropic.Anthropic) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
        "required": ["ok", "tags"],
    }
    message = client.messages.create(
        model="c",
        max_tokens=200,
        messages=ask(),
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert message.content[0].text == '{"ok":true,"tags":["a"]}'


def test_limits_and_stop_sequences_end_the_answer(client: anthropic.Anthropic) -> None:
    short = client.messages.create(model="c", max_tokens=2, messages=ask())
    assert (short.stop_reason, short.usage.output_tokens, len(short.content[0].text)) == ("max_tokens", 2, 8)
    stopped = client.messages.create(model="c", max_tokens=99, messages=ask(), stop_sequences=["built-in"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "built-in")
    assert "built-in" not in stopped.content[0].text


def test_cache_buckets_are_apart_from_fresh_input(client: anthropic.Anthropic) -> None:
    usage = client.messages.create(model="c+cache=100:20:7", max_tokens=99, messages=ask()).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (3, 100)
    assert usage.cache_creation_input_tokens == 27
    assert usage.cache_creation.ephemeral_5m_input_tokens == 20
    assert usage.cache_creation.ephemeral_1h_input_tokens == 7


def test_count_tokens_agrees_with_the_bill(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model="c", messages=ask(), tools=[WEATHER], system="Be short.")
    message = client.messages.create(
        model="c", max_tokens=9, messages=ask(), tools=[WEATHER], system="Be short."
    )
    assert counted.input_tokens == message.usage.input_tokens


def test_models_are_listed_and_paged(client: anthropic.Anthropic) -> None:
    names = [model.id for model in client.models.list(limit=3)]
    assert {"claude-opus-4-1", "claude-opus-4-8", "claude-sonnet-4-5", "claude-haiku-4-5"} <= set(names)
    assert len(names) == len(set(names))
    assert client.models.retrieve("claude-opus-4-8").created_at.year == 2026
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, anthropic.AuthenticationError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.APIStatusError),
    ],
)
def test_scripted_status_becomes_the_sdk_error(
    client: anthropic.Anthropic, status: int, error: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        client.messages.create(model=f"c+status={status},ra=3", max_tokens=9, messages=ask())
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.body["request_id"] == caught.value.response.headers["request-id"]


def test_error_in_the_stream_raises(client: anthropic.Anthropic) -> None:
    seen = []
    with (
        pytest.raises(anthropic.APIStatusError, match="told to fail"),
        client.messages.stream(model="c+error@4", max_tokens=99, messages=ask()) as stream,
    ):
        seen.extend(stream.text_stream)
    assert len(seen) == 1  # message_start, block start, ping, one delta


@pytest.mark.parametrize("missing", ["model", "messages", "max_tokens"])
def test_missing_field_is_named(client: anthropic.Anthropic, missing: str) -> None:
    body = {"model": "c", "messages": ask(), "max_tokens": 5}
    del body[missing]
    with pytest.raises(anthropic.BadRequestError, match=f"{missing}: Field required"):
        client.post("/v1/messages", body=body, cast_to=object)


def test_unified_limits_follow_the_script(client: anthropic.Anthropic) -> None:
    model = "c+rl=unified,u5h=0.4,u7d_opus=0.95,reset=60"
    answer = client.messages.with_raw_response.create(model=model, max_tokens=9, messages=ask())
    headers = answer.headers
    assert headers["anthropic-ratelimit-unified-5h-utilization"] == "0.4"
    assert headers["anthropic-ratelimit-unified-7d_opus-status"] == "allowed_warning"
    assert headers["anthropic-ratelimit-unified-representative-claim"] == "seven_day_opus"
