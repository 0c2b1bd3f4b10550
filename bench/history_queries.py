"""`python -m bench.history_queries --home DIR`: how long pages of a large history take (see bench/history_fill.py).

The median of several runs counts, in a process that has the file open, with the system's cache as it is. The budget
of a page is 150 ms and ten queries.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench import machine
from bench.history_home import open_home

RUNS = 7
BUDGET_MS, BUDGET_QUERIES = 150.0, 10


def cases() -> dict[str, Callable[[], Any]]:
    """What is measured, by name."""
    from analytics.models import Facet, RequestRecord
    from analytics.queries import HistoryFilter, attempts_of, find_record, today

    newest = RequestRecord.objects.order_by("-started_at")[0]
    middle = newest.started_at - timedelta(days=45)
    row = RequestRecord.objects.filter(started_at__lte=middle).order_by("-started_at")[0]
    deep = f"{middle:%Y%m%dT%H%M%S.%f}~"
    found: dict[str, Callable[[], Any]] = {}
    for name, wanted in filters(row, newest.started_at, middle).items():
        found[f"page: {name}"] = lambda wanted=wanted: HistoryFilter(**wanted).page()
        found[f"page 45 days back: {name}"] = lambda wanted=wanted: HistoryFilter(**wanted).page(before=deep)
    found["one request with its attempts"] = lambda: attempts_of(find_record(row.id) or row)
    found["facets of all columns"] = lambda: list(Facet.objects.order_by("column", "-last_seen")[:500])
    found["today's failures"] = today
    return found


def filters(row: Any, newest: datetime, middle: datetime) -> dict[str, dict[str, Any]]:
    """What people look for, by name; `row` is a record of the time `middle`."""
    return {
        "everything": {},
        "outcome=error": {"outcome": "error"},
        "outcome=shutdown (none)": {"outcome": "shutdown"},
        "model=claude-sonnet-4-5": {"model": "claude-sonnet-4-5"},
        "model=Qwen2.5-Coder (rare, other case)": {"model": "Qwen2.5-Coder"},
        "model=sonnet (an alias)": {"model": "sonnet"},
        "model=nothing": {"model": "nothing"},
        "backend=anthropic": {"backend": "anthropic"},
        "backend=ollama (1 %)": {"backend": "ollama"},
        "account=anthropic-2": {"account": "anthropic-2"},
        "key=key-3": {"key": "key-3"},
        "key=key-19 (rare)": {"key": "key-19"},
        "session": {"session": row.session},
        "agent": {"agent": row.agent or "agent-1-1"},
        "status=429": {"status": "429"},
        "status=5xx": {"status": "5xx"},
        "status=418 (none)": {"status": "418"},
        "kind=embeddings": {"kind": "embeddings"},
        "lane=translated": {"lane": "translated"},
        "stream=false": {"stream": False},
        "alarm=any": {"alarm": "any"},
        "alarm=zero_usage": {"alarm": "zero_usage"},
        "client=codex": {"client": "codex"},
        "min_duration=60 s": {"min_duration_ms": 60_000.0},
        "since 1 h": {"since": newest - timedelta(hours=1)},
        "until 45 days ago": {"until": middle},
        "text=overloaded": {"text": "overloaded"},
        "text=nothing": {"text": "zzz nothing like it"},
        "text=a request id": {"text": row.id},
        "backend=openai, outcome=error, key=key-2": {"backend": "openai", "outcome": "error", "key": "key-2"},
        "account=openai-1, status=429, model=gpt-5": {
            "account": "openai-1",
            "status": "429",
            "model": "gpt-5",
        },
    }


def measure(run: Callable[[], Any]) -> dict[str, Any]:
    """Median and worst of RUNS, queries of the last, and what a page came to."""
    from django.db import connections, reset_queries

    connection, times = connections["history"], []
    connection.force_debug_cursor = True
    for _ in range(RUNS):
        reset_queries()
        began = time.perf_counter()
        answer = run()
        times.append((time.perf_counter() - began) * 1000)
    told = {
        "ms": round(statistics.median(times), 1),
        "worst": round(max(times), 1),
        "queries": len(connection.queries),
    }
    if hasattr(answer, "searched_to"):
        told |= {
            "rows": len(answer.rows),
            "goes on": bool(answer.next),
            "searched to": str(answer.searched_to or ""),
        }
    return told


def main() -> int:
    """Print a line of JSON for each; 1 when one is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    open_home(parser.parse_args().home)
    print(json.dumps(machine.describe()))
    over = 0
    for name, run in cases().items():
        told = measure(run)
        over += told["ms"] > BUDGET_MS or told["queries"] > BUDGET_QUERIES
        print(json.dumps({"what": name} | told))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
