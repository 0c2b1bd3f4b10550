"""Every fault, for a lone account and a pool, plain and streaming, in both lanes: what holds whatever the fault.

`tests/proxyapp/test_pool_failover.py` says for each fault what exactly comes of it; here is the whole product, with
one question: did the client get one whole good answer, or one clear error in its own protocol, and nothing in between?
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.desk import Desk
from tests.patchbay import Answer, Patchbay
from tests.promises.load import tell
from tests.proxyapp.pools import Pool, Pools, member
from tests.proxyapp.test_pool_failover import CASES, ENDS, ask
from tests.servers import SimulatorThread

pytestmark = [pytest.mark.promises, pytest.mark.timeout(600)]
CONNECTION = ("refuse", "eof-before", "eof-after-request", "accept-no-read", "hang", "rst")
FRAMING = (
    "1xx-forever",
    "header-drip",
    "header-huge",
    "dup-cl",
    "cl-te",
    "bad-chunk",
    "gzip-broken",
    "gzip-bomb",
)
LATER = ("cut@3", "rst,cut@3", "stall@3", "error@3:api_error", "no-terminal", "cut@b300", "bad-json@3")
FAULTS = (*(case.script for case in CASES if case.script not in CONNECTION), *CONNECTION, *FRAMING, *LATER)
LANES = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("responses", "responses"),
    ("openai", "anthropic"),
    ("anthropic", "openai"),
]
FORMS, SIZES = ("plain", "stream"), ("pool", "alone")
SECONDS = 20.0  # no answer takes longer than queue, first byte and idle time in sum


@dataclass
class Outcome:
    """One request: its pool and, in time, its answer and how long it took."""

    pool: Pool
    client: str
    form: str
    answer: Future[tuple[Answer, float]]


Table = dict[tuple[str, str, str, str, str], Outcome]


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    settings = {
        "PATCHBAY_QUEUE_SECONDS": "2",
        "PATCHBAY_UPSTREAM_TIMEOUTS": "connect=1,first_byte=3,first_byte_plain=3,idle=3",
    }
    with (
        SimulatorThread() as upstream,
        Patchbay(settings) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(24) as threads,
    ):
        servers, planned = Pools(patchbay, upstream, desk, threads), []
        for fault in FAULTS:
            for client, backend in LANES:
                for form in FORMS:
                    for size in SIZES:
                        members = {"bad": member(fault, position=1)}
                        if size == "pool":
                            members["good"] = member(position=2)
                        kind = {"protocol": backend}
                        if backend == "responses":
                            kind = {"protocol": "openai", "responses": True}  # type: ignore[dict-item]
                        made = servers.plan(members, strategy="fill-first", **kind)
                        planned.append(((fault, client, backend, form, size), *made))
        servers.carry_out([order for *_, orders in planned for order in orders])
        yield {
            key: Outcome(pool, key[1], key[3], threads.submit(timed, pool, key[3] == "stream", key[1]))
            for key, pool, _ in planned
        }


def timed(pool: Pool, stream: bool, client: str) -> tuple[Answer, float]:
    began = time.monotonic()
    return ask(pool, stream, client), time.monotonic() - began


def is_whole(answer: Answer, form: str, client: str) -> bool:
    """A good answer with its end, and nothing that says otherwise."""
    if answer.status != 200:
        return False
    if form == "stream":
        return ENDS[client] in answer.body and not has_error_event(answer.body)
    return answer.json().get("error") is None


def has_error_event(body: bytes) -> bool:
    found = [event_of(line) for line in body.splitlines() if line.startswith(b"data:") and b"{" in line]
    return any(event.get("error") or event.get("type") in ("error", "response.failed") for event in found)


def event_of(line: bytes) -> dict[str, object]:
    """Nothing, for JSON that upstream broke: the direct lane passes bytes on as they are."""
    try:
        return dict(json.loads(line[5:]))
    except ValueError:
        return {}


def assert_clear_error(answer: Answer, form: str, client: str, key: object) -> None:
    """In the client's protocol: before the stream as a status, in it as an event without the word for success."""
    if answer.status == 200:
        assert form == "stream", key
        assert has_error_event(answer.body), (key, answer.body)
        assert ENDS[client] not in answer.body
        return
    assert answer.status >= 400
    if answer.headers["content-type"].startswith("text/"):
        return  # upstream's own page, passed on untouched in the direct lane
    assert answer.body.startswith(b"{"), (key, answer.headers, answer.body)
    error = answer.json()["error"]
    assert error["message"]
    assert error["type"]
    if client == "anthropic":
        assert answer.json()["type"] == "error"
    if answer.status in (429, 503):
        assert int(answer.headers.get("retry-after", "1")) >= 1


@pytest.mark.parametrize("fault", FAULTS)
def test_one_whole_answer_or_one_clear_error(table: Table, fault: str) -> None:
    for key, outcome in table.items():
        if key[0] != fault:
            continue
        answer, seconds = outcome.answer.result()
        asked = outcome.pool.asked()
        whole = is_whole(answer, outcome.form, outcome.client)
        assert seconds < SECONDS, key
        assert len(asked) <= 4, key  # three attempts, and a kept connection that had ended
        if not whole:
            assert_clear_error(answer, outcome.form, outcome.client, key)
        if answer.status == 200 and not whole:
            assert "good" not in asked, key  # content had come: nobody else was asked
        served = answer.headers.get("x-patchbay-account", "")
        assert not (whole and "good" in asked) or served == outcome.pool.alias("good"), key


def test_each_request_left_one_record_and_nothing_runs(table: Table) -> None:
    answers = {key: outcome.answer.result() for key, outcome in table.items()}
    servers = next(iter(table.values())).pool.servers
    wanted = {answer.headers["x-patchbay-request-id"] for answer, _ in answers.values()}
    found = [str(row["id"]) for row in servers.desk.do({"do": "rows"})[0]]
    deadline = time.monotonic() + 10
    while not wanted <= set(found) and time.monotonic() < deadline:
        found = [str(row["id"]) for row in servers.desk.do({"do": "rows"})[0]]
    assert sorted(found) == sorted(wanted)
    accounts = servers.patchbay.get("/accounts").json()["accounts"]
    assert {row["inFlight"] for row in accounts} == {0}
    whole = sum(is_whole(answer, table[key].form, table[key].client) for key, (answer, _) in answers.items())
    slowest = max(seconds for _, seconds in answers.values())
    tell(
        f"{len(answers)} requests ({len(FAULTS)} faults × {len(LANES)} lanes × 2 forms × 2 sizes):"
        f" {whole} whole answers, {len(answers) - whole} clear errors, slowest {slowest:.1f} s"
    )
