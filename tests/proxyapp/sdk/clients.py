"""The official SDKs, pointed at a running Patchbay; the requests that many tests send; scripted models."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.patchbay import Patchbay

CLAUDE = "claude-opus-4-8"
GPT = "gpt-4o"
ANY_KEY = "any-text-will-do"
UPSTREAM_KEY = "sk-upstream-key-of-the-operator"
ASK: list[Any] = [{"role": "user", "content": "ping"}]

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOCK = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}


def anthropic_client(patchbay: Patchbay, **options: Any) -> Anthropic:
    """A client as a user makes it. No retries of its own, so that each test sees the first answer."""
    return Anthropic(base_url=patchbay.url, **{"api_key": ANY_KEY, "max_retries": 0, **options})


def async_anthropic_client(patchbay: Patchbay, **options: Any) -> AsyncAnthropic:
    """The same for asyncio."""
    return AsyncAnthropic(base_url=patchbay.url, **{"api_key": ANY_KEY, "max_retries": 0, **options})


def openai_client(patchbay: Patchbay, **options: Any) -> OpenAI:
    """A client as a user makes it. No retries of its own, so that each test sees the first answer."""
    return OpenAI(base_url=f"{patchbay.url}/v1", **{"api_key": ANY_KEY, "max_retries": 0, **options})


def async_openai_client(patchbay: Patchbay, **options: Any) -> AsyncOpenAI:
    """The same for asyncio."""
    return AsyncOpenAI(base_url=f"{patchbay.url}/v1", **{"api_key": ANY_KEY, "max_retries": 0, **options})


def anthropic_tools() -> list[Any]:
    """Two tools in the words of the Messages API."""
    return [
        {"name": "get_weather", "description": "Weather of a city.", "input_schema": WEATHER},
        {"name": "get_time", "description": "Time in a zone.", "input_schema": CLOCK},
    ]


def chat_tools() -> list[Any]:
    """The same two tools in the words of Chat Completions."""
    return [
        {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
        {"type": "function", "function": {"name": "get_time", "parameters": CLOCK}},
    ]


def responses_tools() -> list[Any]:
    """The same two tools in the words of Responses."""
    return [
        {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False},
        {"type": "function", "name": "get_time", "parameters": CLOCK, "strict": False},
    ]


def scripted(model: str, *words: str) -> Any:
    """A model name that steers the simulator: `gpt-4o+status=500`."""
    return f"{model}+{','.join(words)}" if words else model


def eventually(holds: Callable[[], bool], *, within: float = 10.0) -> None:
    """Return once `holds()` is true, looked at every few milliseconds; fails the test after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"it did not come true within {within} s"
        time.sleep(0.02)
