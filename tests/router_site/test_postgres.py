"""Patchbay on PostgreSQL: two that start at once, the same answers, and a database that goes and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from pytest_django import DjangoDbBlocker

from analytics.refusal import is_unavailable
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


def test_a_standby_that_takes_no_rows_loses_none(
    pair: tuple[Patchbay, Patchbay], postgres: PostgresServer
) -> None:
    one, _ = pair
    caller = {"x-api-key": one.manage("keys", "add", "standby").stdout.splitlines()[-1]}
    eventually(lambda: one.post(MESSAGES, BODY, caller).status == 200, one.log)
    begin_anew = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'pair_history'"
    postgres.ask("ALTER DATABASE pair_history SET default_transaction_read_only = on")
    postgres.ask(begin_anew)
    answer = one.post(MESSAGES, BODY, caller)
    assert answer.status == 200
    eventually(lambda: "takes no rows" in one.get("/health").body.decode(), one.log)
    postgres.ask("ALTER DATABASE pair_history RESET default_transaction_read_only")
    postgres.ask(begin_anew)
    written = f"SELECT 1 FROM analytics_requestrecord WHERE id = '{answer.headers['x-patchbay-request-id']}'"
    eventually(lambda: postgres.ask(written, "pair_history") == [(1,)], one.log)
    assert "is left out" not in one.log
    one.manage("keys", "revoke", "standby")


@pytest.mark.parametrize(
    ("statement", "is_worth_another_try"),
    [
        ("SELECT * FROM nowhere", True),
        ("SELECT nothing FROM pg_class", True),
        ("BEGIN READ ONLY; CREATE TABLE t ()", True),
        ("SET statement_timeout = 50; SELECT pg_sleep(9)", True),
        ("SELECT 1 / 0", False),
        ("SELECT 'x'::integer", False),
        ("CREATE TEMP TABLE t (a text NOT NULL); INSERT INTO t VALUES (NULL)", False),
        (
            "CREATE TEMP TABLE t (a text UNIQUE); INSERT INTO t"
            " SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n",
            False,
        ),
    ],
)
def test_what_a_refusal_blames(
    postgres: PostgresServer,
    django_db_blocker: DjangoDbBlocker,
    statement: str,
    *,
    is_worth_another_try: bool,
) -> None:
    connection = connection_to(postgres)
    with django_db_blocker.unblock(), closing(connection), pytest.raises(DatabaseError) as caught:
        connection.cursor().execute(statement)
    assert is_unavailable(caught.value) is is_worth_another_try


def test_a_text_with_nul_is_taken_and_finds_nothing(
    postgres: PostgresServer, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock(), closing(connection_to(postgres)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT %s, 'a' = %s, %s", ["a\0b", "a\0", "it's \\ all"])
        assert cursor.fetchone() == ("a\ufffdb", False, "it's \\ all")


def connection_to(postgres: PostgresServer) -> BaseDatabaseWrapper:
    """As Patchbay's own."""
    place = {"ENGINE": "router_site.postgres", "NAME": "postgres", "USER": "patchbay", "HOST": "127.0.0.1"}
    return ConnectionHandler({"default": {**place, "PORT": postgres.port}})["default"]


def test_backup_says_what_to_run_instead(pair: tuple[Patchbay, Patchbay]) -> None:
    done = pair[0].manage("backup", check=False)
    assert done.returncode == 1
    assert done.stderr.count("pg_dump --format=custom") == 2


MORE_RECORDS = """
    INSERT INTO analytics_requestrecord SELECT made.* FROM analytics_requestrecord one, generate_series(1, 12000) n,
        jsonb_populate_record(one, jsonb_build_object('id', 'more' || n, 'started_at', now() - n * interval '1 second',
            'error', (SELECT string_agg(md5(n || ' ' || part), '') FROM generate_series(1, 50) part))) made
    WHERE one.id = (SELECT min(id) FROM analytics_requestrecord)"""
TAKEN = "SELECT pg_total_relation_size('analytics_requestrecord')"
KEPT = "SELECT count(*), max(started_at) > now() - interval '1 hour' FROM analytics_requestrecord"


def test_the_history_is_bounded_by_what_its_rows_hold(
    pair: tuple[Patchbay, Patchbay], postgres: PostgresServer
) -> None:
    one, _ = pair
    small = Patchbay({**one.settings, "PATCHBAY_HISTORY_MB": "16"}, home=one.home)
    one.post(MESSAGES, BODY)
    eventually(lambda: postgres.ask(KEPT, "pair_history")[0][0] != 0, one.log)
    postgres.ask(MORE_RECORDS, "pair_history")
    [(before,)] = postgres.ask(TAKEN, "pair_history")
    assert "Would go: the oldest records that take " in small.manage("prune").stdout
    assert " records." in small.manage("prune", "--yes").stdout
    [(kept, are_newest)] = postgres.ask(KEPT, "pair_history")
    assert are_newest
    assert "Nothing is over the limits" in small.manage("prune").stdout  # though the server keeps the room
    assert postgres.ask(TAKEN, "pair_history") >= [(before,)]
    small.manage("prune", "--vacuum", "--yes")
    assert postgres.ask(KEPT, "pair_history") == [(kept, True)]
    [(after,)] = postgres.ask(TAKEN, "pair_history")
    assert 12 * 2**20 < int(str(after)) < 20 * 2**20  # an estimate, and a good one


def test_one_database_for_both_is_refused(postgres: PostgresServer) -> None:
    urls = postgres.settings("same")
    same = Patchbay({**urls, "HISTORY_DATABASE_URL": urls["DATABASE_URL"]})
    done = same.manage("runproxy", check=False)
    assert done.returncode == 1
    assert "Give the history one of its own" in done.stderr


def test_a_start_that_ends_halfway_says_that_it_goes_on_from_there(postgres: PostgresServer) -> None:
    patchbay = Patchbay(postgres.settings("halfway"), is_blank=True)
    postgres.ask("CREATE TABLE backends_priceoverride (mine text)", "halfway_config")
    done = patchbay.manage("accounts", "list", check=False)
    assert done.returncode == 1
    assert "backends_priceoverride" in done.stderr
    assert "What was applied by then stays" in done.stderr
    postgres.ask("DROP TABLE backends_priceoverride", "halfway_config")
    assert patchbay.manage("accounts", "list").returncode == 0
