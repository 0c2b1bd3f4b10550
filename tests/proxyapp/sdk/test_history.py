"""What the history says of requests that an SDK made."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic
from openai import OpenAI

from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, scripted
from tests.records import recorded


def row_of(patchbay: Patchbay, request_id: str) -> dict[str, Any]:
    """The history row of one request, once it is written."""
    recorded(patchbay, request_id, "id")
    [found] = [row for row in patchbay.history() if row["id"] == request_id]
    return found


def test_a_stream_that_the_sdk_leaves_at_its_terminal_event_was_a_whole_answer(
    patchbay: Patchbay, gpt: OpenAI
) -> None:
    model = scripted(GPT, "done-then-hang")  # the SDK closes at [DONE], before upstream ends its answer
    with gpt.chat.completions.create(model=model, messages=ASK, stream=True) as stream:
        chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "stop"
    row = row_of(patchbay, stream.response.headers["x-patchbay-request-id"])
    assert (row["outcome"], row["status"], row["stream"]) == ("ok", 200, True)


def test_a_stream_that_the_user_leaves_was_cancelled(patchbay: Patchbay, gpt: OpenAI) -> None:
    model = scripted(GPT, "endless", "gap=5ms")
    with gpt.chat.completions.create(model=model, messages=ASK, stream=True) as stream:
        next(stream)
    row = row_of(patchbay, stream.response.headers["x-patchbay-request-id"])
    assert row["outcome"] == "cancelled"


def test_a_message_is_billed_as_upstream_reported_it(patchbay: Patchbay, claude: Anthropic) -> None:
    model = scripted(CLAUDE, "cache=700:30:5", "think")
    with claude.messages.stream(model=model, max_tokens=256, messages=ASK) as stream:
        usage = stream.get_final_message().usage
    row = row_of(patchbay, stream.response.headers["x-patchbay-request-id"])
    assert row["usageSource"] == "reported"
    assert (row["cacheReadTokens"], row["cacheWriteTokens"]) == (700, 35)
    assert row["inputTokens"] == usage.input_tokens + 735
    assert row["outputTokens"] == usage.output_tokens
    assert (row["kind"], row["protocol"], row["lane"]) == ("messages", "anthropic", "direct")
