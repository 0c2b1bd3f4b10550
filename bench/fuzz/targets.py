"""The targets by name, and where each begins: inputs that already lead somewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache

from bench.fuzz import door, wires
from tests.backends.wire.case_files import all_cases, encoded
from tests.backends.wire.redacting import CANARIES

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {
    **{target.__name__: target for target in (door.head, door.chunks, door.gate)},
    **{target.__name__: target for target in (wires.sse, wires.body, wires.requests, wires.answers)},
    **{target.__name__: target for target in (wires.streams, wires.headers, wires.templates)},
    **{target.__name__: target for target in (wires.redaction, wires.texts)},
}
_HEAD = (
    b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: 127.0.0.1:3456\r\nX-Api-Key: k\r\nExpect: 100-continue\r\n"
    b"Content-Length: 5\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked"
)
_GATE = (
    b"\x00v1/../admin/%2e%2e/..;/dashboard/\nHost: 127.0.0.1:3456\nOrigin: http://127.0.0.1:3456\n"
    b"Sec-Fetch-Site: same-origin\nContent-Type: application/json\nX-Forwarded-For: 1"
)
_CHUNKS = b"\x01\x02\x03\x045;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET /"
_LIMITS = (
    b"anthropic-ratelimit-unified-5h-utilization: 0.5\nanthropic-ratelimit-unified-5h-reset: 1785518400\n"
    b"anthropic-ratelimit-unified-representative-claim: five_hour\nretry-after: 12\nretry-after-ms: 250\n"
    b"x-ratelimit-reset-tokens: 6m0s\nx-ratelimit-remaining-tokens: 10\nx-ratelimit-limit-tokens: 100\n"
    b"date: Sun, 22 Nov 2026 16:33:43 GMT\nx-codex-primary-used-percent: 50\nx-codex-primary-window-minutes: 300"
)
_TEMPLATE = (
    b'{"system":{"append":"x","prepend":"y"},"tools":{"remove":["a"]},"parameters":{"set":{"temperature":1}}}\n'
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[]}'
)
_SECRET = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": " | ".join(CANARIES)}]}, ensure_ascii=False
).encode()


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Inputs to begin with."""
    known = {"head": _HEAD, "gate": _GATE, "chunks": _CHUNKS, "headers": _LIMITS, "templates": _TEMPLATE}
    if name in known:
        return (known[name],)
    if name == "texts":
        return ("\x1b[2J\x9b31m\u202ex\u2066\u2028\x85".encode(),)
    if name == "redaction":
        return (_SECRET,)
    return tuple(_of_cases(name))


def _of_cases(name: str) -> Iterator[bytes]:
    """Of the translators' cases: what a client sends, what a backend answers, what it streams."""
    for case in all_cases():
        if name in ("requests", "body") and case["request"]:
            yield json.dumps(case["request"]).encode()
        if name == "answers" and case["reply"]:
            yield json.dumps(case["reply"]).encode()
        if name in ("streams", "sse") and case["stream"]:
            yield b"\x05\x11\x1f\x02" + encoded(case["stream"])
