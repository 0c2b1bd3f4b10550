"""A client that leaves, with its SDK's own means: the upstream request is closed, whatever it was doing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from backends.simulator import Entry
from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import (
    ASK,
    CLAUDE,
    GPT,
    async_anthropic_client,
    async_openai_client,
    scripted,
)
from tests.servers import SimulatorThread

CLOSED_SECONDS = 5.0
"""The promise is a quarter of a second; this leaves a busy machine plenty."""


def wait_until_left(upstream: SimulatorThread) -> Entry:
    """The upstream request, once Patchbay has closed it before its answer was complete."""
    return upstream.wait_for(
        lambda entry: entry.method == "POST" and entry.closed_by == "peer" and not entry.completed,
        timeout=CLOSED_SECONDS,
    )


def test_closing_an_anthropic_stream_closes_the_upstream(
    claude: Anthropic, upstream: SimulatorThread
) -> None:
    model = scripted(CLAUDE, "endless", "gap=5ms")
    with claude.messages.stream(model=model, max_tokens=64, messages=ASK) as stream:
        pieces = [next(stream.text_stream) for _ in range(3)]
    entry = wait_until_left(upstream)
    assert len(pieces) == 3
    assert entry.client_gone_at is not None


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_closing_an_openai_stream_closes_the_upstream(
    gpt: OpenAI, upstream: SimulatorThread, kind: str
) -> None:
    model = scripted(GPT, "endless", "gap=5ms")
    stream: Any = (
        gpt.chat.completions.create(model=model, messages=ASK, stream=True)
        if kind == "chat"
        else gpt.responses.create(model=model, input="ping", stream=True)
    )
    with stream:
        for _ in range(6):
            next(stream)
    assert wait_until_left(upstream).client_gone_at is not None


def test_a_stream_that_stalls_can_be_left_too(gpt: OpenAI, upstream: SimulatorThread) -> None:
    with gpt.chat.completions.create(model=scripted(GPT, "stall=4"), messages=ASK, stream=True) as stream:
        next(stream)
    wait_until_left(upstream)


def ask_claude(client: AsyncAnthropic, *, stream: bool, word: str) -> Awaitable[object]:
    return client.messages.create(model=scripted(CLAUDE, word), max_tokens=64, messages=ASK, stream=stream)


def ask_gpt(client: AsyncOpenAI, *, stream: bool, word: str) -> Awaitable[object]:
    return client.chat.completions.create(model=scripted(GPT, word), messages=ASK, stream=stream)


@pytest.mark.parametrize("word", ["hang", "ttfb=60s", "stall=0"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("make", "ask"),
    [(async_anthropic_client, ask_claude), (async_openai_client, ask_gpt)],
    ids=["anthropic", "openai"],
)
async def test_leaving_before_the_first_byte_closes_the_upstream(
    patchbay: Patchbay,
    upstream: SimulatorThread,
    make: Callable[[Patchbay], Any],
    ask: Callable[..., Awaitable[object]],
    stream: bool,
    word: str,
) -> None:
    async with make(patchbay) as client:
        waiting = asyncio.ensure_future(ask(client, stream=stream, word=word))
        await asyncio.to_thread(upstream.wait_for, lambda entry: entry.model.endswith(word) or entry.body_at)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        entry = await asyncio.to_thread(wait_until_left, upstream)
    assert len(upstream.journal.of(path=entry.path)) == 1  # a client that left is no reason to try again


async def test_leaving_one_request_disturbs_no_other(patchbay: Patchbay, upstream: SimulatorThread) -> None:
    async with async_openai_client(patchbay) as client:
        leaver = await client.chat.completions.create(
            model=scripted(GPT, "endless", "gap=5ms"), messages=ASK, stream=True
        )
        stayer = await client.chat.completions.create(
            model=scripted(GPT, "events=60", "gap=5ms"), messages=ASK, stream=True
        )
        await anext(leaver)
        await leaver.close()
        chunks = [chunk async for chunk in stayer]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(chunks) == 62
    await asyncio.to_thread(wait_until_left, upstream)
