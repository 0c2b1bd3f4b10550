"""OpenAI Chat Completions, and the older Completions."""

from __future__ import annotations

from backends.wire.openai_chat.tap import ChatTap

__all__ = ["ChatTap"]
