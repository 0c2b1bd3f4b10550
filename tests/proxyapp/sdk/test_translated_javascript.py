"""The official JavaScript SDKs in front of a backend of the other protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.patchbay import Patchbay
from tests.proxyapp.sdk import node
from tests.proxyapp.sdk.test_javascript_sdks import texts
from tests.servers import SimulatorThread

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(bool(node.missing()), reason=node.missing() or "it can run"),
]
PERSON = {"name", "age"}
TOOLS = ["get_weather", "get_time"]
LAST = "The tool answered: result of get_"


@pytest.fixture
def run(patchbay: Patchbay, upstream: SimulatorThread) -> Callable[[str], dict[str, Any]]:
    """Runs one part of the script against the running Patchbay; gives what it said, by name."""
    return lambda part: node.run("translated.mjs", patchbay, part)


def test_messages_over_chat(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("messages")
    plain = said["messages"]["plain"]
    assert texts(plain["content"]).endswith("You said: ping")
    assert (said["messages"]["headers"]["x-patchbay-lane"], plain["stop_reason"]) == (
        "translated",
        "end_turn",
    )
    assert said["messages"]["id"]
    assert texts(said["messages streamed"]["content"]) == texts(plain["content"])
    assert said["messages streamed"]["usage"]["output_tokens"] == plain["usage"]["output_tokens"] > 0
    thinking, *calls = said["messages called"]
    assert (thinking["type"], thinking["signature"]) == ("thinking", "")
    assert [call["name"] for call in calls] == TOOLS
    assert LAST in texts(said["messages answered"]["content"])
    assert texts(said["messages runner"]["content"]).endswith(f"{LAST}weather")
    assert set(said["messages structured"]) == PERSON
    assert said["messages counted"]["counted"]["input_tokens"] > 0
    assert said["messages counted"]["estimated"]


def test_chat_over_messages(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("chat")
    plain = said["chat"]["plain"]
    text = plain["choices"][0]["message"]["content"]
    assert text.endswith("You said: ping")
    assert said["chat"]["headers"]["x-patchbay-lane"] == "translated"
    assert said["chat"]["id"]
    assert said["chat streamed"]["choices"][0]["message"]["content"] == text
    assert [call["function"]["name"] for call in said["chat called"]["tool_calls"]] == TOOLS
    assert LAST in said["chat answered"]["choices"][0]["message"]["content"]
    assert set(said["chat structured"]) == PERSON


def test_responses_over_messages(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("responses")
    assert said["responses"]["text"].endswith("You said: ping")
    assert said["responses"]["streamed"] == said["responses"]["text"]
    assert said["responses"]["plain"]["status"] == "completed"
    assert said["responses"]["id"]
    reasoning, *calls = said["responses called"]
    assert reasoning["type"] == "reasoning"
    assert [call["name"] for call in calls] == TOOLS
    assert LAST in said["responses answered"]
    assert set(said["responses structured"]) == PERSON


CLASSES = {400: "BadRequestError", 403: "PermissionDeniedError", 404: "NotFoundError"}


def test_errors(run: Callable[[str], dict[str, Any]]) -> None:
    said = run("errors")
    for sdk, overloaded, told in (("messages", 503, 529), ("chat", 529, 503)):
        for status in (400, 403, 404, 500):
            error = said[f"{sdk} {status}"]
            assert (error["raised"], error["status"]) == (CLASSES.get(status, "InternalServerError"), status)
            assert error["headers"]["x-patchbay-request-id"]
        assert said[f"{sdk} {overloaded}"]["status"] == told
    for name in ("messages cut", "chat cut", "responses cut"):
        assert said[name]["raised"] is not None, name
