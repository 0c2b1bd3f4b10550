"""`python -m bench.translate`: what translating costs, in CPU time and without a network, for each pair of protocols.

Three loads: a request of 10 KB, a stream of 1,000 events, and a coding agent's request of 1 MB and 200 turns. The
best of several rounds counts: whatever else the machine does can only make a round slower.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from backends.wire.conversation import (
    Began,
    Block,
    Closed,
    Conversation,
    Ended,
    Event,
    Lost,
    Opened,
    Piece,
    Stop,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from backends.wire.target import Names, Target
from bench import machine

PROTOCOLS = ("anthropic", "openai_chat", "openai_responses")
PACKAGES: dict[str, Any] = {name: importlib.import_module(f"backends.wire.{name}") for name in PROTOCOLS}
PAIRS = [(client, backend) for client, backend in product(PROTOCOLS, PROTOCOLS) if client != backend]
TARGETS = {
    "anthropic": Target("claude-sonnet-4-5", "anthropic", 32_000),
    "openai_chat": Target("some-model"),
    "openai_responses": Target("gpt-5.2", "openai"),
}
ROUNDS = 7
EVENTS = 1000
_LINE = (
    "def total(rows):\n\treturn sum(row[\"price\"] * row['count'] for row in rows)  # naïve, but “clear”\n"
)
_SCHEMA = {
    "type": "object",
    "properties": {
        name: {"type": "string", "description": "What the name says."} for name in ("path", "old", "new")
    },
    "required": ["path"],
}


@dataclass(frozen=True)
class Load:
    """One table row's worth of work per pair. `most`: CPU milliseconds that it may take."""

    title: str
    most: float
    job: Callable[[str, str], Callable[[], object]]
    repeats: int


def agent_talk(turns: int, size: int, tools: int) -> Conversation:
    """A coding session of `turns` turns: text and a call, then its result, `size` characters in all."""
    share = max(1, size // max(1, turns) // len(_LINE))
    said: list[Turn] = [Turn("user", [Text("Fix the totals.")])]
    for number in range(turns // 2):
        call = f"call_{number:08}"
        arguments = json.dumps({"path": f"src/part_{number}.py", "old": _LINE * share, "new": _LINE})
        answer: list[Block] = [Text("I change the file."), ToolCall(call, "tool_0", arguments)]
        said.append(Turn("assistant", answer))
        said.append(Turn("user", [ToolResult(call, [Text(_LINE * share)])]))
    known: list[Any] = [Tool(f"tool_{at}", "Edits a file. " * 5, _SCHEMA) for at in range(tools)]
    return Conversation("asked", said, [Text(_LINE * 3)], known, max_tokens=32_000, stream=True)


def request_job(turns: int, size: int, tools: int) -> Callable[[str, str], Callable[[], object]]:
    """The client's body read, and the backend's written."""

    def prepare(client: str, backend: str) -> Callable[[], object]:
        talk = agent_talk(turns, size, tools)
        body = PACKAGES[client].build_request(talk, TARGETS[client], Lost()).body
        read, write, target = (
            PACKAGES[client].parse_request,
            PACKAGES[backend].build_request,
            TARGETS[backend],
        )
        return lambda: write(read(body), target, Lost())

    return prepare


def stream_job(client: str, backend: str) -> Callable[[], object]:
    """The backend's stream read event by event, and the client's written."""
    ask = agent_talk(0, 0, 0)
    writer = PACKAGES[backend].StreamWriter(ask, "bench", 1_700_000_000)
    chunks = [chunk for event in _events() if (chunk := writer.write(event))]

    def run() -> None:
        reader = PACKAGES[backend].StreamReader(Names())
        out = PACKAGES[client].StreamWriter(ask, "bench", 1_700_000_000)
        for chunk in chunks:
            for event in reader.feed(chunk):
                out.write(event)

    return run


def _events() -> list[Event]:
    pieces: list[Event] = [Piece(0, " token,") for _ in range(EVENTS // 2)]
    arguments = ['{"path":"', *["part/"] * (EVENTS // 2 - 2), '"}']
    return [
        Began("msg_1", "some-model"),
        Opened(0, Text("")),
        *pieces,
        Closed(0),
        Opened(1, ToolCall("call_00000001", "tool_0", "")),
        *(Piece(1, piece) for piece in arguments),
        Closed(1),
        Ended(Stop.TOOLS),
    ]


LOADS = (
    Load("request of 10 KB", 1.0, request_job(6, 6_000, 5), 50),
    Load("1,000 events", 50.0, stream_job, 1),
    Load("agent request of 1 MB, 200 turns", 30.0, request_job(200, 830_000, 30), 2),
)


def cpu_ms(run: Callable[[], object], repeats: int) -> float:
    """The best round's CPU milliseconds for one run."""
    run()
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeats):
            run()
        best = min(best, time.process_time() - began)
    return best / repeats * 1000


def main() -> int:
    """Exit code 1 if any pair took longer than it may."""
    for name, value in machine.describe().items():
        print(f"{name}: {value}")
    missed = 0
    for load in LOADS:
        print(f"\n{load.title}: at most {load.most:g} ms of CPU")
        for client, backend in PAIRS:
            took = cpu_ms(load.job(client, backend), load.repeats)
            missed += took > load.most
            verdict = "pass" if took <= load.most else "FAIL"
            print(f"  {client:<17} → {backend:<17} {took:9.3f} ms  {verdict}")
    print(f"\n{'all targets met' if not missed else f'{missed} targets missed'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
