"""`python -m bench.ledger [--requests 10000]`: does the ledger equal the provider's journal, to the token?

Requests of three protocols, direct and translated, whole and streamed, with caches and reasoning, cut by the provider,
cancelled by the client, failing over and failing. Each has a name of its own in its model, so every record is held
against the provider's entry. Of a stream that did not end only what was reported counts (PATCHBAY_CUT_USAGE=measured).
Exit 0 if every record agrees and the sums do, 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.simulator import Entry, Journal
from backends.wire.kinds import Kind
from backends.wire.usage import Usage, usage_from
from tests import isolation
from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

SETTINGS = {"PATCHBAY_CUT_USAGE": "measured", "PATCHBAY_QUEUE_SECONDS": "5"}
CLIENTS = 16
CANCEL_AFTER = 1500  # bytes
WAIT_SECONDS = 60.0
BUCKETS = ("fresh", "read", "write5m", "write1h", "output", "reasoning")
COLUMNS = (
    *("fresh_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("output_tokens", "reasoning_tokens"),
)
SUMS = ("fresh_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
WAYS = (
    *((Kind.MESSAGES, "anthropic"), (Kind.CHAT, "openai"), (Kind.RESPONSES, "openai")),
    *((Kind.MESSAGES, "chatonly"), (Kind.CHAT, "anthropic"), (Kind.RESPONSES, "chatonly")),
)
EXTRAS = ("", "cache=40:7:3", "think", "cache=900:0:0", "tool", "cache=0:64:0")
FATES = (*["ok"] * 14, "cut", "cut", "cancel", "cancel", "failover", "refused", "blind")
NOTHING = (0, 0, 0, 0, 0, 0)
Buckets = tuple[int, ...]
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One request. `blind`: a chat stream that does not ask for its usage."""

    number: int
    kind: Kind
    backend: str
    stream: bool
    extra: str
    fate: str

    @property
    def model(self) -> str:
        """With the provider's script, and a label that no other request has."""
        words = [self.extra] if self.extra else []
        words += {
            "cut": ["events=20", "cut@6"],
            "cancel": ["endless", "gap=2ms"],
            "refused": ["status=400"],
        }.get(self.fate, [])
        return f"model+{','.join(words) or 'ok'}#n{self.number:06d}"

    def body(self) -> bytes:
        """As a client sends it."""
        said = f"Question {self.number}: " + "why? " * (self.number % 50)
        asked: dict[str, object] = {"model": f"{self.backend}:{self.model}", "stream": self.stream}
        if self.kind is Kind.RESPONSES:
            asked["input"] = said
        else:
            asked["messages"] = [{"role": "user", "content": said}]
        if self.kind is Kind.MESSAGES:
            asked["max_tokens"] = 1000
        if self.kind is Kind.CHAT and self.stream and self.fate != "blind":
            asked["stream_options"] = {"include_usage": True}
        return json.dumps(asked).encode()


def jobs(count: int, seed: int = 6) -> list[Job]:
    """A mix that is the same every time."""
    chance, made = random.Random(seed), []
    for number in range(count):
        kind, backend = WAYS[number % len(WAYS)]
        fate = chance.choice(FATES)
        if fate == "blind":
            kind, backend = Kind.CHAT, "openai"
        stream = fate in ("cut", "cancel", "blind") or chance.random() < 0.6
        extra = "" if fate in ("cut", "cancel") else chance.choice(EXTRAS)
        made.append(Job(number, kind, backend, stream, extra, fate))
    return made


# --- the run -------------------------------------------------------------------------------------------------


def furnish(patchbay: Patchbay, url: str) -> None:
    """Three backends on one provider, with two accounts each."""
    backends = {"anthropic": url, "openai": f"{url}/v1", "chatonly": f"{url}/v1"}
    with Desk(patchbay) as desk:
        for name, base in backends.items():
            desk.do({"do": "backend", "name": name, "base": base, "responses": name == "openai"})
            for number in (1, 2):
                secret = {"key": f"sk-real-key-of-{name}-{number}"}
                desk.do({"do": "account", "alias": f"{name}-{number}", "backend": name, "credential": secret})
        desk.settle()


