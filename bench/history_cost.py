"""`python -m bench.history_cost [--records 1000000]`: what writing the history costs, empty and full.

The writer's rows a second, with and without the sums beside the records, in an empty history and in one of many rows;
and the time that handing a finished draft over takes on the request path. Prints figures and ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.history_home import open_home

if TYPE_CHECKING:
    from analytics.drafts import RecordDraft

DRAFTS = 10_000
ROUNDS = 3
SESSIONS = 40
MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5", "gpt-5")


def drafts(count: int) -> list[RecordDraft]:
    """Finished requests of a few accounts, models and sessions, as a busy server has them."""
    from analytics.drafts import AttemptDraft, Outcome, RecordDraft, new_request_id
    from backends.wire.kinds import Kind, Protocol
    from backends.wire.usage import Usage

    made = []
    for number in range(count):
        model = MODELS[number % len(MODELS)]
        draft = RecordDraft(
            new_request_id(), Protocol.ANTHROPIC, Kind.MESSAGES, "POST", "/v1/messages", "bench/1"
        )
        draft.model_asked = draft.model_used = model
        draft.backend = draft.provider = "anthropic"
        draft.account, draft.key = f"account-{number % 5}", f"key-{number % 3}"
        draft.session, draft.session_source = f"session-{number % SESSIONS}", "header"
        draft.usage = Usage(1200, 50_000, 400, 0, 700, 0, b'{"input_tokens":1200}')
        draft.ttft_ms, draft.status, draft.lane = 350.0 + number % 900, 200, "direct"
        attempt = AttemptDraft("anthropic", draft.account, model)
        attempt.end("ok", "go_on")
        draft.attempts.append(attempt)
        draft.end(Outcome.OK)
        made.append(draft)
    return made


def rows_per_second() -> float:
    """The writer as it is: records, attempts, sums, sessions and facets."""
    from analytics.recorder import Recorder

    recorder = Recorder()
    for draft in drafts(DRAFTS):
        recorder.record(draft)
    began = time.perf_counter()
    while recorder.waiting:
        recorder.flush()
    return DRAFTS / (time.perf_counter() - began)


def rows_per_second_alone() -> float:
    """The records and attempts alone, in the same batches."""
    from django.db import connections, transaction

    from analytics.draft_rows import attempt_row, record_row
    from analytics.models import Attempt, RequestRecord
    from analytics.recorder import BATCH_ROWS, insert_rows

    made = drafts(DRAFTS)
    began = time.perf_counter()
    for start in range(0, DRAFTS, BATCH_ROWS):
        batch = made[start : start + BATCH_ROWS]
        attempts = [attempt_row(draft.id, 1, draft.attempts[0]) for draft in batch]
        with transaction.atomic(using="history"), connections["history"].cursor() as cursor:
            insert_rows(cursor, RequestRecord, [record_row(draft) for draft in batch])
            insert_rows(cursor, Attempt, attempts)
    return DRAFTS / (time.perf_counter() - began)


def microseconds_per_hand_over() -> float:
    """What the request path pays: an append to a queue."""
    from analytics.recorder import Recorder

    recorder, made = Recorder(), drafts(DRAFTS)
    began = time.perf_counter()
    for draft in made:
        recorder.record(draft)
    return (time.perf_counter() - began) / DRAFTS * 1e6


def best(values: Sequence[float]) -> float:
    """Of several rounds: what disturbs only makes slower."""
    return max(values)


def measure(name: str) -> tuple[float, float]:
    """Print both speeds of a history as it is now."""
    alone, whole = [], []
    for _ in range(ROUNDS):  # in turn, so that both see the same machine
        alone.append(rows_per_second_alone())
        whole.append(rows_per_second())
    print(
        f"{name:24}{best(alone):>10,.0f} rows/s without sums{best(whole):>10,.0f} with"
        f"   ratio {best(whole) / best(alone):.2f}"
    )
    return best(alone), best(whole)


def main() -> None:
    """Measure empty, fill, measure full."""
    parser = argparse.ArgumentParser(description="What writing the history costs.")
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    open_home()
    from bench.history_fill import fill

    rows_per_second()  # imports, the price list, the first pages
    print(f"handing a draft over: {microseconds_per_hand_over():.2f} µs")
    _, empty = measure("empty")
    fill(options.records)
    _, full = measure(f"{options.records:,} records")
    print(f"full over empty: {full / empty:.2f}")


if __name__ == "__main__":
    main()
