"""Clients that ask without a pause, and what became of each request; and a look into the databases of a home."""

from __future__ import annotations

import http.client
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def furnish(patchbay: Patchbay, upstream: SimulatorThread) -> None:
    """One backend, one account, in a home that need not exist yet."""
    patchbay.home.mkdir(mode=0o700, exist_ok=True)
    patchbay.manage(
        *("backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin"), stdin="sk-one\n"
    )


@dataclass
class Load:
    """What the clients saw: (id, when the last byte was there, seconds) of each whole answer; statuses; failures."""

    finished: list[tuple[str, float, float]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def slowest(self, share: float) -> float:
        """Seconds under which this share of the answers took."""
        taken = sorted(seconds for _, _, seconds in self.finished)
        return taken[min(len(taken) - 1, int(len(taken) * share))]


@contextmanager
def load(
    patchbay: Patchbay,
    *,
    clients: int = 2,
    pause: float = 0.0,
    streams: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Load]:
    """Requests one after the other from each client, until the end of the block. `streams`: every other one is one."""
    found, over = Load(), threading.Event()

    def ask_on() -> None:
        turn = 0
        while not over.is_set():
            began, turn = time.monotonic(), turn + 1
            body = {**BODY, "stream": True} if streams and turn % 2 else BODY
            try:
                answer = patchbay.post(CHAT, body, headers)
            except (OSError, http.client.HTTPException) as exc:
                found.failures.append(repr(exc))
                over.wait(0.02)
                continue
            now = time.monotonic()
            found.statuses.append(answer.status)
            if answer.status == 200:
                found.finished.append((answer.headers["x-patchbay-request-id"], now, now - began))
            over.wait(pause)

    with busy(ask_on, clients, over):
        yield found


@contextmanager
def busy(ask_on: Callable[[], None], clients: int, over: threading.Event) -> Iterator[None]:
    """So many clients at once, each in `ask_on` until `over` is set at the end of the block."""
    threads = [threading.Thread(target=ask_on, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"


def rows(database: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """What a statement gives."""
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def recorded(home: Path) -> set[str]:
    """The ids in the history. An id twice is an error."""
    ids = [id_ for (id_,) in rows(home / "history.sqlite3", "SELECT id FROM analytics_requestrecord")]
    assert len(ids) == len(set(ids))
    return set(ids)


def assert_sums_agree(home: Path) -> None:
    """As many requests in the sums as in the history: none twice, none missing."""
    history = home / "history.sqlite3"
    [(records,)] = rows(history, "SELECT COUNT(*) FROM analytics_requestrecord")
    for table in ("usagehour", "usageday"):
        [(counted,)] = rows(history, f"SELECT SUM(requests) FROM analytics_{table}")
        assert (counted or 0) == records, table


def assert_whole(home: Path) -> None:
    """Both databases."""
    for name in ("config", "history"):
        assert rows(home / f"{name}.sqlite3", "PRAGMA integrity_check") == [("ok",)]


def reasons(patchbay: Patchbay) -> str:
    """What `/health` complains of."""
    return " ".join(patchbay.get("/health").json()["reasons"])


def eventually(is_so: Any, patchbay: Patchbay, *, seconds: float = 15.0) -> float:
    """Wait until it is so; how long it took, in seconds."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"it never came:\n{patchbay.log[-3000:]}"
        time.sleep(0.05)
    return time.monotonic() - began


def tell(figures: str) -> None:
    """A line for whoever runs `make promises`: what was measured."""
    sys.stdout.write(f"\n{figures}\n")
