"""The official SDKs as judges: their types, strictly, and what their stream helpers put together."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParams
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter

from backends.wire.sse import SseReader

NAMES = ("anthropic", "openai_chat", "openai_responses")
_REQUESTS: dict[str, Any] = {
    "anthropic": MessageCreateParams,
    "openai_chat": CompletionCreateParams,
    "openai_responses": ResponseCreateParams,
}
_ANSWERS: dict[str, Any] = {
    "anthropic": anthropic.types.Message,
    "openai_chat": ChatCompletion,
    "openai_responses": Response,
}
_EVENTS: dict[str, Any] = {
    "anthropic": RawMessageStreamEvent,
    "openai_chat": ChatCompletionChunk,
    "openai_responses": ResponseStreamEvent,
}


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def check_request(protocol: str, body: bytes) -> dict[str, Any]:
    """The body, if the SDK's own caller could have sent it."""
    value: dict[str, Any] = json.loads(body)
    _exhaust(_adapter(_REQUESTS[protocol]).validate_python(value, strict=True))
    return value


def _exhaust(value: Any) -> None:
    """Go through all of it: pydantic checks the elements of an Iterable only when they are asked for."""
    if isinstance(value, dict):
        for inner in value.values():
            _exhaust(inner)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for inner in value:
            _exhaust(inner)


def check_answer(protocol: str, body: bytes) -> dict[str, Any]:
    """The body, if it is what the SDK's type says."""
    _adapter(_ANSWERS[protocol]).validate_json(body, strict=True)
    value: dict[str, Any] = json.loads(body)
    return value


def check_events(protocol: str, stream: bytes) -> list[dict[str, Any]]:
    """The events' data, if each is what the SDK's type says. The end marker of chat is not one of them."""
    found = []
    for event in SseReader().feed(stream):
        if event.data == b"[DONE]" or event.name == b"ping":
            continue
        value = json.loads(event.data)
        _adapter(_EVENTS[protocol]).validate_python(_known(value), strict=True)
        found.append(value)
    return found


def _known(event: dict[str, Any]) -> dict[str, Any]:
    """Without deltas of custom tool calls: the API sends them, but the SDK's type of a chunk has functions only."""
    for choice in event.get("choices") or ():
        calls = choice["delta"].get("tool_calls", ())
        if any("custom" in call for call in calls):
            functions = [call for call in calls if "custom" not in call]
            return event | {"choices": [choice | {"delta": choice["delta"] | {"tool_calls": functions}}]}
    return event


@contextmanager
def _http(stream: bytes) -> Iterator[httpx2.Client]:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        yield http


def assembled(protocol: str, stream: bytes) -> dict[str, Any]:
    """What the SDK's stream helper makes of the bytes. Raises its APIError for a stream that failed."""
    with _http(stream) as http:
        return _ASSEMBLERS[protocol](http)


def _message(http: httpx2.Client) -> dict[str, Any]:
    client = anthropic.Anthropic(api_key="k", http_client=http, max_retries=0)
    turns: list[anthropic.types.MessageParam] = [{"role": "user", "content": "x"}]
    with client.messages.stream(model="m", max_tokens=9, messages=turns) as stream:
        return stream.get_final_message().to_dict()


def _completion(http: httpx2.Client) -> dict[str, Any]:
    client = openai.OpenAI(api_key="k", http_client=http, max_retries=0)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
        # The helper tells by these that the answer is not a whole one; what came is in it all the same.
        with suppress(openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            state.handle_chunk(chunk)
    return state.current_completion_snapshot.to_dict()


def _response(http: httpx2.Client) -> dict[str, Any]:
    client = openai.OpenAI(api_key="k", http_client=http, max_retries=0)
    last: Any = None
    with client.responses.stream(model="m", input="x") as stream:
        for event in stream:
            last = event
    assert last.type in {"response.completed", "response.incomplete", "response.failed"}, last
    final: dict[str, Any] = last.response.to_dict()
    return final


_ASSEMBLERS: dict[str, Callable[[httpx2.Client], dict[str, Any]]] = {
    "anthropic": _message,
    "openai_chat": _completion,
    "openai_responses": _response,
}
