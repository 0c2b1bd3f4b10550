"""One running Patchbay and one simulated provider for all tests of the request path."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.pools import Pools
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
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_QUEUE_SECONDS": "0"}) as patchbay,
        Desk(patchbay) as desk,
    ):
        bases = {"openai": f"{upstream.url}/v1", "anthropic": upstream.url, "solo": f"{upstream.url}/v1"}
        keys = {**{name: f"sk-real-key-of-{name}-1" for name in bases}, "openai-2": "sk-real-key-of-openai-2"}
        desk.do(
            *({"do": "backend", "name": name, "base": base} for name, base in bases.items()),
            *(
                {
                    "do": "account",
                    "alias": alias,
                    "backend": alias.removesuffix("-2"),
                    "credential": {"key": key},
                }
                for alias, key in keys.items()
            ),
            {"do": "route", "pattern": "fast", "targets": ["openai:gpt-4o-mini"]},
            {"do": "route", "pattern": "chain", "targets": ["solo:first", "openai:second"]},
        )
        desk.settle()
        yield Lab(patchbay, upstream)


@pytest.fixture
def lab(lab_servers: Lab) -> Iterator[Lab]:
    """The servers, with an empty journal, no script left over and every account in rotation.

    After a test that met faults, what they taught the pool is made void, as `accounts resume` does.
    """
    lab_servers.upstream.reset()
    yield lab_servers
    if any(entry.script not in {"", "ok"} for entry in lab_servers.upstream.journal.entries):
        lab_servers.patchbay.resume_all()


QUEUE_SECONDS = 3.0


@pytest.fixture(scope="session")
def pools() -> Iterator[Pools]:
    """One Patchbay and one simulated provider for all tests of the pool; each makes a backend of its own."""
    settings = {
        "PATCHBAY_QUEUE_SECONDS": f"{QUEUE_SECONDS:g}",
        "PATCHBAY_UPSTREAM_TIMEOUTS": "connect=1,first_byte=1.5,first_byte_plain=2,idle=1.5",
    }
    with (
        SimulatorThread() as upstream,
        Patchbay(settings) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(64) as threads,
    ):
        yield Pools(patchbay, upstream, desk, threads)
