"""Patchbay on PostgreSQL: two that start at once, the same answers, and a database that goes and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.patchbay import Patchbay
from tests.postgres_server import PostgresServer, postgres

__all__ = ["postgres"]

BODY = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = "/v1/messages"


def eventually(holds: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer) -> Iterator[tuple[Patchbay, Patchbay]]:
    """Two machines, as far as their homes go, that start at once on empty databases."""
    settings = {**postgres.settings("pair"), "PATCHBAY_SECRET_KEY": "one-secret-for-both-machines"}
    one, two = Patchbay(settings, flags=("--demo",)), Patchbay(settings, flags=("--demo",))
    try:
        with ThreadPoolExecutor(2) as both:
            list(both.map(lambda each: each.start(), (one, two)))
        yield one, two
    finally:
        for each in (one, two):
            if each.process is not None:
                each.stop()


def test_two_machines_that_start_at_once_both_serve(
    pair: tuple[Patchbay, Patchbay], postgres: PostgresServer
) -> None:
    assert {each.post(MESSAGES, BODY).status for each in pair} == {200}
    applied = "SELECT app, name, count(*) FROM django_migrations GROUP BY 1, 2 HAVING count(*) > 1"
    assert postgres.ask(applied, "pair_config") == postgres.ask(applied, "pair_history") == []


def test_what_one_is_told_the_other_follows(pair: tuple[Patchbay, Patchbay]) -> None:
    one, two = pair
    key = one.manage("keys", "add", "laptop").stdout.splitlines()[-1]
    eventually(lambda: two.post(MESSAGES, BODY).status == 401, two.log)
    assert two.post(MESSAGES, BODY, {"x-api-key": key}).status == 200
    one.manage("keys", "revoke", "laptop")


def test_history_is_written_again_when_the_database_is_back(
    pair: tuple[Patchbay, Patchbay], postgres: PostgresServer
) -> None:
    one, _ = pair
    key = one.manage("keys", "add", "desk").stdout.splitlines()[-1]
    caller = {"x-api-key": key}
    eventually(lambda: one.post(MESSAGES, BODY, caller).status == 200, one.log)
    postgres.stop()
    answer = one.post(MESSAGES, BODY, caller)
    assert answer.status == 200  # a request needs no database
    eventually(lambda: "takes no rows" in one.get("/health").body.decode(), one.log)
    postgres.start()
    written = f"SELECT 1 FROM analytics_requestrecord WHERE id = '{answer.headers['x-patchbay-request-id']}'"
    eventually(lambda: postgres.ask(written, "pair_history") == [(1,)], one.log)
    one.manage("keys", "revoke", "desk")
    eventually(
        lambda: one.post(MESSAGES, BODY, caller).status == 401, f"configuration is not followed: {one.log}"
    )
    eventually(lambda: one.get("/health").json()["status"] == "ok", one.get("/health").body.decode())


def test_backup_says_what_to_run_instead(pair: tuple[Patchbay, Patchbay]) -> None:
    done = pair[0].manage("backup", check=False)
    assert done.returncode == 1
    assert done.stderr.count("pg_dump --format=custom") == 2


def test_one_database_for_both_is_refused(postgres: PostgresServer) -> None:
    urls = postgres.settings("same")
    same = Patchbay({**urls, "HISTORY_DATABASE_URL": urls["DATABASE_URL"]})
    done = same.manage("runproxy", check=False)
    assert done.returncode == 1
    assert "Give the history one of its own" in done.stderr
