"""A cloud that must not see secrets, and a model server in the house: for the tests of redaction."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.desk import Desk
from tests.patchbay import Answer, Patchbay
from tests.servers import SimulatorThread

PATHS = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
CLOUDS = {"claude": "messages", "gpt": "chat", "resp": "responses"}
PLACEHOLDER = re.compile(r"PB_[A-Z0-9]+_[a-z2-7]{10}")


@dataclass
class RedactionLab:
    """Backends `claude`, `gpt` and `resp` redact; `open` does not; `ollama` runs in the house, and cannot."""

    patchbay: Patchbay
    desk: Desk
    cloud: SimulatorThread
    house: SimulatorThread
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ask(
        self, kind: str, model: str, text: str, *, script: str = "", headers: Any = None, **more: Any
    ) -> Answer:
        """One request; `script` tells the provider how to answer it."""
        if script:
            self.cloud.script([script])
        return self.patchbay.post(PATHS[kind], request_body(kind, model, text, **more), headers)

    def sent(self, upstream: SimulatorThread | None = None) -> list[bytes]:
        """The body of each request that reached the cloud, or the house, in order."""
        entries = (upstream or self.cloud).journal.entries
        return [entry.body for entry in entries if entry.method == "POST"]

    def placeholder(self, value: str) -> str:
        """What stands for a value in this installation."""
        self.ask("chat", "gpt:m", value)
        [found] = PLACEHOLDER.findall(self.sent()[-1].decode())
        return str(found)


def request_body(kind: str, model: str, text: str, **more: Any) -> dict[str, Any]:
    """A request in which the user says `text`."""
    turns = [{"role": "user", "content": text}]
    body = {"model": model, "input" if kind == "responses" else "messages": turns, **more}
    if kind == "messages":
        body.setdefault("max_tokens", 2000)
    return body


def tool_of(kind: str) -> dict[str, Any]:
    """The tool `send` as a request of this kind declares it."""
    schema = {"type": "object", "properties": {"to": {"type": "string"}}}
    if kind == "messages":
        return {"name": "send", "input_schema": schema}
    function = {"name": "send", "parameters": schema}
    return {"type": "function", "function": function} if kind == "chat" else {"type": "function", **function}


def calling(value: object) -> str:
    """A script: call the tool `send` with this input."""
    return f"call=send:{quote(json.dumps(value), safe='')}"


def saying(text: str) -> str:
    """A script: say this."""
    return f"text={quote(text, safe='')}"


def events_of(answer: Answer) -> list[Any]:
    """The data of a stream's events."""
    lines = re.findall(rb"^data: ?(.*)$", answer.body, re.MULTILINE)
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def text_of(kind: str, answer: Answer, *, stream: bool) -> str:
    """What the model said."""
    if stream:
        return "".join(_piece(kind, event) for event in events_of(answer))
    whole = answer.json()
    if kind == "chat":
        return str(whole["choices"][0]["message"]["content"])
    blocks = whole["content"] if kind == "messages" else whole["output"][-1]["content"]
    return "".join(block.get("text", "") for block in blocks)


def _piece(kind: str, event: Any) -> str:
    if kind == "chat":
        return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
    if kind == "responses":
        return str(event["delta"]) if event["type"] == "response.output_text.delta" else ""
    return str(event.get("delta", {}).get("text", ""))


def arguments_of(kind: str, answer: Answer, *, stream: bool) -> Any:
    """The input of the one tool call in an answer."""
    if stream:
        return json.loads("".join(_argument_piece(kind, event) for event in events_of(answer)))
    whole = answer.json()
    if kind == "messages":
        return whole["content"][0]["input"]
    if kind == "chat":
        return json.loads(whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
    return json.loads(next(item for item in whole["output"] if item["type"] == "function_call")["arguments"])


def _argument_piece(kind: str, event: Any) -> str:
    if kind == "chat":
        calls = [
            call for choice in event.get("choices", ()) for call in choice["delta"].get("tool_calls") or ()
        ]
        return "".join(call["function"].get("arguments", "") for call in calls)
    if kind == "responses":
        return str(event["delta"]) if event["type"] == "response.function_call_arguments.delta" else ""
    return str(event.get("delta", {}).get("partial_json", ""))


@contextmanager
def redaction_lab(*flags: str, **settings: str) -> Iterator[RedactionLab]:
    """Everything started and configured."""
    with (
        SimulatorThread() as cloud,
        SimulatorThread() as house,
        Patchbay({"PATCHBAY_QUEUE_SECONDS": "0", **settings}, flags) as patchbay,
        Desk(patchbay) as desk,
    ):
        desk.do(*_orders(cloud.url, house.url))
        desk.settle()
        yield RedactionLab(patchbay, desk, cloud, house)


def _orders(cloud: str, house: str) -> list[dict[str, Any]]:
    """For each backend, how it is made and the account that it gets."""
    base, hides = f"{cloud}/v1", {"redacts": True}
    backends: list[dict[str, Any]] = [
        {"name": "claude", "base": cloud, "protocol": "anthropic", **hides},
        {"name": "gpt", "base": base, "protocol": "openai", "responses": False, **hides},
        {"name": "resp", "base": base, "protocol": "openai", "responses": True, **hides},
        {"name": "open", "base": base, "protocol": "openai"},
        # Forced past the form, which refuses it: a restored database may say so.
        {"name": "ollama", "base": f"{house}/v1", **hides},
    ]
    orders: list[dict[str, Any]] = []
    for backend in backends:
        name = backend["name"]
        key = {"key": f"key-of-{name}-0123456"}
        orders += [
            {"do": "backend", **backend},
            {"do": "account", "alias": name, "backend": name, "credential": key},
        ]
    return orders