async def send_all(port: int, listed: Sequence[Job], upstream: SimulatorThread) -> None:
    """Every request, some at a time."""
    waiting = iter(listed)

    async def client() -> None:
        for job in waiting:
            if job.fate == "failover":
                upstream.script(["status=500"])
            await send(port, job)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def send(port: int, job: Job) -> None:
    """One request on a connection of its own, read to its end or left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = job.body()
    head = (
        f"POST /v1{job.kind.path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"anthropic-version: 2023-06-01\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    try:
        writer.write(head.encode() + body)
        seen = 0
        while chunk := await reader.read(65536):
            seen += len(chunk)
            if job.fate == "cancel" and seen > CANCEL_AFTER:
                writer.transport.abort()
                return
    except ConnectionError:
        pass  # a cut answer may end so
    finally:
        writer.close()


# --- the comparison ------------------------------------------------------------------------------------------


@dataclass
class Books:
    """Both sides, by upstream kind, and each record that does not agree."""

    provider: dict[str, Counter[str]]
    ledger: dict[str, Counter[str]]
    outcomes: Counter[str]
    wrong: list[str]
    blind: int = 0
    failed_over: int = 0


def compare(listed: Iterable[Job], entries: Iterable[Entry], rows: dict[str, Record]) -> Books:
    """Every record against the provider's entry of the same label."""
    books = Books(defaultdict(Counter), defaultdict(Counter), Counter(), [])
    served = {entry.model: entry for entry in entries if entry.status == 200}
    for job in listed:
        row, entry = rows.get(job.model), served.get(job.model)
        if row is None:
            books.wrong.append(f"{job.model}: no record")
            continue
        books.outcomes[row["outcome"]] += 1
        books.failed_over += row["attempts"] > 1 and row["outcome"] == "ok"
        if job.fate == "blind" and entry is not None:
            books.blind += 1
            if row["usage_source"] != "estimated" or not row["output_tokens"]:
                books.wrong.append(f"{job.model}: not estimated")
            continue
        expected, found = owed(job, entry), tuple(row[name] or 0 for name in COLUMNS)
        kind = entry.kind if entry else "none"
        books.provider[kind].update(dict(zip(BUCKETS, expected, strict=True)))
        books.ledger[kind].update(dict(zip(BUCKETS, found, strict=True)))
        if expected != found:
            books.wrong.append(f"{job.model} ({job.kind.value}): provider {expected}, ledger {found}")
    return books


def owed(job: Job, entry: Entry | None) -> Buckets:
    """What the provider reported. A stream that did not end: what stands in an Anthropic message's start."""
    if entry is None or entry.usage is None:
        return NOTHING
    kind = Kind(entry.kind)
    if job.fate not in ("cut", "cancel"):
        return buckets(usage_from(kind, entry.usage))
    if kind is not Kind.MESSAGES:
        return NOTHING
    begun = {**entry.usage, "output_tokens": min(1, entry.usage["output_tokens"])}
    return buckets(usage_from(kind, begun))


def buckets(usage: Usage | None) -> Buckets:
    """In the order of BUCKETS."""
    if usage is None:
        return NOTHING
    writes = (usage.cache_write_5m, usage.cache_write_1h)
    return (usage.fresh_input, usage.cache_read, *writes, usage.output, usage.reasoning)


def read_rows(patchbay: Patchbay, count: int) -> dict[str, Record]:
    """The records by the model that was used, once there are `count`."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        names, found = patchbay.table("history", "SELECT * FROM analytics_requestrecord")
        rows = [dict(zip(names, row, strict=True)) for row in found]
        if len(rows) >= count or time.monotonic() > deadline:
            return {row["model_used"] or row["model_asked"].partition(":")[2]: row for row in rows}
        time.sleep(0.2)


def kept(patchbay: Patchbay, table: str) -> tuple[int, ...]:
    """The sums beside the records: requests, then SUMS."""
    names = ", ".join(f"SUM({name})" for name in ("requests", *SUMS))
    [row] = patchbay.sql("history", f"SELECT {names} FROM {table}")
    return tuple(int(value or 0) for value in row)


def sums_of(rows: Iterable[Record]) -> tuple[int, ...]:
    """The same, from the records."""
    total = [0] * 6
    for row in rows:
        fresh, read, short, long, output, reasoning = (row[name] or 0 for name in COLUMNS)
        parts = (1, fresh, read, short + long, output, reasoning)
        total = [a + b for a, b in zip(total, parts, strict=True)]
    return tuple(total)


def run(count: int, home: Path | None = None) -> Books:
    """All of it, on servers of its own."""
    listed = jobs(count)
    journal = Journal(limit=3 * count + 100, body_cap=0)
    place = {"home": home} if home is not None else {}
    with SimulatorThread(journal=journal) as upstream, Patchbay(SETTINGS, **place) as patchbay:
        furnish(patchbay, upstream.url)
        asyncio.run(send_all(patchbay.port, listed, upstream))
        rows = read_rows(patchbay, count)
        books = compare(listed, list(upstream.journal), rows)
        for table in ("analytics_usagehour", "analytics_usageday"):
            if (found := kept(patchbay, table)) != (wanted := sums_of(rows.values())):
                books.wrong.append(f"{table} has {found}, the records have {wanted}")
    return books


def main() -> int:
    """Print both sides. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Hold the ledger against the provider's journal.")
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    began = time.monotonic()
    books = run(options.requests, Path(isolation.HOME))
    print(f"{options.requests:,} requests in {time.monotonic() - began:.0f} s: {dict(books.outcomes)}")
    print(f"{'':24}" + "".join(f"{name:>14}" for name in BUCKETS))
    for kind in sorted(books.provider):
        for side, sums in (("provider", books.provider[kind]), ("ledger", books.ledger[kind])):
            print(f"{kind:12}{side:12}" + "".join(f"{sums[name]:>14,}" for name in BUCKETS))
    print(f"{books.failed_over:,} were answered after another account had failed.")
    print(f"{books.blind:,} chat streams whose usage was not asked for are estimated.")
    for line in books.wrong[:20]:
        print(f"WRONG {line}")
    print("The ledger equals the journal." if not books.wrong else f"{len(books.wrong):,} do not agree.")
    return 1 if books.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
