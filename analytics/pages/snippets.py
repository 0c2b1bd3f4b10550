"""A request as something to paste into a terminal or an editor. Pure, and without any secret.

The key is `$PATCHBAY_API_KEY`, whatever the request came with; the address is Patchbay's own.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.wire.kinds import Kind, Protocol

VARIABLE = "PATCHBAY_API_KEY"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snippet:
    """One way to send it again."""

    name: str
    text: str


def snippets(kind: Kind, base_url: str, body: Mapping[str, Any]) -> list[Snippet]:
    """The request for curl, and for the SDK of its protocol in Python. `base_url` is without a version."""
    return [
        Snippet("curl", as_curl(kind, base_url, body)),
        Snippet("Python", as_python(kind, base_url, body)),
    ]


def skeleton(kind: Kind, model: str, *, stream: bool) -> Json:
    """The least that a request of this kind says, where its body was not kept."""
    body: Json = {"model": model or "MODEL"}
    message = [{"role": "user", "content": "…"}]
    if kind in (Kind.MESSAGES, Kind.COUNT_TOKENS):
        body |= {"max_tokens": 1024} if kind is Kind.MESSAGES else {}
        body["messages"] = message
    elif kind is Kind.CHAT:
        body["messages"] = message
    elif kind is Kind.COMPLETIONS:
        body["prompt"] = "…"
    else:
        body["input"] = "…"
    return body | ({"stream": True} if stream else {})


def as_curl(kind: Kind, base_url: str, body: Mapping[str, Any]) -> str:
    """For a POSIX shell. A body of any content is one quoted word."""
    text = json.dumps(body, ensure_ascii=False, indent=2)
    lines = [
        f"curl {'-N ' if body.get('stream') else ''}{shlex.quote(f'{base_url}/v1{kind.path}')}",
        '-H "Authorization: Bearer $' + VARIABLE + '"',
        "-H 'content-type: application/json'",
        *(["-H 'anthropic-version: 2023-06-01'"] if kind.protocol is Protocol.ANTHROPIC else []),
        f"-d {shlex.quote(_visible(text))}",
    ]
    return " \\\n  ".join(lines)


_CALLS = {
    Kind.MESSAGES: "messages.create",
    Kind.COUNT_TOKENS: "messages.count_tokens",
    Kind.CHAT: "chat.completions.create",
    Kind.RESPONSES: "responses.create",
    Kind.EMBEDDINGS: "embeddings.create",
    Kind.COMPLETIONS: "completions.create",
}


_PARAMETERS = frozenset(
    (
        *(
            "model",
            "messages",
            "input",
            "prompt",
            "system",
            "instructions",
            "max_tokens",
            "temperature",
            "top_p",
        ),
        *("stream", "stream_options", "tools", "tool_choice", "metadata", "stop"),
    )
)


def as_python(kind: Kind, base_url: str, body: Mapping[str, Any]) -> str:
    """For the official SDK. What not every version of it has a parameter for goes into `extra_body`."""
    is_anthropic = kind.protocol is Protocol.ANTHROPIC
    package, client = ("anthropic", "Anthropic") if is_anthropic else ("openai", "OpenAI")
    base = base_url if is_anthropic else f"{base_url}/v1"
    named = {name: value for name, value in body.items() if name in _PARAMETERS}
    others = {name: value for name, value in body.items() if name not in _PARAMETERS}
    arguments = [f"    {name}={_literal(value)}," for name, value in named.items()]
    if others:
        arguments.append(f"    extra_body={_literal(others)},")
    shown = ["for event in answer:", "    print(event)"] if body.get("stream") else ["print(answer)"]
    return "\n".join(
        [
            "import os",
            "",
            f"import {package}",
            "",
            f'client = {package}.{client}(base_url={base!r}, api_key=os.environ["{VARIABLE}"])',
            f"answer = client.{_CALLS[kind]}(",
            *arguments,
            ")",
            *shown,
        ]
    )


def _literal(value: object) -> str:
    """A Python literal of JSON data, over several lines where it is long."""
    text = ascii(value) if not _is_plain(value) else repr(value)
    if len(text) <= 80 or not isinstance(value, dict | list) or not value:
        return text
    pairs = (
        [f"{_literal(name)}: {_literal(part)}" for name, part in value.items()]
        if isinstance(value, dict)
        else [_literal(part) for part in value]
    )
    inner = "".join(f"\n{part},".replace("\n", "\n    ") for part in pairs)
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return f"{opened}{inner}\n{closed}"


def _is_plain(value: object) -> bool:
    """Whether all of it can be read: no control characters, nothing that turns the direction of writing."""
    return all(char.isprintable() for char in repr(value))


def _visible(text: str) -> str:
    """JSON whose odd characters are escapes, so that pasting it does what it looks like."""
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in text)


def _escape(char: str) -> str:
    return json.dumps(char)[1:-1]
