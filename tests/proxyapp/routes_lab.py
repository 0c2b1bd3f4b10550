"""Two simulated providers of different protocols behind one Patchbay, for the tests of routes, quirks and overflow."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from backends.simulator import Model
from tests.desk import Desk
from tests.patchbay import Answer, Patchbay
from tests.servers import SimulatorThread

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
PATHS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
IMAGE = {
    "chat": {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
    "messages": {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
    "responses": {"type": "input_image", "image_url": "https://x.example/a.png"},
}
MODELS = {
    "claudish": [Model("claude-opus-4-8", context=200_000), Model("claude-haiku-4-5", context=200_000)],
    "chatty": [Model("gpt-4o", context=128_000), Model("llama3:8b", context=8_000)],
    "spare": [Model("gpt-4.1", context=1_000_000), Model("tiny", context=4_000)],
}


@dataclass
class RoutesLab:
    """Backends `claudish` (Anthropic), `chatty` and `spare` (OpenAI), each with one account and a server of its own."""

    patchbay: Patchbay
    desk: Desk
    upstreams: dict[str, SimulatorThread]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def route(self, *targets: str, pattern: str = "") -> str:
        """A new route to these targets; its name."""
        name = pattern or f"route-{next(self.numbers)}"
        self.desk.do({"do": "route", "pattern": name, "targets": list(targets)})
        self.desk.settle()
        return name

    def ask(
        self,
        model: str,
        kind: str = "chat",
        *,
        image: bool = False,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """One request; `text` is what the user says."""
        text = more.pop("text", f"opening {next(self.numbers)}")
        word = "input_text" if kind == "responses" else "text"
        content: Any = [{"type": word, "text": text}, IMAGE[kind]] if image else text
        turns = [{"role": "user", "content": content}]
        body = {"model": model, "input" if kind == "responses" else "messages": turns, **more}
        if kind == "messages":
            body.setdefault("max_tokens", 50)
        return self.patchbay.post(PATHS[kind], body, headers)

    def asked(self) -> list[str]:
        """Backend and model of each request that reached a provider, in order."""
        found = [
            (entry.started, f"{name}:{entry.model}")
            for name, upstream in self.upstreams.items()
            for entry in upstream.journal.entries
            if entry.method == "POST"
        ]
        return [text for _, text in sorted(found)]

    def last_sent(self, name: str) -> dict[str, Any]:
        """The body of the last request that reached a provider."""
        posts = [entry for entry in self.upstreams[name].journal.entries if entry.method == "POST"]
        body: dict[str, Any] = json.loads(posts[-1].body)
        return body

    def last_betas(self, name: str) -> str:
        """The beta header of the last request that reached a provider."""
        posts = [entry for entry in self.upstreams[name].journal.entries if entry.method == "POST"]
        return posts[-1].header("anthropic-beta") or ""


@contextmanager
def routes_lab(**settings: str) -> Iterator[RoutesLab]:
    """Everything started, and every model list read."""
    with (
        SimulatorThread(models=MODELS["claudish"]) as claudish,
        SimulatorThread(models=MODELS["chatty"]) as chatty,
        SimulatorThread(models=MODELS["spare"]) as spare,
        Patchbay({"PATCHBAY_QUEUE_SECONDS": "0", "PATCHBAY_TIME_ZONE": "UTC", **settings}) as patchbay,
        Desk(patchbay) as desk,
    ):
        upstreams = {"claudish": claudish, "chatty": chatty, "spare": spare}
        for name, upstream in upstreams.items():
            is_claude = name == "claudish"
            base = upstream.url if is_claude else f"{upstream.url}/v1"
            protocol = "anthropic" if is_claude else "openai"
            desk.do({"do": "backend", "name": name, "base": base, "protocol": protocol})
            desk.do(
                {"do": "account", "alias": name, "backend": name, "credential": {"key": f"sk-of-{name}-0123"}}
            )
        desk.settle()
        names = {model.name for models in MODELS.values() for model in models}
        eventually(lambda: names <= {row["id"] for row in patchbay.get("/v1/models").json()["data"]})
        yield RoutesLab(patchbay, desk, upstreams)


def error(message: str, status: int = 400) -> str:
    """A script for an error with these words."""
    return f"status={status},msg={quote(message, safe='')}"


def eventually(check: Callable[[], object], *, within: float = 15.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
