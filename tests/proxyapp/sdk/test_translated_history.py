"""What the history says of translated requests: the lane, and the tokens exactly as upstream reported them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, scripted
from tests.proxyapp.sdk.translated import LOCAL
from tests.records import recorded
from tests.servers import SimulatorThread

CACHED = ("think", "cache=700:30")


def billed(upstream: SimulatorThread) -> tuple[int, int]:
    """Input tokens, cached ones included, and output tokens that the simulator reported."""
    entry = upstream.wait_for(lambda entry: entry.method == "POST" and entry.done)
    assert entry.usage is not None
    if "prompt_tokens" in entry.usage:
        return entry.usage["prompt_tokens"], entry.usage["completion_tokens"]
    return entry.usage["input_tokens"] + 730, entry.usage["output_tokens"]


@pytest.fixture(scope="module")
def desk(patchbay: Patchbay) -> Iterator[Desk]:
    """Reads the rows as `history --json` shows them."""
    with Desk(patchbay) as made:
        yield made


def row_of(desk: Desk, request_id: str) -> dict[str, Any]:
    recorded(desk.patchbay, request_id, "id")
    [[row]] = desk.do({"do": "rows", "id": request_id})
    return dict(row)


def assert_row(desk: Desk, upstream: SimulatorThread, request_id: str, kind: str) -> None:
    row = row_of(desk, request_id)
    assert (row["kind"], row["lane"], row["outcome"], row["attempts"]) == (kind, "translated", "ok", 1)
    assert row["usageSource"] == "reported"
    assert (row["inputTokens"], row["outputTokens"]) == billed(upstream)
    assert (row["cacheReadTokens"], row["cacheWriteTokens"]) == (700, 30)
    assert row["reasoningTokens"] > 0


@pytest.mark.parametrize("streamed", [False, True])
def test_messages_over_chat(desk: Desk, claude: Anthropic, upstream: SimulatorThread, streamed: bool) -> None:
    model = scripted(GPT, *CACHED)
    if streamed:
        with claude.messages.stream(model=model, max_tokens=256, messages=ASK) as stream:
            usage = stream.get_final_message().usage
        headers = stream.response.headers
    else:
        raw = claude.messages.with_raw_response.create(model=model, max_tokens=256, messages=ASK)
        usage, headers = raw.parse().usage, raw.headers
    total, output = billed(upstream)
    assert (usage.input_tokens, usage.output_tokens) == (total - 730, output)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (700, 30)
    assert_row(desk, upstream, headers["x-patchbay-request-id"], "messages")


@pytest.mark.parametrize("streamed", [False, True])
def test_chat_over_messages(desk: Desk, gpt: OpenAI, upstream: SimulatorThread, streamed: bool) -> None:
    model = scripted(CLAUDE, *CACHED)
    if streamed:  # the client does not ask for usage, the history has it all the same
        with gpt.chat.completions.create(model=model, messages=ASK, stream=True) as stream:
            assert all(chunk.usage is None for chunk in stream)
        headers = stream.response.headers
    else:
        raw = gpt.chat.completions.with_raw_response.create(model=model, messages=ASK)
        usage, headers = raw.parse().usage, raw.headers
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == billed(upstream)
        assert usage.prompt_tokens_details is not None
        assert usage.prompt_tokens_details.cached_tokens == 700
    assert_row(desk, upstream, headers["x-patchbay-request-id"], "chat")


@pytest.mark.parametrize("model", [CLAUDE, LOCAL])
@pytest.mark.parametrize("streamed", [False, True])
def test_responses_over_both(
    desk: Desk, gpt: OpenAI, upstream: SimulatorThread, model: str, streamed: bool
) -> None:
    raw = gpt.responses.with_raw_response.create(
        model=scripted(model, *CACHED), input="ping", stream=streamed
    )
    if streamed:
        last = list(raw.parse())[-1]
        assert last.type == "response.completed"
        response = last.response
    else:
        response = raw.parse()
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == billed(upstream)
    assert response.usage.input_tokens_details.cached_tokens == 700
    assert_row(desk, upstream, raw.headers["x-patchbay-request-id"], "responses")


def test_an_estimated_count_is_in_the_history_without_tokens(desk: Desk, claude: Anthropic) -> None:
    raw = claude.messages.with_raw_response.count_tokens(model=GPT, messages=ASK)
    row = row_of(desk, raw.headers["x-patchbay-request-id"])
    assert (row["kind"], row["outcome"], row["status"], row["attempts"]) == ("count_tokens", "ok", 200, 0)
    assert (row["inputTokens"], row["outputTokens"]) in ((None, None), (0, 0))
