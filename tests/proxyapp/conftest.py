"""One running Patchbay and one simulated provider for all tests of the request path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

PONG = "pong"


@dataclass
class Lab:
    """A Patchbay with backends `openai` (two accounts), `anthropic` and `solo` (one account each) on one simulator."""

    patchbay: Patchbay
    upstream: SimulatorThread

    def chat(self, model: str = "gpt-4o", **fields: object) -> dict[str, object]:
        """A chat request body."""
        return {"model": model, "messages": [{"role": "user", "content": "ping"}], **fields}

    def messages(self, model: str = "claude-opus-4-8", **fields: object) -> dict[str, object]:
        """A messages request body."""
        return {
            "model": model,
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "ping"}],
            **fields,
        }


@pytest.fixture(scope="session")
def lab_servers() -> Iterator[Lab]:
    with SimulatorThread() as upstream, Patchbay() as patchbay:
        for name, base in (
            ("openai", f"{upstream.url}/v1"),
            ("anthropic", upstream.url),
            ("solo", f"{upstream.url}/v1"),
        ):
            patchbay.manage(
                "backend", "add", name, "--base-url", base, "--key-stdin", stdin=f"sk-real-key-of-{name}-1\n"
            )
        patchbay.manage(
            "accounts",
            "add",
            "openai-2",
            "--backend",
            "openai",
            "--key-stdin",
            stdin="sk-real-key-of-openai-2\n",
        )
        patchbay.manage("routes", "add", "fast", "openai:gpt-4o-mini")
        patchbay.manage("routes", "add", "chain", "solo:first", "openai:second")
        yield Lab(patchbay, upstream)


@pytest.fixture
def lab(lab_servers: Lab) -> Lab:
    """The servers, with an empty journal and no script left over."""
    lab_servers.upstream.reset()
    return lab_servers
