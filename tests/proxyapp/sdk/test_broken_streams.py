"""A stream that upstream did not finish raises in every SDK: it never looks complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, scripted

FAULTS = ["cut=4", "rst,cut=4", "no-terminal,no-done"]


def text_pieces(events: Iterable[object], kind: str) -> Iterator[object]:
    """The events of one type, as they come."""
    return (event for event in events if getattr(event, "type", "") == kind)


def anthropic_stream(client: Anthropic, *words: str) -> Iterator[object]:
    model = scripted(CLAUDE, *words)
    with client.messages.create(model=model, max_tokens=64, messages=ASK, stream=True) as stream:
        yield from text_pieces(stream, "content_block_delta")


def chat_stream(client: OpenAI, *words: str) -> Iterator[object]:
    with client.chat.completions.create(model=scripted(GPT, *words), messages=ASK, stream=True) as stream:
        yield from (chunk for chunk in stream if chunk.choices[0].delta.content)


def responses_stream(client: OpenAI, *words: str) -> Iterator[object]:
    with client.responses.create(model=scripted(GPT, *words), input="ping", stream=True) as stream:
        yield from text_pieces(stream, "response.output_text.delta")


def completion_stream(client: OpenAI, *words: str) -> Iterator[object]:
    model = scripted("gpt-3.5-turbo-instruct", *words)
    with client.completions.create(model=model, prompt="ping", stream=True) as stream:
        yield from (chunk for chunk in stream if chunk.choices[0].text)


OPENAI_STREAMS = [chat_stream, responses_stream, completion_stream]


def drain(pieces: Iterator[object]) -> int:
    """Read to the end; how many pieces came. Raises what the SDK raises."""
    return sum(1 for _ in pieces)


def pieces_before_raising(pieces: Iterator[object], expected: type[Exception]) -> tuple[int, Exception]:
    """How many pieces came before the error, and the error."""
    came: list[object] = []
    with pytest.raises(expected) as caught:
        came.extend(pieces)  # keeps what had come before it raised
    return len(came), caught.value


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cut_anthropic_stream_raises_after_what_had_come(claude: Anthropic, fault: str) -> None:
    count, error = pieces_before_raising(anthropic_stream(claude, fault), anthropic.APIStatusError)
    assert 0 < count <= drain(anthropic_stream(claude))
    assert "upstream" in str(error).lower()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", OPENAI_STREAMS)
def test_a_cut_openai_stream_raises_after_what_had_come(
    gpt: OpenAI, kind: Callable[..., Iterator[object]], fault: str
) -> None:
    if kind is responses_stream:
        fault = fault.replace("=4", "=7")  # four opening events come before the first text
    count, error = pieces_before_raising(kind(gpt, fault), openai.APIError)
    assert 0 < count <= drain(kind(gpt))
    assert "upstream" in str(error).lower()


def test_an_anthropic_error_event_in_mid_stream_raises_with_its_type(claude: Anthropic) -> None:
    broken = anthropic_stream(claude, "error=4:overloaded_error", "msg=Too%20much")
    count, error = pieces_before_raising(broken, anthropic.APIStatusError)
    assert count > 0
    assert isinstance(error, anthropic.APIStatusError)
    assert error.body["error"]["type"] == "overloaded_error"  # type: ignore[index]
    assert "Too much" in str(error)


@pytest.mark.parametrize(("kind", "at"), [(chat_stream, 4), (completion_stream, 4)])
def test_an_openai_error_chunk_in_mid_stream_raises_as_it_was_sent(
    gpt: OpenAI, kind: Callable[..., Iterator[object]], at: int
) -> None:
    broken = kind(gpt, f"error={at}:server_error", "msg=Too%20much")
    count, error = pieces_before_raising(broken, openai.APIError)
    assert count > 0
    assert isinstance(error, openai.APIError)
    assert error.type == "server_error"
    assert "Too much" in str(error)


def test_a_failed_response_is_seen_by_whoever_reads_its_events(gpt: OpenAI) -> None:
    model = scripted(GPT, "error=7:server_error", "msg=Too%20much")
    with gpt.responses.create(model=model, input="ping", stream=True) as stream:
        kinds = [event.type for event in stream]
    assert "response.completed" not in kinds
    assert kinds[-1] in ("response.failed", "error")


@pytest.mark.parametrize("kind", OPENAI_STREAMS)
def test_a_stream_that_fails_before_its_first_content_is_an_ordinary_error(
    gpt: OpenAI, kind: Callable[..., Iterator[object]]
) -> None:
    with pytest.raises(openai.InternalServerError):
        drain(kind(gpt, "error-first=server_error"))


def test_an_overload_before_the_first_content_is_an_ordinary_529(claude: Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        drain(anthropic_stream(claude, "error-first=overloaded_error"))
    assert caught.value.status_code == 529


async def test_the_async_clients_raise_on_a_cut_stream(
    async_claude: AsyncAnthropic, async_gpt: AsyncOpenAI
) -> None:
    with pytest.raises(anthropic.APIStatusError):
        async with async_claude.messages.stream(
            model=scripted(CLAUDE, "cut=4"), max_tokens=64, messages=ASK
        ) as messages:
            await messages.get_final_message()
    with pytest.raises(openai.APIError):
        async with async_gpt.chat.completions.stream(model=scripted(GPT, "cut=4"), messages=ASK) as chat:
            await chat.get_final_completion()


def test_the_stream_helpers_return_no_half_message(claude: Anthropic, gpt: OpenAI) -> None:
    with (
        pytest.raises(anthropic.APIStatusError),
        claude.messages.stream(model=scripted(CLAUDE, "cut=4"), max_tokens=64, messages=ASK) as messages,
    ):
        messages.get_final_message()
    with (
        pytest.raises(openai.APIError),
        gpt.responses.stream(model=scripted(GPT, "cut=7"), input="ping") as responses,
    ):
        responses.get_final_response()
