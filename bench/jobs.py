"""What the load generator is told and what it answers: one JSON line each, over its stdin and stdout."""

from __future__ import annotations

import json

import msgspec

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
PATH = PATHS["chat"]
PROMPT = "Say hello to the bench."
_TURN = (
    "def total(rows):\n\t# naïve, but “clear”\n\treturn sum(row[\"price\"] * row['count'] for row in rows)\n"
    "The file above fails with a TypeError when a count is missing. Fix it and show the whole function again. "
)


class Target(msgspec.Struct, frozen=True):
    """Where requests go, on loopback."""

    name: str
    port: int
    headers: dict[str, str] = {}


class Ask(msgspec.Struct, frozen=True):
    """One kind of request, and what a complete answer to it holds."""

    model: str = "gpt-4o"
    stream: bool = False
    size: int = 0  # bytes of conversation before the last message
    text: str = ""  # of the answer, when it is no stream
    events: int = 0  # with content, when it is one
    speaks: str = "chat"  # a key of PATHS: the client's language

    @property
    def path(self) -> str:
        """Where it goes."""
        return PATHS[self.speaks]

    def body(self) -> bytes:
        """The request body: turns of a coding session, then the prompt."""
        turns = max(0, self.size // (len(json.dumps(_TURN)) * 8))
        roles = ("user", "assistant")
        messages = [{"role": roles[turn % 2], "content": _TURN * 8} for turn in range(turns // 2 * 2)]
        messages.append({"role": "user", "content": PROMPT})
        stream: dict[str, object] = {"stream": True} if self.stream else {}
        limit: dict[str, object] = {"max_tokens": 4096} if self.speaks == "messages" else {}
        return json.dumps({"model": self.model, **limit, **stream, "messages": messages}).encode()


class Load(msgspec.Struct, frozen=True, tag=True):
    """Clients that each send one request after the other. Ends at `requests`, or starts no more after `seconds`."""

    target: Target
    ask: Ask
    clients: int
    requests: int
    seconds: float
    warm_up: int = 1  # requests of each client before the measurement


class Rounds(msgspec.Struct, frozen=True, tag=True):
    """One client that asks all targets in turn, at a low rate."""

    targets: list[Target]
    ask: Ask
    rounds: int = 7
    requests: int = 25  # of each target in each round
    warm_up: int = 15
    pause: float = 0.005  # seconds before each request


Job = Load | Rounds


class LoadResult(msgspec.Struct):
    """Times in milliseconds, one for each good answer."""

    wall: float = 0.0  # seconds
    latencies: list[float] = []
    first: list[float] = []  # until the first content, streams only
    events: int = 0
    errors: dict[str, int] = {}


class RoundsResult(msgspec.Struct):
    """By target, then by round: milliseconds until the answer was complete, and until its first content."""

    latencies: dict[str, list[list[float]]] = {}
    first: dict[str, list[list[float]]] = {}
    errors: dict[str, int] = {}
