"""The protocols, their pairs, and what the tests of all of them need of each."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from backends.wire.conversation import Conversation
from backends.wire.target import Target
from tests.backends.wire import official

PACKAGES = {name: importlib.import_module(f"backends.wire.{name}") for name in official.NAMES}
PAIRS = [(client, backend) for client, backend in product(PACKAGES, PACKAGES) if client != backend]
TARGETS = {
    "anthropic": Target("claude-sonnet-4-5", "anthropic", 8192),
    "openai_chat": Target("gpt-4.1", "openai"),
    "openai_responses": Target("gpt-4.1", "openai"),
}
pairs = pytest.mark.parametrize(("client", "backend"), PAIRS, ids=lambda name: name)
every = pytest.mark.parametrize("protocol", PACKAGES)


def ask(protocol: str) -> Conversation:
    """A plain request of a client that wants to know everything."""
    bodies: dict[str, dict[str, Any]] = {
        "anthropic": {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
        "openai_chat": {"messages": [{"role": "user", "content": "Hi"}]},
        "openai_responses": {"input": "Hi"},
    }
    talk: Conversation = PACKAGES[protocol].parse_request(
        json.dumps({"model": "asked", **bodies[protocol]}).encode()
    )
    return replace(talk, include_usage=True)


def writer(protocol: str) -> Any:
    """One for a client that wants to know everything."""
    return PACKAGES[protocol].StreamWriter(ask(protocol), "abc123", 1_700_000_000)
