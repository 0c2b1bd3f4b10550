"""Whether an error says that the prompt is too long for the model. Wordings as data.

Rule: about the length of what was sent only. Errors about a rate (tokens a minute), about `max_tokens` alone or about
the size of the HTTP body name other things.
"""

from __future__ import annotations

import re

_STATUSES = frozenset((400, 413, 422, 500))  # 500: errors inside a stream, and older llama.cpp
_LONGEST = 16_384  # of the error's body
_CODES = re.compile(rb'"(context_length_exceeded|exceed_context_size_error|model_context_window_exceeded)"')
_WORDINGS = (
    rb"prompt is too long",  # Anthropic: "prompt is too long: 213462 tokens > 200000 maximum"
    rb"input length and `max_tokens` exceed context limit",  # Anthropic
    rb"input is too long for requested model",  # Bedrock
    rb"exceeds? the context window",  # OpenAI, Responses
    rb"maximum context length",  # OpenAI, OpenRouter, DeepSeek, vLLM, LiteLLM
    rb"context length is only \d+",  # vLLM since 0.16
    rb"longer than the maximum model length",  # vLLM
    rb"reduce the length of the (messages|input|prompt)",  # Groq, vLLM
    rb"input token count.{0,40} exceeds the maximum",  # Gemini
    rb"maximum prompt length is \d+",  # xAI
    rb"exceeds the available context size",  # llama.cpp
    rb"greater than the context length",  # LM Studio
    rb"(prompt|input) (is )?too (long|large) for (the |this )?(model|context)",  # Mistral and others
    rb"too large for model with \d+ maximum context length",  # Mistral
    rb"`?inputs`? tokens \+ `?max_new_tokens`? must be",  # Together, text-generation-inference
    rb"current length is \d+ while limit is \d+",  # Cerebras
    rb"prompt token count of \d+ exceeds the limit",  # GitHub Copilot
    rb"context window exceeds limit",  # MiniMax
    rb"exceeded model token limit",  # Moonshot
)
_ANY = re.compile(b"|".join(_WORDINGS), re.IGNORECASE | re.DOTALL)
_RATE = re.compile(rb"per (minute|day|hour)|\bTPM\b|rate.?limit", re.IGNORECASE)


def is_overflow(status: int, body: bytes) -> bool:
    """Whether this error, or the error in a stream under the status it stands for, says so."""
    if status not in _STATUSES:
        return False
    text = body[:_LONGEST]
    if _CODES.search(text):
        return True
    return _ANY.search(text) is not None and _RATE.search(text) is None
