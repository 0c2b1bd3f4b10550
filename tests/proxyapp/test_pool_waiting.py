"""When all accounts are spent: who waits is served at the reset, who cannot be is told the truth at once."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.pools import PATHS, Pool, Pools, error_of, eventually, member
from tests.servers import SimulatorThread


def queued(pools: Pools) -> int:
    """How many requests wait now."""
    return int(pools.patchbay.get("/accounts").json()["queued"])


def spend(pool: Pool, wait: str) -> None:
    """Have the provider refuse every account for so long, learnt by requests of another session."""
    for name in pool.keys:
        pool.script(name, f"status=429,{wait}")
    while any(row["status"] == "ready" for row in pool.shown().values()):
        assert pool.ask().status == 429


# --- served at the reset ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_request_waits_for_the_reset_and_is_served(pools: Pools, protocol: str, stream: bool) -> None:
    pool = pools.make({"a": "", "b": ""}, protocol=protocol)
    pool.script("a", "status=429,ra=1")
    pool.script("b", "status=429,ra=600")
    began = time.monotonic()
    answer = pool.ask(stream=stream)
    assert answer.status == 200
    assert 0.9 < time.monotonic() - began < 4
    assert sorted(pool.asked()) == ["a", "a", "b"]
    assert answer.headers["x-patchbay-account"] == pool.alias("a")
    assert float(answer.headers["x-patchbay-overhead-ms"]) < 500, "waiting is not overhead"


def test_a_spent_window_is_waited_for_without_asking_upstream(pools: Pools) -> None:
    pool = pools.make({"a": ""}, protocol="anthropic")
    pool.script("a", "rl=unified,u5h=1.01,overage=rejected,reset=2s")
    assert pool.ask().status == 200  # served, and the provider says that it was the last one
    assert pool.status("a") == "limited"
    began = time.monotonic()
    assert pool.ask().status == 200
    assert 0.5 < time.monotonic() - began < 4
    assert len(pool.asked()) == 2


def test_the_wait_does_not_eat_the_time_for_the_answer(pools: Pools) -> None:
    pool = pools.make({"a": ""}, connect_timeout_s=0.2, first_byte_plain_timeout_s=1.0)
    pool.script("a", "status=429,ra=2", "ttfb=700ms")
    assert pool.ask().status == 200


# --- told at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_recovery_that_is_too_far_away_is_told_at_once(pools: Pools, protocol: str) -> None:
    pool = pools.make({"a": "", "b": ""}, protocol=protocol)
    pool.script("a", "status=429,ra=900")
    pool.script("b", "status=429,ra=300")
    assert pool.ask().status == 429
    began = time.monotonic()
    answer = pool.ask()
    assert time.monotonic() - began < 2
    assert 290 <= int(answer.headers["retry-after"]) <= 300
    assert (answer.status, answer.headers["x-should-retry"]) == (429, "false")
    assert answer.headers["x-patchbay-attempts"] == "0"
    error = error_of(answer)
    assert (error["type"], error["code"]) == ("rate_limit_error", "pool_exhausted")
    assert pool.alias("a") in error["message"]
    assert pool.alias("b") in error["message"]
    assert "5 min" in error["message"]
    assert answer.headers["x-patchbay-decision"].startswith("headroom: none (no account can serve)")
    if protocol == "anthropic":
        assert answer.json()["type"] == "error"
    assert len(pool.asked()) == 2


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_where_all_are_broken_nobody_waits(pools: Pools, protocol: str) -> None:
    pool = pools.make({"refused": "status=401", "off": ""}, protocol=protocol)
    pool.do("pause", "off")
    assert pool.ask().status == 503
    began = time.monotonic()
    answer = pool.ask()
    assert time.monotonic() - began < 2
    error = error_of(answer)
    kind = {"openai": "server_error", "anthropic": "api_error"}[protocol]
    assert (answer.status, error["type"], error["code"]) == (503, kind, "account_unavailable")
    assert (answer.headers["x-should-retry"], 1 <= int(answer.headers["retry-after"]) <= 66) == (
        "false",
        True,
    )
    assert f"{pool.alias('off')}: paused" in error["message"]
    assert pool.alias("refused") in error["message"]
    assert pool.name in error["message"]
    assert len(pool.asked()) == 1


def test_one_that_is_only_spent_among_broken_ones_is_waited_for(pools: Pools) -> None:
    pool = pools.make({"off": "", "spent": ""})
    pool.do("pause", "off")
    pool.script("spent", "status=429,ra=1")
    assert pool.ask().status == 200


def test_the_record_says_how_long_it_waited(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    pool.script("a", "status=429,ra=1")
    answer = pool.ask()
    told = pools.patchbay.manage("why", answer.headers["x-patchbay-request-id"]).stdout
    assert re.search(r"account: (99\d|1,\d\d\d)\.\d ms", told), told


# --- leaving ------------------------------------------------------------------------------------------------


def test_who_leaves_frees_the_place_and_asks_nobody(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    spend(pool, "ra=600")
    pool.do("resume", "a")
    pool.script("a", "status=429,ra=2")
    client = socket.create_connection(("127.0.0.1", pools.patchbay.port))
    client.sendall(raw_request(pools.patchbay, pool))
    assert eventually(lambda: queued(pools) == 1)
    before = len(pool.asked())
    client.close()
    assert eventually(lambda: queued(pools) == 0, within=1)
    assert eventually(lambda: pool.status("a") == "ready")
    assert len(pool.asked()) == before
    assert pool.running() == {"a": 0}
    assert [row["outcome"] for row in pool.rows(2)] == ["error", "cancelled"]


def raw_request(patchbay: Patchbay, pool: Pool, key: str = "") -> bytes:
    """A chat request as bytes."""
    body = json.dumps(pool.body()).encode()
    auth = f"x-patchbay-key: {key}\r\n" if key else ""
    head = (
        f"POST {PATHS['openai']} HTTP/1.1\r\nHost: 127.0.0.1:{patchbay.port}\r\n{auth}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


# --- a queue of five, shared by two keys ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Iterator[Pools]:
    """A Patchbay whose queue takes five requests, for as long as a test needs."""
    settings = {"PATCHBAY_QUEUE_MAX": "5", "PATCHBAY_QUEUE_SECONDS": "20"}
    with (
        SimulatorThread() as upstream,
        Patchbay(settings) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(32) as threads,
    ):
        yield Pools(patchbay, upstream, desk, threads)


def test_a_full_queue_refuses_at_once_with_the_true_time(small: Pools) -> None:
    pool = small.make({"a": ""})
    pool.script("a", "status=429,ra=3")
    waiting = [pool.asking()]
    assert eventually(lambda: queued(small) == 1)
    waiting += [pool.asking() for _ in range(4)]
    assert eventually(lambda: queued(small) == 5)
    began = time.monotonic()
    answer = pool.ask()
    assert time.monotonic() - began < 2
    assert (answer.status, error_of(answer)["code"]) == (429, "queue_full")
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    assert "PATCHBAY_QUEUE_MAX" in error_of(answer)["message"]
    assert {one.result().status for one in waiting} == {200}
    assert queued(small) == 0


def test_keys_take_turns_and_a_greedy_one_makes_room(small: Pools) -> None:
    greedy, modest = small.desk.do({"do": "key", "name": "greedy"}, {"do": "key", "name": "modest"})
    small.desk.settle()
    many, few = {"x-patchbay-key": greedy}, {"x-patchbay-key": modest}
    pool = small.make({"a": member(min_interval_ms=250)})
    pool.script("a", "status=429,ra=2")
    asked = [pool.asking(headers=many)]
    assert eventually(lambda: queued_of(small, greedy) == 1)
    asked += [pool.asking(headers=many) for _ in range(4)]
    assert eventually(lambda: queued_of(small, greedy) == 5)
    late = [pool.asking(headers=few) for _ in range(2)]
    assert [one.result().status for one in late] == [200, 200]
    assert sorted(one.result().status for one in asked) == [200, 200, 200, 429, 429]
    served = [row for row in pool.rows(7) if row["status"] == 200]
    order = [row["key"] for row in sorted(served, key=ended)]
    assert order[:4].count("modest") == 2, "keys take turns, so who came late is not behind all others"


def ended(row: dict[str, object]) -> float:
    """When a request ended, in milliseconds."""
    hours, minutes, seconds = str(row["startedAt"]).partition("T")[2].rstrip("Z").split(":")
    return 60_000 * (60 * int(hours) + int(minutes)) + 1000 * float(seconds) + float(str(row["durationMs"]))


def queued_of(pools: Pools, key: str) -> int:
    """How many wait, asked as this key."""
    return int(pools.patchbay.get("/accounts", {"x-patchbay-key": key}).json()["queued"])


# --- the end of the process -----------------------------------------------------------------------------------


def test_who_waits_when_the_server_drains_is_served_or_told() -> None:
    settings = {"PATCHBAY_QUEUE_SECONDS": "30", "PATCHBAY_DRAIN_SECONDS": "3"}
    with (
        SimulatorThread() as upstream,
        Patchbay(settings) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(8) as threads,
    ):
        pools = Pools(patchbay, upstream, desk, threads)
        soon, late = pools.make({"a": ""}), pools.make({"b": ""})
        soon.script("a", "status=429,ra=2")
        late.script("b", "status=429,ra=25")
        waiting = [soon.asking(), late.asking()]
        assert eventually(lambda: queued(pools) == 2)
        assert patchbay.process is not None
        patchbay.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        told = waiting[1].result()
        assert time.monotonic() - began < 2, "its turn will not come in this process"
        assert told.status == 429
        assert 20 <= int(told.headers["retry-after"]) <= 25
        assert waiting[0].result().status == 200
        assert patchbay.process.wait(20) == 0
        assert len(late.asked()) == 1
