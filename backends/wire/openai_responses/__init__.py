"""OpenAI Responses."""

from __future__ import annotations

from backends.wire.openai_responses.errors_in import parse_error
from backends.wire.openai_responses.history import history_of, resolve, turns_of, with_history
from backends.wire.openai_responses.reader import StreamReader
from backends.wire.openai_responses.request_in import parse_request
from backends.wire.openai_responses.request_out import build_request
from backends.wire.openai_responses.response_in import parse_response
from backends.wire.openai_responses.response_out import build_response
from backends.wire.openai_responses.sealed import without_sealed
from backends.wire.openai_responses.tap import ResponsesTap
from backends.wire.openai_responses.writer import StreamWriter

__all__ = [
    "ResponsesTap",
    "StreamReader",
    "StreamWriter",
    "build_request",
    "build_response",
    "history_of",
    "parse_error",
    "parse_request",
    "parse_response",
    "resolve",
    "turns_of",
    "with_history",
    "without_sealed",
]
