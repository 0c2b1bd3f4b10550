"""Errors that say the prompt is too long, as providers word them, and errors that say something else."""

from __future__ import annotations

import msgspec
import pytest

from backends.wire.overflow import is_overflow


def error(message: str, **fields: object) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": "invalid_request_error", **fields}})


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "prompt is too long: 213462 tokens > 200000 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"),
        (
            400,
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens.",
        ),
        (400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
        (
            400,
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 200000 tokens",
        ),
        (400, "Please reduce the length of the messages or completion."),
        (400, "You passed 1015 input tokens. However, the model's context length is only 1024 tokens"),
        (400, "the request exceeds the available context size, try increasing it"),
        (400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."),
        (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
        (400, "The number of tokens to keep from the initial prompt is greater than the context length."),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193."),
        (
            400,
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        ),
        (413, "prompt is too long"),
        (500, "the request exceeds the available context size"),
    ],
)
def test_what_providers_say_of_a_prompt_that_is_too_long(status: int, message: str) -> None:
    assert is_overflow(status, error(message))


def test_a_code_is_enough() -> None:
    assert is_overflow(400, error("No.", code="context_length_exceeded"))
    assert is_overflow(400, b'{"error":{"type":"exceed_context_size_error","n_ctx":4096}}')


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens"),
        (400, "messages: at least one message is required"),
        (400, "Unsupported parameter: 'temperature' is not supported with this model."),
        (
            413,
            "Request too large for model in organization on tokens per minute (TPM): Limit 6000, Requested 7000",
        ),
        (413, "Request entity too large"),
        (429, "prompt is too long"),
        (400, "Please reduce the length of the messages: rate limit of tokens per minute reached"),
        (400, ""),
    ],
)
def test_what_says_something_else(status: int, message: str) -> None:
    assert not is_overflow(status, error(message))
