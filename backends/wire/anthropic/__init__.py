"""Anthropic Messages."""

from __future__ import annotations

from backends.wire.anthropic.errors import client_error, parse_error
from backends.wire.anthropic.request_in import parse_request
from backends.wire.anthropic.request_out import build_request
from backends.wire.anthropic.response import build_response, parse_response
from backends.wire.anthropic.stream_in import StreamReader
from backends.wire.anthropic.stream_out import StreamWriter
from backends.wire.anthropic.tap import AnthropicTap

__all__ = [
    "AnthropicTap",
    "StreamReader",
    "StreamWriter",
    "build_request",
    "build_response",
    "client_error",
    "parse_error",
    "parse_request",
    "parse_response",
]
