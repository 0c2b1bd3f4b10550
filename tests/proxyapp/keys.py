"""Client keys with limits, for the end-to-end tests: a server, a simulated provider, and keys as they are needed."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.desk import Desk
from tests.patchbay import Answer, Patchbay
from tests.proxyapp.pools import eventually
from tests.servers import SimulatorThread

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
REMAINING = "x-patchbay-budget-remaining"


@dataclass
class Key:
    """One client key."""

    lab: KeyLab
    name: str
    text: str

    def post(self, path: str, body: object) -> Answer:
        return self.lab.patchbay.post(path, body, {"x-api-key": self.text})

    def chat(self, model: str = "gpt-4o", **fields: Any) -> Answer:
        return self.post(CHAT, ask(model, **fields))

    def messages(self, model: str = "claude-opus-4-8", **fields: Any) -> Answer:
        return self.post(MESSAGES, ask(model, **fields))

    def open(self, path: str, body: dict[str, Any]) -> http.client.HTTPConnection:
        """Send a request and leave the answer to the caller."""
        connection = http.client.HTTPConnection("127.0.0.1", self.lab.patchbay.port, timeout=30)
        headers = {"content-type": "application/json", "x-api-key": self.text}
        connection.request("POST", path, json.dumps(body), headers)
        return connection

    def left(self) -> float:
        """What is left of the budget and not held, as a request that costs nothing is told."""
        return float(self.post(f"{MESSAGES}/count_tokens", ask("claude-opus-4-8")).headers[REMAINING])

    def spent(self) -> float:
        """What the ledger says."""
        [days] = self.lab.desk.do({"do": "key_spent", "name": self.name})
        return sum(float(amount) for _, amount in days)

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Its history, once there is so much of it."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = self.lab.desk.do({"do": "rows", "key": self.name})[0]
            return len(found) >= count

        assert eventually(enough)
        return found


@dataclass
class KeyLab:
    """Backends `openai` and `anthropic`, whose prices are known, and `mine`, whose are not."""

    patchbay: Patchbay
    upstream: SimulatorThread
    desk: Desk
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def key(self, **limits: Any) -> Key:
        name = f"key-{next(self.numbers)}"
        [text] = self.desk.do({"do": "key", "name": name, **limits})
        self.desk.settle()
        return Key(self, name, text)

    def change(self, **order: Any) -> None:
        self.desk.do(order)
        self.desk.settle()


def started() -> Iterator[KeyLab]:
    """For a fixture of any scope."""
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_QUEUE_SECONDS": "0"}) as patchbay,
        Desk(patchbay) as desk,
    ):
        for name, base, protocol in (
            ("openai", f"{upstream.url}/v1", "openai"),
            ("anthropic", upstream.url, "anthropic"),
            ("mine", f"{upstream.url}/v1", "openai"),
        ):
            desk.do(
                {"do": "backend", "name": name, "base": base, "protocol": protocol},
                {"do": "account", "alias": name, "backend": name, "credential": {"key": f"sk-real-{name}"}},
            )
        desk.settle()
        yield KeyLab(patchbay, upstream, desk)


def ask(model: str, text: str = "ping", **fields: Any) -> dict[str, Any]:
    """A body that chat and messages understand alike."""
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **fields}
