"""OpenAI Responses."""

from __future__ import annotations

from backends.wire.openai_responses.tap import ResponsesTap

__all__ = ["ResponsesTap"]
