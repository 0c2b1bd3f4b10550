"""One running Patchbay in front of one simulated provider, for every test that uses an official SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.desk import add_backends
from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import (
    UPSTREAM_KEY,
    anthropic_client,
    async_anthropic_client,
    async_openai_client,
    openai_client,
)
from tests.servers import SimulatorThread


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
        base = f"{sdk_upstream.url}/v1"
        add_backends(
            running,
            {"name": "openai", "base": base, "key": UPSTREAM_KEY},
            {"name": "anthropic", "base": sdk_upstream.url, "key": UPSTREAM_KEY},
            {"name": "local", "base": base, "protocol": "openai", "responses": False, "key": UPSTREAM_KEY},
        )
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
