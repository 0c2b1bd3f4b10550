"""The official JavaScript SDKs through a running Patchbay: one Node script for each group of scenarios."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.simulator import Entry
from tests.patchbay import Patchbay
from tests.proxyapp.sdk import node
from tests.proxyapp.sdk.clients import CLAUDE, GPT
from tests.servers import SimulatorThread

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(bool(node.missing()), reason=node.missing() or "it can run"),
]
TOLD = ("request-id", "backend", "account", "model", "lane", "attempts", "overhead-ms")


@pytest.fixture
def run(patchbay: Patchbay, upstream: SimulatorThread) -> Callable[[str], dict[str, Any]]:
    """Runs one script against the running Patchbay; gives what it said, by name."""
    return lambda script: node.run(script, patchbay)


def texts(content: list[dict[str, Any]]) -> str:
    """All text of an Anthropic message's content."""
    return "".join(block["text"] for block in content if block["type"] == "text")


def test_messages(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("messages.mjs")
    plain, final = said["plain"], said["final"]
    assert texts(plain["content"]).endswith("You said: ping")
    assert texts(final["content"]) == texts(plain["content"]) == said["streamed"]
    assert final["stop_reason"] == "end_turn"
    assert final["usage"]["output_tokens"] == plain["usage"]["output_tokens"] > 0
    assert said["events"][0] == "message_start"
    assert said["events"][-2:] == ["message_delta", "message_stop"]
    assert said["counted"]["input_tokens"] > 0
    assert all(said["headers"][f"x-patchbay-{name}"] for name in TOLD)


def test_messages_with_tools(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("messages.mjs")
    (forced,) = said["forced"]
    assert (forced["name"], list(forced["input"])) == ("get_time", ["zone"])
    thinking, *calls = said["parallel"]
    assert thinking["signature"]
    assert [(call["name"], list(call["input"])) for call in calls] == [
        ("get_weather", ["city"]),
        ("get_time", ["zone"]),
    ]


def test_chat_completions(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("chat.mjs")
    plain, chunks = said["plain"], said["chunks"]
    text = plain["choices"][0]["message"]["content"]
    assert text.endswith("You said: ping")
    assert said["final"]["choices"][0]["message"]["content"] == text
    assert "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"]) == text
    assert chunks[-1]["usage"] == plain["usage"]
    assert said["completion"] == said["completion streamed"] != ""
    assert all(said["headers"][f"x-patchbay-{name}"] for name in TOLD)
    for choice, names in ((said["forced"], ["get_time"]), (said["parallel"], ["get_weather", "get_time"])):
        functions = [call["function"] for call in choice["message"]["tool_calls"]]
        assert [function["name"] for function in functions] == names
        assert all(json.loads(function["arguments"]) for function in functions)


def test_responses_and_embeddings(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("responses.mjs")
    assert said["plain"]["text"].endswith("You said: ping")
    assert said["final"] == said["plain"]
    assert said["events"][0][0] == "response.created"
    assert said["events"][-1][0] == "response.completed"
    assert [number for _, number in said["events"]] == list(range(len(said["events"])))
    assert [item["name"] for item in said["forced"]] == ["get_time"]
    assert [item["name"] for item in said["parallel"]] == ["get_weather", "get_time"]
    for packed, plain in zip(said["packed"], said["plain vectors"], strict=True):
        assert packed["embedding"] == pytest.approx(plain["embedding"], abs=1e-6)


def test_models(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("models.mjs")
    assert said["anthropic"] == said["openai"]
    assert {CLAUDE, GPT} <= set(said["openai"])
    assert said["one for openai"]["id"] == said["one for anthropic"]["id"] == CLAUDE


CLASSES = {
    400: "BadRequestError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    500: "InternalServerError",
}


def test_errors(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("errors.mjs")
    for status, name in CLASSES.items():
        for sdk in ("anthropic", "openai"):
            error = said[f"{sdk} {status}"]
            assert (error["raised"], error["status"]) == (name, status)
            assert error["headers"]["x-patchbay-request-id"]
    assert said["anthropic 529"]["status"] == 529
    assert said["anthropic unknown model"]["raised"] == "NotFoundError"
    assert CLAUDE in said["anthropic unknown model"]["message"]
    assert said["openai unknown model"]["code"] == "model_not_found"
    assert GPT in said["openai unknown model"]["message"]


def test_broken_streams(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("errors.mjs")
    for name in ("anthropic cut", "openai cut", "responses cut"):
        assert said[name]["raised"] is not None, name
        assert said[name]["count"] > 0, name
    assert said["anthropic helper cut"]["raised"] is not None
    assert said["openai helper cut"]["raised"] is not None
    assert said["anthropic error event"]["body"]["error"]["type"] == "overloaded_error"
    assert said["openai error event"]["type"] == "server_error"


def test_leaving_closes_the_upstream(patchbay: Patchbay, upstream: SimulatorThread, tmp_path: Path) -> None:
    with node.conversation("abort.mjs", patchbay, tmp_path / "errors") as script:
        for name in ("anthropic stream", "openai stream"):
            assert script.hear(name) == "streaming"
            assert_left_after(upstream, script)
        for name in ("anthropic plain", "openai plain", "openai before the first byte"):
            assert script.hear(name) == "waiting"
            assert_left_after(upstream, script)
            assert script.hear(f"{name} thrown") == "APIUserAbortError"
        assert script.end() == 0, (tmp_path / "errors").read_text()


def assert_left_after(upstream: SimulatorThread, script: node.Conversation) -> None:
    """The request is at the upstream and open; once the script leaves, Patchbay closes it."""

    def is_open(entry: Entry) -> bool:
        return entry.method == "POST" and entry.body_at is not None and entry.closed_at is None

    entry = upstream.wait_for(lambda entry: is_open(entry) and not entry.completed)
    script.go_on()
    upstream.wait_for(lambda other: other is entry and entry.closed_by == "peer", timeout=5.0)
    assert not entry.completed
