"""Estimated token counts: never zero, growing with what is sent, images counted apart."""

from __future__ import annotations

from backends.wire.conversation import Conversation, Media, Text, Tool, ToolCall, ToolResult, Turn
from backends.wire.estimate import TOKENS_PER_MEDIA, count_characters, count_media, estimate_tokens


def talk(*blocks: object, system: str = "", tools: list[Tool] | None = None) -> Conversation:
    turn = Turn("user", list(blocks))  # type: ignore[arg-type]
    return Conversation("m", [turn], system=[Text(system)] if system else [], tools=list(tools or []))


def test_text_counts_by_its_length() -> None:
    assert 25 <= estimate_tokens(talk(Text("x" * 100))) <= 40


def test_an_empty_request_has_at_least_one_token() -> None:
    assert estimate_tokens(Conversation("m", [])) >= 1


def test_system_and_tools_count() -> None:
    bare = estimate_tokens(talk(Text("x")))
    tool = Tool("read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
    assert estimate_tokens(talk(Text("x"), system="s" * 400)) > bare + 80
    assert estimate_tokens(talk(Text("x"), tools=[tool])) > bare + 10


def test_an_image_counts_as_an_image_not_as_its_base64() -> None:
    image = Media("image", "image/png", data="A" * 1_000_000)
    counted = estimate_tokens(talk(image))
    assert TOKENS_PER_MEDIA <= counted < TOKENS_PER_MEDIA + 50


def test_tool_calls_and_results_count_with_what_is_inside() -> None:
    result = ToolResult("c", [Text("y" * 30), Media("image", url="https://x/y.png")])
    conversation = talk(ToolCall("c", "read", "z" * 20), result)
    assert count_characters(conversation) == 4 + 20 + 30
    assert count_media(conversation) == 1


def test_calibration_changes_the_count() -> None:
    conversation = talk(Text("x" * 1000))
    assert estimate_tokens(conversation, 2.0) > estimate_tokens(conversation, 4.0)
