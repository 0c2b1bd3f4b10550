"""`python -m bench.history_fill N [--home DIR]`: a history with N plausible records, for measuring pages and queries.

The rows are made the way a provider's traffic looks (ten accounts of four backends, a few models used by most, a few
per cent of failures, agents in sessions, rare alarms) and go in with the statements of the recorder.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from bench.history_home import open_home, settled_size

BATCH = 5000
DAYS = 90
BACKENDS = (("anthropic", 5, 0.62), ("openai", 3, 0.25), ("openrouter", 1, 0.12), ("ollama", 1, 0.01))
MODELS = {
    "anthropic": ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5"),
    "openai": ("gpt-5", "gpt-5-mini"),
    "openrouter": ("qwen/qwen3-coder", "z-ai/glm-4.6", "moonshotai/kimi-k2"),
    "ollama": ("llama3.3", "qwen2.5-coder"),
}
CLIENTS = (
    "claude-cli/2.0.{} (external, cli)",
    "codex_cli_rs/0.5{}.0",
    "opencode/0.1{}",
    "OpenAI/Python 2.{}.0",
)
OUTCOMES = (
    ("ok", 200),
    ("error", 502),
    ("error", 429),
    ("cancelled", 200),
    ("truncated", 200),
    ("rejected", 404),
)
WEIGHTS = (9600, 120, 60, 150, 40, 30)
DECISION = (
    '["catalog","it is in the catalog of {backend}",[["{backend}","{model}","headroom","{account}",'
    '"it has the most left of its windows",0.0,[["{account}",0.71,0.71,""],["other",0.4,0.4,""]],0,false]]]'
)
RAW = '{{"input_tokens":{},"cache_read_input_tokens":{},"cache_creation_input_tokens":{},"output_tokens":{}}}'


def rows(count: int, end: datetime, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Records, the oldest first: evenly over DAYS days, more in the daytime."""
    chooser = random.Random(seed)
    step = timedelta(days=DAYS) / count
    for number in range(count):
        yield _row(chooser, number, end - (count - number) * step)


def _row(chooser: random.Random, number: int, at: datetime) -> dict[str, Any]:
    backend, accounts, _ = chooser.choices(BACKENDS, [share for *_, share in BACKENDS])[0]
    account = f"{backend}-{chooser.randint(1, accounts)}"
    model = MODELS[backend][min(int(chooser.expovariate(1.2)), len(MODELS[backend]) - 1)]
    outcome, status = chooser.choices(OUTCOMES, WEIGHTS)[0]
    is_messages = backend == "anthropic"
    session = number // 400 * 8 + chooser.randrange(8)
    duration = chooser.lognormvariate(8.3, 0.9)
    row = {
        "id": f"req_{number:024x}",
        "started_at": at,
        "duration_ms": duration,
        "kind": "messages" if is_messages else "chat" if chooser.random() < 0.97 else "embeddings",
        "status": status,
        "outcome": outcome,
        "protocol": "anthropic" if is_messages else "openai",
        "lane": "direct" if chooser.random() < 0.9 else "translated",
        "stream": chooser.random() < 0.92,
        "model_asked": "sonnet" if chooser.random() < 0.02 else model,
        "model_used": model,
        "backend": backend,
        "account": account,
        "key": f"key-{min(int(chooser.expovariate(0.5)), 19)}",
        "session": f"session-{session:08x}",
        "session_source": "header",
        "agent": f"agent-{session}-{chooser.randrange(4)}" if chooser.random() < 0.4 else "",
        "parent_agent": "",
        "provider": backend,
        "attempts": 1 if chooser.random() < 0.97 else 2,
        **_kept(chooser, duration),
        "method": "POST",
        "path": "/v1/messages" if is_messages else "/v1/chat/completions",
        "client": CLIENTS[session % 4].format(session % 9),
        "error": ""
        if status < 400
        else f"{backend} answered {status}: the server is overloaded ({number % 997})",
        "alarm": "zero_usage" if number % 20_011 == 0 else None,
        "decision": DECISION.format(backend=backend, account=account, model=model),
    }
    return row | _tokens(chooser)


def _kept(chooser: random.Random, duration: float) -> dict[str, Any]:
    """Sizes and phases, and what was changed."""
    return {
        "mutations": "model",
        "lost": "",
        "request_bytes": chooser.randrange(2_000, 400_000),
        "response_bytes": chooser.randrange(500, 60_000),
        **dict.fromkeys(("connect_ms", "overhead_ms", "lease_ms", "queued_ms"), 0.4),
        "ttfb_ms": duration / 6,
        "ttft_ms": duration / 5,
    }


def _tokens(chooser: random.Random) -> dict[str, Any]:
    fresh, read, wrote = chooser.randrange(3000), chooser.randrange(120_000), chooser.randrange(4000)
    output = int(chooser.lognormvariate(5.5, 1.0))
    return {
        "fresh_input_tokens": fresh,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": wrote,
        "cache_write_1h_tokens": 0,
        "output_tokens": output,
        "reasoning_tokens": 0,
        "usage_source": "reported",
        "raw_usage": RAW.format(fresh, read, wrote, output),
        "cost": Decimal(3 * fresh + 15 * output).scaleb(-6),
        "cost_source": "priced",
    }


def fill(count: int, *, end: datetime | None = None, seed: int = 1) -> None:
    """Store the records, an attempt for each that was not rejected, and the sums and facets beside them."""
    found = rows(count, end or datetime.now(UTC), seed)
    while batch := list(islice(found, BATCH)):
        _store(batch)


def _store(batch: list[dict[str, Any]]) -> None:
    from django.db import connections, transaction

    from analytics.models import Attempt, RequestRecord
    from analytics.rollup_store import add, add_facets
    from analytics.rollups import aggregate

    with transaction.atomic(using="history"), connections["history"].cursor() as cursor:
        _insert(cursor, RequestRecord._meta.db_table, batch)
        attempts = [_attempt(row) for row in batch if row["outcome"] != "rejected"]
        _insert(cursor, Attempt._meta.db_table, attempts)
        sums = aggregate(batch)
        add(cursor, sums)
        add_facets(cursor, sums.facets)


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    same = {
        name: row[name] for name in ("started_at", "duration_ms", "backend", "account", "status", "error")
    }
    outcome = "ok" if row["status"] == 200 else "server_error"
    return same | {
        "request_id": row["id"],
        "number": 1,
        "model": row["model_used"],
        "outcome": outcome,
        "verdict": "go_on",
    }


def _insert(cursor: Any, table: str, rows: list[dict[str, Any]]) -> None:
    from analytics.rollup_store import adapted

    names, marks = ", ".join(f'"{name}"' for name in rows[0]), ", ".join(["%s"] * len(rows[0]))
    values = [list((row | {"started_at": adapted(row["started_at"])}).values()) for row in rows]
    cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)


def main() -> None:
    """Fill, and say how long it took and how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--home", type=Path, help="where; a new place unless given")
    options = parser.parse_args()
    home, began = open_home(options.home), time.monotonic()
    fill(options.count)
    print(
        f"{options.count:,} records in {time.monotonic() - began:.0f} s, {settled_size() / 1e6:,.0f} MB: {home}"
    )


if __name__ == "__main__":
    main()
