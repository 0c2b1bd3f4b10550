"""`python -m bench.redaction_cost`: what redaction costs a request and its answer, in CPU time and without a network.

The bodies are those of a coding agent: a system prompt, tool calls, and files that tools have read. The best of several
rounds counts: whatever else the machine does can only make a round slower. Exit code 1 when a figure misses its target.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from backends.wire.kinds import Kind
from backends.wire.redaction import BUILTIN, Restorer, RuleSet, Vault, redact_request, restore_body
from backends.wire.splice import splice
from bench import machine

ROUNDS = 15
KEY = b"the key of this installation"
MAIL = "ann" + "@example.org"
# Microseconds. The last body is no agent's: every word of it is an address, 42,000 in all.
TARGETS = {
    "request of 10 KB": 1_000.0,
    "request of 100 KB": 5_000.0,
    "request of 1 MB": 50_000.0,
    "1 MB of addresses": 2_000_000.0,
    "answer of 10 KB": 1_000.0,
    "event of a stream": 50.0,
}


def agent_body(size: int) -> bytes:
    """A Messages request of at least `size` bytes, with one address in it."""
    files = sorted((Path(__file__).resolve().parent.parent / "backends").rglob("*.py"))
    turns: list[object] = [{"role": "user", "content": f"Look at the project, and write to {MAIL}."}]
    length = 0
    while length < size:
        text = files[len(turns) % len(files)].read_text()[:6000]
        call = {
            "type": "tool_use",
            "id": f"t{length}",
            "name": "Read",
            "input": {"file_path": f"/src/{length}.py"},
        }
        result = {"type": "tool_result", "tool_use_id": f"t{length}", "content": text}
        turns += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        length += len(json.dumps(text))
    return json.dumps(
        {"model": "m", "max_tokens": 1000, "system": "You write code. " * 100, "messages": turns}
    ).encode()


def best_us(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The shortest time of some rounds, in microseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        taken.append(time.perf_counter_ns() - began)
    return min(taken) / 1000


def measure() -> dict[str, float]:
    """Microseconds by what is done."""
    rules = RuleSet(BUILTIN)

    def redacting(body: bytes) -> Callable[[], object]:
        return lambda: splice(body, redact_request(Kind.MESSAGES, body, rules, Vault(KEY))[0])

    mails = " ".join(f"user{number}@example{number % 97}.com" for number in range(42_000))
    many = json.dumps({"messages": [{"role": "user", "content": mails}]}).encode()
    return {
        "request of 10 KB": best_us(redacting(agent_body(10_000))),
        "request of 100 KB": best_us(redacting(agent_body(100_000))),
        "request of 1 MB": best_us(redacting(agent_body(1_000_000))),
        "1 MB of addresses": best_us(redacting(many), rounds=3),
        **_answers(),
    }


def _answers() -> dict[str, float]:
    """A whole answer with placeholders in it, and a stream with one in each tenth event."""
    vault = Vault(KEY)
    placeholder = vault.placeholder("EMAIL", MAIL.encode()).decode()
    text = f"Write to {placeholder} about it. " * 250
    answer = json.dumps({"content": [{"type": "text", "text": text}]}).encode()
    events = [_event(f" to {placeholder}" if number % 10 == 0 else " word") for number in range(1000)]

    def stream() -> None:
        restorer = Restorer(Kind.MESSAGES, vault)
        for event in events:
            restorer.feed(event)

    return {
        "answer of 10 KB": best_us(lambda: restore_body(answer, vault)),
        "event of a stream": best_us(stream) / len(events),
    }


def _event(text: str) -> bytes:
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode()


def main() -> None:
    """Print the figures; exit 1 if one is over its target."""
    found = {what: round(value, 1) for what, value in measure().items()}
    if "--json" in sys.argv:
        print(json.dumps({"machine": machine.describe(), "us": found}))
    else:
        for what, value in found.items():
            print(f"  {what:<20}{value:12,.1f} µs   target {TARGETS[what]:,.0f}")
    sys.exit(any(value > TARGETS[what] for what, value in found.items()))


if __name__ == "__main__":
    main()
