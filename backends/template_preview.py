"""What a template would make of a request: for the admin's page. Nothing is sent, and nothing is kept."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from backends.presets import PRESETS
from backends.services import ServiceError
from backends.wire.kinds import Kind
from backends.wire.splice import BadBody, peek
from backends.wire.target import Target
from backends.wire.templates import NameClash, Template, apply

MAX_BODY = 1_000_000
_TIME = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
_ASKED = "What time is it in Oslo?"
_CALL = {"name": "get_time", "arguments": '{"city": "Oslo"}'}
_CLAUDE: dict[str, object] = {
    "model": "claude-sonnet-4-5",
    "system": [{"type": "text", "text": "You are helpful.", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "get_time", "description": "The time in a city.", "input_schema": _TIME}],
    "messages": [
        {"role": "user", "content": _ASKED},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {"city": "Oslo"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "14:05"}]},
    ],
}
_SAMPLES: dict[Kind, dict[str, object]] = {
    Kind.MESSAGES: {**_CLAUDE, "max_tokens": 1024, "temperature": 1, "stream": True},
    Kind.COUNT_TOKENS: _CLAUDE,
    Kind.CHAT: {
        "model": "gpt-4o",
        "temperature": 1,
        "stream": True,
        "tools": [
            {
                "type": "function",
                "function": {"name": "get_time", "description": "The time in a city.", "parameters": _TIME},
            }
        ],
        "messages": [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": _ASKED},
            {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": _CALL}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "14:05"},
        ],
    },
    Kind.RESPONSES: {
        "model": "gpt-5",
        "instructions": "You are helpful.",
        "stream": True,
        "tools": [{"type": "function", "name": "get_time", "parameters": _TIME, "strict": False}],
        "input": [
            {"role": "user", "content": _ASKED},
            {"type": "function_call", "call_id": "call_1", **_CALL},
            {"type": "function_call_output", "call_id": "call_1", "output": "14:05"},
        ],
    },
    Kind.EMBEDDINGS: {"model": "text-embedding-3-small", "input": _ASKED},
    Kind.COMPLETIONS: {"model": "llama3", "prompt": _ASKED, "max_tokens": 64},
}
_HEADERS: dict[Kind, list[tuple[bytes, bytes]]] = {
    kind: [(b"anthropic-beta", b"context-1m-2025-08-07")] for kind in (Kind.MESSAGES, Kind.COUNT_TOKENS)
}


@dataclass(frozen=True, slots=True)
class TemplatePreview:
    """`lines`: the difference, each with what it is: `+`, `-`, `@` or a space. `names`: upstream's → the client's."""

    lines: tuple[tuple[str, str], ...]
    mutations: tuple[str, ...]
    names: tuple[tuple[str, str], ...]


def sample(kind: Kind) -> str:
    """A small request of this kind: a system prompt, a tool, a call of it."""
    return json.dumps(_SAMPLES[kind], indent=2)


def preview(template: Template, kind: Kind, body: str, preset: str = "") -> TemplatePreview:
    """What a backend (a known provider, or any) would get for this body. Raises ServiceError."""
    data = body.encode("utf-8", "replace")
    try:
        model = peek(kind, data, model_required=False).model
        sent = _HEADERS.get(kind, [])
        applied = apply(template, kind, data, sent, Target(model or "", preset if preset in PRESETS else ""))
    except BadBody as exc:
        raise ServiceError(f"The request is not taken. {exc.message}") from exc
    except NameClash as exc:
        raise ServiceError(f"Such a request is refused with 400. {exc.message}") from exc
    before, after = _shown(data, sent), _shown(applied.body, applied.headers)
    names = tuple(sorted(applied.names.client.items())) if applied.names else ()
    return TemplatePreview(tuple(_difference(before, after)), applied.mutations, names)


def _shown(body: bytes, headers: list[tuple[bytes, bytes]]) -> list[str]:
    head = [f"{name.decode()}: {value.decode('latin-1')}" for name, value in headers]
    return [*head, *json.dumps(json.loads(body), indent=2, ensure_ascii=False).splitlines()]


def _difference(before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    for line in list(difflib.unified_diff(before, after, n=3, lineterm=""))[2:]:
        yield line[:1], line
