"""What a pool has learned survives the process: windows, benches and money, also after a kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.pools import Pool, Pools, eventually, member
from tests.servers import SimulatorThread


@pytest.fixture(scope="module")
def own() -> Iterator[Pools]:
    """A Patchbay that is stopped and started."""
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_QUEUE_SECONDS": "1"}) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(8) as threads,
    ):
        yield Pools(patchbay, upstream, desk, threads)


def stored(pools: Pools, table: str, pool: Pool) -> int:
    """How many rows of this table the database holds for the pool's accounts."""
    query = (
        f"SELECT count(*) FROM {table} t JOIN accounts_account a ON a.id = t.account_id WHERE alias LIKE ?"
    )
    [(count,)] = pools.patchbay.sql("config", query, f"{pool.name}-%")
    return int(count)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_windows_benches_and_money_are_remembered(own: Pools, how: signal.Signals) -> None:
    plan = own.make(
        {"used": "rl=unified,u5h=0.6,u7d=0.2", "out": ""}, protocol="anthropic", strategy="round-robin"
    )
    keys = own.make({"refused": "status=401", "dry": "status=402"}, strategy="round-robin")
    paid = own.make({"paid": member(daily_limit="0.12")}, protocol="anthropic", preset="anthropic")
    plan.script("out", "status=429,rl=unified,u5h=1.01,claim=five_hour,ra=900")
    for _ in range(2):
        assert plan.ask().status == 200
        assert keys.ask().status in (402, 429, 503)
    assert paid.ask(model="claude-opus-4-8").status == 200
    paid.do("edit", "paid", daily_limit="0.0001")
    assert paid.status("paid") == "limited"
    before = {**plan.shown(), **keys.shown(), **paid.shown()}
    process = own.patchbay.process
    assert process is not None
    if how is signal.SIGKILL:  # what is a few seconds old must be on disk by then
        assert eventually(lambda: stored(own, "accounts_window", plan) >= 4, within=5)
        assert eventually(lambda: stored(own, "accounts_bench", keys) == 2, within=5)
        assert eventually(lambda: stored(own, "accounts_spend", paid) == 2, within=5)
    os.kill(process.pid, how)
    process.wait(20)
    own.patchbay.start()
    after = {**plan.shown(), **keys.shown(), **paid.shown()}
    for name in before:
        assert after[name]["status"] == before[name]["status"], name
        assert after[name]["reason"] == before[name]["reason"], name
        assert after[name]["headroom"] == before[name]["headroom"], name
        assert after[name]["util5h"] == before[name]["util5h"], name
        assert abs(after[name]["cooldownMs"] - before[name]["cooldownMs"]) < 15_000, name
    asked = (len(plan.asked()), len(keys.asked()), len(paid.asked()))
    assert plan.ask().headers["x-patchbay-account"] == plan.alias("used")
    assert keys.ask().status == 429
    assert paid.ask(model="claude-opus-4-8").status == 429
    assert (len(plan.asked()), len(keys.asked()), len(paid.asked())) == (asked[0] + 1, *asked[1:])


def test_a_bench_that_has_run_out_meanwhile_is_probed_at_once(own: Pools) -> None:
    pool = own.make({"a": ""})
    pool.script("a", "status=429,ra=2")
    assert pool.ask().status == 429
    until = time.monotonic() + 2
    assert own.patchbay.stop() == 0
    own.patchbay.start()
    assert eventually(lambda: time.monotonic() > until)
    assert pool.ask().status == 200
    assert pool.asked() == ["a", "a"]
