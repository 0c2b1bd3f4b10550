"""Anthropic Messages."""

from __future__ import annotations

from backends.wire.anthropic.tap import AnthropicTap

__all__ = ["AnthropicTap"]
