"""The verdict table, end to end: each fault against a pool of two and against a lone account, streaming and not.

All requests of the table run beside each other when the module starts; a test looks at what became of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.desk import Desk
from tests.patchbay import Answer, Patchbay
from tests.proxyapp.pools import PATHS, Pool, Pools, error_of, member
from tests.servers import SimulatorThread

CREDIT = "msg=Your%20credit%20balance%20is%20too%20low%20to%20access%20the%20Anthropic%20API."
BRIEFLY = "cooling or ready again"


@dataclass(frozen=True)
class Case:
    """A fault. `alone`: status, attempts and error code for a lone account; `word`: the account's status after."""

    script: str
    alone: tuple[int, int, str]
    word: str = "ready"
    only: str = ""  # "plain" or "stream", where the fault exists in one form alone
    moves_on: bool = True


CASES = [
    Case("status=429,ra=60", (429, 1, ""), "cooling"),
    Case("status=429,ra=date:60", (429, 1, ""), "cooling"),
    Case("status=429,ra=ms:60000", (429, 1, ""), "cooling"),
    Case("status=429,ra=1", (429, 2, ""), BRIEFLY),
    Case("status=429", (429, 2, ""), BRIEFLY),
    Case("status=429,ra=neg", (429, 2, ""), BRIEFLY),
    Case("status=429,ra=huge", (429, 2, ""), BRIEFLY),
    Case("status=429,ra=junk", (429, 2, ""), BRIEFLY),
    Case("status=429,ra=nan", (429, 2, ""), BRIEFLY),
    Case("status=429,code=insufficient_quota,type=insufficient_quota", (429, 1, ""), "cooling"),
    Case("status=401", (503, 1, "account_unavailable"), "needs-login"),
    Case("status=402", (402, 1, ""), "cooling"),
    Case("status=403", (403, 1, "")),
    Case(f"status=400,{CREDIT}", (400, 1, ""), "cooling"),
    Case("status=500", (500, 2, "")),
    Case("html502", (502, 2, "")),
    Case("status=503", (503, 2, ""), BRIEFLY),
    Case("status=529", (529, 2, ""), BRIEFLY),
    Case("error200", (500, 2, "")),
    Case("empty200", (502, 2, "upstream_bad_answer")),
    Case("wrong-type", (502, 2, "upstream_bad_answer")),
    Case("error-first", (500, 2, "")),
    Case("json-for-sse", (502, 2, "upstream_bad_answer"), only="stream"),
    Case("cut@0", (502, 2, "upstream_bad_answer"), only="stream"),
    Case("sse-for-json", (502, 2, "upstream_bad_answer"), only="plain"),
    Case("eof-after-request", (502, 1, "")),
    Case("ttfb=30s", (504, 1, "first_byte_timeout")),
    Case("cut@b60", (502, 1, ""), only="plain", moves_on=False),  # worked on and billed
    Case("redirect=307:/elsewhere", (502, 1, "upstream_redirect"), moves_on=False),
    Case("status=400", (400, 1, ""), moves_on=False),
    Case("status=404", (404, 1, ""), moves_on=False),
    Case("status=413", (413, 1, ""), moves_on=False),
    Case("status=422", (422, 1, ""), moves_on=False),
]
LANES = [
    ("openai", "openai", "plain"),
    ("anthropic", "anthropic", "plain"),
    ("openai", "openai", "stream"),
    ("anthropic", "anthropic", "stream"),
    ("responses", "responses", "stream"),
    ("openai", "anthropic", "stream"),
    ("anthropic", "openai", "stream"),
]
# Where the translated lane has something of its own to do; the other faults never get that far.
TRANSLATED = {
    *(
        "status=429,ra=60",
        "status=429,ra=1",
        "status=401",
        f"status=400,{CREDIT}",
        "status=500",
        "status=503",
    ),
    *("status=529", "error200", "empty200", "error-first", "json-for-sse", "cut@0", "status=400"),
}
VARIANTS = [
    pytest.param(case, form, client, backend, id=f"{case.script[:40]}-{form}-{client}-to-{backend}")
    for case in CASES
    for client, backend, form in LANES
    if case.only in ("", form) and (client == backend or case.script in TRANSLATED)
]
ENDS = {"openai": b"data: [DONE]", "anthropic": b"message_stop", "responses": b"response.completed"}

# What an error of the backend's protocol is called in the client's: (script, client, backend) → status.
MAPPED = {
    ("status=503", "anthropic", "openai"): 529,
    ("status=529", "openai", "anthropic"): 503,
    ("error-first", "openai", "anthropic"): 503,
    ("error-first", "anthropic", "anthropic"): 529,
}


@dataclass
class Outcome:
    """One request of the table: its pool and, in time, its answer."""

    pool: Pool
    answer: Future[Answer]


