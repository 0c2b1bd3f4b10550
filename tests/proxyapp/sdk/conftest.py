"""One running Patchbay in front of one simulated provider, for every test that uses an official SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import (
    UPSTREAM_KEY,
    anthropic_client,
    async_anthropic_client,
    async_openai_client,
    eventually,
    openai_client,
)
from tests.servers import SimulatorThread


def add_backend(patchbay: Patchbay, name: str, base_url: str, *words: str, key: str = UPSTREAM_KEY) -> None:
    """Add a backend by the command that users run, and wait until the running server counts it."""
    before = patchbay.get("/health").json()["backends"]
    patchbay.manage("backend", "add", name, "--base-url", base_url, *words, "--key-stdin", stdin=f"{key}\n")
    eventually(lambda: patchbay.get("/health").json()["backends"] > before)


@pytest.fixture(scope="session")
def sdk_upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def patchbay(sdk_upstream: SimulatorThread) -> Iterator[Patchbay]:
    """A Patchbay with the backends `openai`, `anthropic`, and `local`, which speaks chat but not responses.

    Tests that spoil an account need one of their own.
    """
    with Patchbay() as running:
        add_backend(running, "openai", f"{sdk_upstream.url}/v1")
        add_backend(running, "anthropic", sdk_upstream.url)
        add_backend(running, "local", f"{sdk_upstream.url}/v1", "--responses", "no")
        yield running


@pytest.fixture
def upstream(sdk_upstream: SimulatorThread) -> SimulatorThread:
    """The simulator, with an empty journal and no script left over."""
    sdk_upstream.reset()
    return sdk_upstream


@pytest.fixture
def claude(patchbay: Patchbay, upstream: SimulatorThread) -> Iterator[Anthropic]:
    with anthropic_client(patchbay) as client:
        yield client


@pytest.fixture
async def async_claude(patchbay: Patchbay, upstream: SimulatorThread) -> AsyncIterator[AsyncAnthropic]:
    async with async_anthropic_client(patchbay) as client:
        yield client


@pytest.fixture
def gpt(patchbay: Patchbay, upstream: SimulatorThread) -> Iterator[OpenAI]:
    with openai_client(patchbay) as client:
        yield client


@pytest.fixture
async def async_gpt(patchbay: Patchbay, upstream: SimulatorThread) -> AsyncIterator[AsyncOpenAI]:
    async with async_openai_client(patchbay) as client:
        yield client
