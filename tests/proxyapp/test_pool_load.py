"""Twenty accounts, five hundred requests at once, refusals at random: everybody gets an answer or an honest 429."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest

from backends.simulator import Entry
from tests.proxyapp.pools import PATHS, Pool, Pools, eventually

ACCOUNTS, REQUESTS = 20, 500


@dataclass(frozen=True)
class Got:
    """One client's answer."""

    text: str  # what it asked
    stream: bool
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(pool: Pool, text: str, stream: bool) -> Got:
    """One request on a connection of its own, read to the end."""
    port = pool.servers.patchbay.port
    body = json.dumps(pool.body(text, stream=stream)).encode()
    head = (
        f"POST {PATHS[pool.protocol]} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + body)
        raw = await reader.read()
    finally:
        writer.close()
    top, _, rest = raw.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Got(text, stream, int(lines[0].split()[1]), headers, rest)


def by_request(pool: Pool, entries: list[Entry]) -> dict[str, list[Entry]]:
    """What reached upstream, by the text that the client asked."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.method == "POST":
            found[str(entry.json()["messages"][0]["content"])].append(entry)  # type: ignore[index]
    return found


def script_at_random(pool: Pool, seed: int) -> None:
    """Refusals, faults and delays for the coming requests of every account."""
    chance = random.Random(seed)
    kinds = [
        "ok",
        "ttfb=30ms",
        "events=5,gap=10ms",
        "status=429,ra=1",
        "status=429,ra=2",
        "status=429,ra=600",
    ]
    for name in pool.keys:
        pool.script(name, *chance.choices(kinds, weights=[40, 20, 20, 12, 6, 2], k=60))


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
async def test_a_crowd(pools: Pools, protocol: str) -> None:
    patience = {"connect_timeout_s": 30.0, "first_byte_timeout_s": 60.0, "first_byte_plain_timeout_s": 60.0}
    pool = pools.make({f"n{number}": "" for number in range(ACCOUNTS)}, protocol=protocol, **patience)
    await asyncio.to_thread(script_at_random, pool, 7)
    pools.upstream.journal.clear()
    got = await asyncio.gather(*(ask(pool, f"{protocol} {n}", n % 3 == 0) for n in range(REQUESTS)))
    assert Counter(one.status for one in got).keys() <= {200, 429}
    assert sum(one.status == 200 for one in got) > REQUESTS / 2
    for one in got:
        check_answer(one, protocol)
    asked = by_request(pool, pools.upstream.journal.entries)
    for one in got:
        check_ledger(one, asked.get(one.text, []))
    assert eventually(lambda: set(pool.running().values()) == {0})
    told = pools.patchbay.get("/accounts").json()
    assert told["queued"] == 0
    assert sum(row["requestCount"] for row in pool.shown().values()) == sum(map(len, asked.values()))


def check_answer(one: Got, protocol: str) -> None:
    """Whole, or a 429 that says when."""
    if one.status == 429:
        assert int(one.headers["retry-after"]) >= 1
        assert b'"error"' in one.body
        return
    assert b'"error"' not in one.body
    if one.stream:
        assert (b"[DONE]" if protocol == "openai" else b"message_stop") in one.body


def check_ledger(one: Got, entries: list[Entry]) -> None:
    """At most three attempts, each on an account of its own but for a wait, and nothing after content."""
    assert len(entries) == int(one.headers["x-patchbay-attempts"]) <= 3
    statuses = [entry.status for entry in entries]
    assert all(status == 429 for status in statuses[:-1]), "nothing is sent again after content"
    if one.status == 200:
        assert statuses[-1] == 200
    else:
        assert 200 not in statuses