Table = dict[tuple[str, str, str, str, str], Outcome]


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    settings = {
        "PATCHBAY_QUEUE_SECONDS": "3",
        "PATCHBAY_UPSTREAM_TIMEOUTS": "connect=1,first_byte=5,first_byte_plain=5,idle=5",
    }
    with (
        SimulatorThread() as upstream,
        Patchbay(settings) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(32) as threads,
    ):
        yield dict(run_all(Pools(patchbay, upstream, desk, threads)))


def run_all(pools: Pools) -> Iterator[tuple[tuple[str, str, str, str, str], Outcome]]:
    """Make all pools at once, then start all requests."""
    planned = []
    for param in VARIANTS:
        case, form, client, backend = param.values
        bad = member(case.script, position=1)
        limits = (
            {"first_byte_timeout_s": 1.0, "first_byte_plain_timeout_s": 1.0} if "ttfb" in case.script else {}
        )
        kind = {"protocol": "openai", "responses": True} if backend == "responses" else {"protocol": backend}
        for size, members in (("pool", {"bad": bad, "good": member(position=2)}), ("alone", {"bad": bad})):
            made = pools.plan(members, strategy="fill-first", **kind, **limits)
            planned.append(((case.script, form, client, backend, size), *made))
    pools.carry_out([order for _, _, orders in planned for order in orders])
    for key, pool, _ in planned:
        yield key, Outcome(pool, pools.threads.submit(ask, pool, key[1] == "stream", key[2]))


def ask(pool: Pool, stream: bool, client: str) -> Answer:
    """One request in the client's protocol."""
    body = pool.body(stream=stream)
    if client == "responses":
        body = {"model": body["model"], "input": body["messages"], "stream": stream}
    elif client == "anthropic":
        body["max_tokens"] = 50
    return pool.servers.patchbay.post(PATHS[client], body)


@pytest.mark.parametrize(("case", "form", "client", "backend"), VARIANTS)
def test_in_a_pool_the_next_account_answers_or_nobody_would(
    table: Table, case: Case, form: str, client: str, backend: str
) -> None:
    outcome = table[case.script, form, client, backend, "pool"]
    answer, pool = outcome.answer.result(), outcome.pool
    if not case.moves_on:
        assert (answer.status, attempts_of(pool)) == (case.alone[0], ["bad"])
        return
    assert (answer.status, attempts_of(pool)) == (200, ["bad", "good"]), answer.body
    assert answer.headers["x-patchbay-attempts"] == "2"
    assert answer.headers["x-patchbay-account"] == pool.alias("good")
    assert_whole(answer, form, client)


def attempts_of(pool: Pool) -> list[str]:
    """Who was asked. A connection kept from before that ends without an answer is tried anew: no second attempt."""
    keys = pool.servers.upstream.journal.entries
    unanswered = {e.key for e in keys if e.reused and e.status is None}
    asked = pool.asked()
    for name, key in pool.keys.items():
        if key in unanswered:
            asked.remove(name)
    return asked


def assert_whole(answer: Answer, form: str, client: str) -> None:
    """One good answer, with its end, and no trace of an error."""
    if form == "plain":
        assert answer.json().get("error") is None
        return
    assert ENDS[client] in answer.body
    assert not re.search(rb'"error": ?[{"]', answer.body)


@pytest.mark.parametrize(("case", "form", "client", "backend"), VARIANTS)
def test_a_lone_account_s_answer_is_the_answer(
    table: Table, case: Case, form: str, client: str, backend: str
) -> None:
    outcome = table[case.script, form, client, backend, "alone"]
    answer, pool = outcome.answer.result(), outcome.pool
    status, attempts, code = case.alone
    status = MAPPED.get((case.script, client, backend), status)
    assert (answer.status, len(attempts_of(pool))) == (status, attempts), answer.body
    assert answer.headers["x-patchbay-attempts"] == str(attempts)
    if case.script == "html502" and client == backend:
        assert answer.body.startswith(b"<!doctype html>")  # upstream's own answer, untouched
        assert answer.headers["content-type"].startswith("text/plain")  # and no page of ours
        return
    error = error_of(answer)
    assert error["message"]
    if code:
        assert error["code"] == code


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.script[:40])
def test_what_the_fault_says_about_the_account(table: Table, case: Case) -> None:
    form = case.only or "plain"
    pool = table[case.script, form, "openai", "openai", "pool"].pool
    table[case.script, form, "openai", "openai", "pool"].answer.result()
    row = pool.show("bad")
    assert row["status"] in case.word
    assert row["inFlight"] == 0
    assert (row["status"] == "ready") == (row["cooldownMs"] == 0)
    assert row["status"] == "ready" or row["reason"]


def test_each_request_left_one_record(table: Table) -> None:
    for (script, *_), outcome in list(table.items())[::7]:
        answer = outcome.answer.result()
        rows = outcome.pool.rows()
        assert [row["id"] for row in rows] == [answer.headers["x-patchbay-request-id"]], script
        assert rows[0]["attempts"] == int(answer.headers["x-patchbay-attempts"])
