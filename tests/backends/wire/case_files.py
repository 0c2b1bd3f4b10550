"""The table cases under `cases/`: what a client sends, what the backend must get, and the way back.

A file is one case. `client` and `backend` name packages of `backends.wire`; `target` is the model written for. With
`request`: `expected_request` (see `match`), `expected_lost` (paths; `*` stands for anything; an empty list: nothing),
`expected_headers`, or `expected_error` {field, contains}. With `reply` (a whole answer of the backend) and `stream`
(the same as a list of data: objects, or raw text such as "[DONE]" and ": comment"): `expected_reply`, which holds for
both after assembly; `expected_stream`, events that come in this order; `expected_stream_error`. With `upstream_error`
{status, body}: `expected_api_error` and `expected_error_body`.
"""

from __future__ import annotations

import functools
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.wire.target import Target

FOLDER = Path(__file__).with_name("cases")
_PLAIN: dict[str, dict[str, Any]] = {
    "anthropic": {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]},
    "openai_chat": {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream_options": {"include_usage": True},
        "stream": True,
    },
    "openai_responses": {"model": "m", "input": "Hi"},
}
FIELDS = frozenset(
    (
        *("name", "why", "client", "backend", "target"),
        *("request", "expected_request", "expected_lost", "expected_headers", "expected_error"),
        *("reply", "stream", "expected_reply", "expected_stream", "expected_stream_error"),
        *("upstream_error", "expected_api_error", "expected_error_body"),
    )
)


@dataclass(frozen=True)
class Case:
    """One file."""

    path: Path
    told: dict[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.told.get(field)

    @property
    def client(self) -> Any:
        return importlib.import_module(f"backends.wire.{self.told['client']}")

    @property
    def backend(self) -> Any:
        return importlib.import_module(f"backends.wire.{self.told['backend']}")

    @property
    def target(self) -> Target:
        return Target(**self.told["target"])

    @property
    def request(self) -> bytes:
        """The client's body; a plain one if the case is about the answer only."""
        return json.dumps(self.told.get("request") or _PLAIN[self.told["client"]]).encode()

    @property
    def stream(self) -> bytes:
        """The backend's stream as bytes."""
        return encoded(self.told["stream"])


def encoded(stream: list[Any]) -> bytes:
    """A list of data as the bytes of a stream."""
    return b"".join(_event(data) for data in stream)


def _event(data: dict[str, Any] | str) -> bytes:
    if isinstance(data, str):
        return f"{data}\n\n".encode() if data.startswith(":") else f"data: {data}\n\n".encode()
    name = f"event: {data['type']}\n" if isinstance(data.get("type"), str) else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every file, by name."""
    return tuple(Case(path, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json")))
