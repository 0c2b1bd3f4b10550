"""One prompt through the whole path: over HTTP to the running server, as any tool would send it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backends.addresses import check_base_url
from backends.errors import ConnectFailed, UpstreamError
from backends.upstream import Deadlines, UpstreamResponse, current_upstream
from backends.wire.kinds import Kind
from backends.wire.sse import SseReader, SseTooLong

MAX_ANSWER = 64 * 2**20
DIALECTS = {"anthropic": Kind.MESSAGES, "openai": Kind.CHAT, "responses": Kind.RESPONSES}


class AskError(Exception):
    """The question was not answered. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask. `dialect` is a key of DIALECTS, `url` is the server's base URL without a version."""

    text: str
    model: str
    dialect: str
    url: str
    stream: bool = True
    key: str = field(default="", repr=False)

    def body(self) -> bytes:
        """The request in its dialect."""
        shape: dict[str, Any] = {"model": self.model, "stream": self.stream}
        if self.dialect == "responses":
            shape["input"] = self.text
        else:
            shape["messages"] = [{"role": "user", "content": self.text}]
        if self.dialect == "anthropic":
            shape["max_tokens"] = 1024
        return json.dumps(shape).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """With the client key, if there is one."""
        headers = [(b"content-type", b"application/json"), (b"user-agent", b"patchbay-ask")]
        if self.dialect == "anthropic":
            headers.append((b"anthropic-version", b"2023-06-01"))
        return [*headers, (b"x-patchbay-key", self.key.encode())] if self.key else headers


@dataclass
class Reply:
    """What came back. `facts` are the `x-patchbay-…` headers without that prefix."""

    text: str
    facts: dict[str, str]
    milliseconds: int

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        named = {name: self.facts.get(name) for name in ("backend", "account", "model", "lane", "fallback")}
        return {
            "text": self.text,
            **named,
            "attempts": int(self.facts.get("attempts", "0")),
            "requestId": self.facts.get("request-id"),
            "durationMs": self.milliseconds,
        }

    def line(self) -> str:
        """Who answered, in one line."""
        facts = self.facts
        parts = [
            f"{facts.get('backend', '?')}/{facts.get('account', '?')}",
            facts.get("model", ""),
            f"{facts['lane']} lane" if "lane" in facts else "",
            f"{self.milliseconds} ms",
            facts.get("request-id", ""),
        ]
        return " · ".join(part for part in parts if part)


async def ask(question: Question, show: Callable[[str], None]) -> Reply:
    """Send the question; `show` gets each piece of text as it comes. Raises AskError."""
    began = time.monotonic()
    try:
        response = await _send(question)
        try:
            text = await _read(question, response, show)
        finally:
            response.close()
    except ConnectFailed as exc:
        raise AskError(
            f"Patchbay is not running at {question.url}. Start it with: python manage.py runproxy"
        ) from exc
    except (UpstreamError, SseTooLong) as exc:
        raise AskError(f"The answer broke off: {exc}") from exc
    facts = {
        name.decode().removeprefix("x-patchbay-"): value.decode("latin-1") for name, value in response.headers
    }
    return Reply(text, facts, round((time.monotonic() - began) * 1000))


async def _send(question: Question) -> UpstreamResponse:
    return await current_upstream().send(
        method="POST",
        base=check_base_url(question.url),
        path=f"/v1{DIALECTS[question.dialect].path}",
        query=b"",
        headers=question.headers(),
        body=question.body(),
        deadlines=Deadlines(connect=5, first_byte=900, idle=900),
    )


async def _read(question: Question, response: UpstreamResponse, show: Callable[[str], None]) -> str:
    if response.status != 200:
        raise AskError(_why(response.status, await response.read(MAX_ANSWER)))
    if not question.stream:
        text = _text_of(_decoded(await response.read(MAX_ANSWER)))
        show(text)
        return text
    pieces: list[str] = []
    reader = SseReader()
    async for chunk in response:
        for event in reader.feed(chunk):
            if event.data != b"[DONE]" and (piece := _piece_of(_decoded(event.data))):
                show(piece)
                pieces.append(piece)
    return "".join(pieces)


def _piece_of(event: dict[str, Any]) -> str:
    """The text in one stream event of any dialect. Raises AskError for an error event."""
    if error := event.get("error"):
        raise AskError(f"The stream ended with an error: {_message(error)}")
    kind = event.get("type")
    if kind in ("response.failed", "error"):
        failure = event.get("response", event)
        raise AskError(f"The stream ended with an error: {_message(failure.get('error') or failure)}")
    if kind == "response.output_text.delta":
        return str(event.get("delta", ""))
    if kind == "content_block_delta":
        return str(event.get("delta", {}).get("text", ""))
    return "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))


def _text_of(answer: dict[str, Any]) -> str:
    """The text of a whole answer in any dialect."""
    if "choices" in answer:
        return "".join(choice.get("message", {}).get("content") or "" for choice in answer["choices"])
    blocks = list(answer.get("content", ()))
    for item in answer.get("output", ()):
        blocks.extend(item.get("content", ()))
    return "".join(block.get("text", "") for block in blocks)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError as exc:
        raise AskError("The answer is not JSON. Is this URL really Patchbay's?") from exc
    return answer if isinstance(answer, dict) else {}


def _why(status: int, body: bytes) -> str:
    try:
        error = json.loads(body).get("error")
    except (ValueError, AttributeError):
        error = None
    return f"HTTP {status}: {_message(error) if error else body[:200].decode('utf-8', 'replace')}"


def _message(error: object) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)
