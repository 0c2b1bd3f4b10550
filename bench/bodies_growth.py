"""`python -m bench.bodies_growth`: how much the history grows with bodies on, per 1,000 turns of agents.

Twenty sessions of fifty turns. Each turn sends the whole conversation again: system prompt, tools, and messages that
grow by what the model said and what its tools returned, up to about 150 KB. Tool outputs are pieces of this project's
own files, so they pack like real ones; no two are alike. Answers are streams of small events. The budget is 25 MB.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import machine
from bench.history_home import open_home, settled_size

SESSIONS, TURNS = 20, 50
BUDGET_MB = 25.0
PROJECT = Path(__file__).resolve().parent.parent


class Agent:
    """One session: what it has said so far."""

    def __init__(self, number: int, files: list[str], tools: list[dict[str, object]]) -> None:
        self.random = random.Random(number)
        self.files = files
        self.tools = tools
        self.system = f"You are agent {number} of a team.\n{self._slice(9000)}"
        self.messages: list[dict[str, object]] = [{"role": "user", "content": self._slice(900)}]

    def turn(self) -> tuple[bytes, bytes]:
        """The body of the next request and the stream that answers it; afterwards the conversation has grown."""
        request = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 32_000,
            "system": [{"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}],
            "tools": self.tools,
            "messages": self.messages,
            "stream": True,
        }
        text, call = self._slice(self.random.randint(150, 1500)), self._call()
        self.messages = [
            *self.messages,
            {"role": "assistant", "content": [{"type": "text", "text": text}, call]},
            {"role": "user", "content": [self._result(str(call["id"]))]},
        ]
        return json.dumps(request).encode(), self._stream(text, call)

    def _call(self) -> dict[str, object]:
        arguments = {"file_path": f"/src/{self.random.randrange(10**6)}.py", "pattern": self._slice(80)}
        id_ = f"toolu_{self.random.getrandbits(96):024x}"
        return {"type": "tool_use", "id": id_, "name": "Grep", "input": arguments}

    def _result(self, id_: str) -> dict[str, object]:
        size = int(self.random.lognormvariate(7.1, 0.8))
        return {"type": "tool_result", "tool_use_id": id_, "content": self._slice(min(size, 12_000))}

    def _slice(self, size: int) -> str:
        text = self.random.choice(self.files)
        start = self.random.randrange(max(1, len(text) - size))
        return text[start : start + size]

    def _stream(self, text: str, call: dict[str, object]) -> bytes:
        events = [{"type": "message_start", "message": {"id": f"msg_{self.random.getrandbits(80):020x}"}}]
        events += [self._delta(0, "text", "text", part) for part in self._parts(text)]
        events += [
            self._delta(1, "input_json", "partial_json", part)
            for part in self._parts(json.dumps(call["input"]))
        ]
        events.append({"type": "message_delta", "usage": {"output_tokens": len(text) // 4}})
        events.append({"type": "message_stop"})
        return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)

    def _delta(self, index: int, kind: str, name: str, part: str) -> dict[str, object]:
        return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", name: part}}

    def _parts(self, text: str) -> list[str]:
        parts = []
        while text:
            size = self.random.randint(2, 12)
            parts.append(text[:size])
            text = text[size:]
        return parts


def tools(chooser: random.Random, files: list[str]) -> list[dict[str, object]]:
    """About 30 KB of tools, as coding agents have them."""
    found: list[dict[str, object]] = []
    for number in range(16):
        text = chooser.choice(files)
        properties = {
            f"option_{n}": {"type": "string", "description": text[n * 90 : n * 90 + 90]} for n in range(6)
        }
        schema = {"type": "object", "properties": properties, "required": ["option_0"]}
        found.append({"name": f"Tool{number}", "description": text[:1200], "input_schema": schema})
    return found


def main() -> int:
    """Simulate, store, and compare the file's growth with the budget."""
    open_home()
    from analytics.bodies.store import KeptBody, write_body
    from analytics.models import Body, BodyPiece

    files = [path.read_text() for path in sorted(PROJECT.glob("*/*.py")) if path.stat().st_size > 4000]
    shared = tools(random.Random(1), files)
    agents = [Agent(number, files, shared) for number in range(SESSIONS)]
    before, sent, took, now = settled_size(), 0, 0.0, datetime.now(UTC)
    for turn in range(TURNS):
        for number, agent in enumerate(agents):
            request, answer = agent.turn()
            id_, at = f"req_{turn:04d}_{number:03d}", now + timedelta(seconds=20 * turn + number)
            sent += len(request) + len(answer)
            record(id_, at, number, len(request), len(answer))
            began = time.process_time()
            write_body(KeptBody(id_, Body.REQUEST, [request], len(request), "application/json", at=at))
            write_body(KeptBody(id_, Body.RESPONSE, [answer], len(answer), "text/event-stream", at=at))
            took += time.process_time() - began
    grown = (settled_size() - before) / 1e6 / (SESSIONS * TURNS) * 1000
    print(json.dumps(machine.describe()))
    print(f"{SESSIONS} sessions of {TURNS} turns, {sent / 1e6:.0f} MB passed")
    print(f"last conversation {len(request) / 1000:.0f} KB; {BodyPiece.objects.count()} pieces")
    print(f"CPU {took / SESSIONS / TURNS * 1000:.2f} ms a turn, in the writer's thread")
    print(f"the history grew by {grown:.1f} MB per 1,000 turns; the budget is {BUDGET_MB:g} MB")
    return 0 if grown <= BUDGET_MB else 1


def record(id_: str, at: datetime, session: int, request_bytes: int, response_bytes: int) -> None:
    """The turn's own record, with the text that a real one has."""
    from analytics.drafts import AttemptDraft, Outcome, RecordDraft
    from analytics.recorder import recorder
    from backends.wire.kinds import Kind, Protocol
    from backends.wire.usage import Usage

    raw = b'{"input_tokens":12,"cache_read_input_tokens":30000,"cache_creation_input_tokens":800,"output_tokens":200}'
    draft = RecordDraft(id_, Protocol.ANTHROPIC, Kind.MESSAGES, "POST", "/v1/messages", "claude-cli/2.0", at)
    draft.session, draft.session_source, draft.backend, draft.account = (
        f"session-{session}",
        "header",
        "anthropic",
        "max",
    )
    draft.model_asked = draft.model_used = "claude-sonnet-4-5"
    draft.usage, draft.request_bytes, draft.response_bytes = (
        Usage(12, 30_000, 800, 0, 200, 0, raw),
        request_bytes,
        response_bytes,
    )
    draft.rule, draft.route_reason = "catalog", "claude-sonnet-4-5 is in the catalog of anthropic"
    draft.attempts = [AttemptDraft("anthropic", "max", "claude-sonnet-4-5", at)]
    draft.status = 200
    draft.end(Outcome.OK)
    recorder.record(draft)
    recorder.flush()


if __name__ == "__main__":
    sys.exit(main())
