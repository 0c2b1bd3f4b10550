"""Machines that cannot reach what they share: one without Redis, all without PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.patchbay import Patchbay
from tests.promises.cluster import SIZE, Cluster, Seen, ask, health, load, problems, text_of, until
from tests.promises.link import Link, link
from tests.promises.load import tell
from tests.proxyapp.pools import member

pytestmark = [pytest.mark.promises, pytest.mark.timeout(240)]
LAST = SIZE - 1


@pytest.fixture
def bridge(cluster: Cluster) -> Iterator[Link]:
    """The last of the three reaches Redis by this alone."""
    last = cluster.each[LAST]
    with link(cluster.redis.port) as made:
        replace(last, {"REDIS_URL": f"redis://127.0.0.1:{made.port}/0"})
        until(lambda: not apart(last), "it does not reach Redis")
        yield made
        replace(last, {"REDIS_URL": cluster.redis.url})


def replace(patchbay: Patchbay, settings: dict[str, str]) -> None:
    """Start it anew with these settings."""
    patchbay.stop(timeout=40)
    patchbay.settings = {**patchbay.settings, **settings}
    patchbay.start()


def apart(patchbay: Patchbay) -> bool:
    """Whether it says that it goes on by itself."""
    return any("Redis" in reason for reason in health(patchbay)["reasons"])


def through(entries: list[Any]) -> list[int]:
    """Through which Patchbay each came: request number N of a load goes to N modulo three."""
    return [int(text_of(entry).split()[-1]) % SIZE for entry in entries]


def test_one_without_redis_goes_on_at_its_share(cluster: Cluster, bridge: Link) -> None:
    interval, seconds, last = 0.1, 6.0, cluster.each[LAST]
    pool = cluster.pool({"a": member(min_interval_ms=round(interval * 1000))})
    before = cluster.alone()[:LAST]
    bridge.swallow()
    with load(lambda n: ask(cluster.each[n % SIZE], f"{pool.name}:m", f"alone {n}"), clients=12) as found:
        said = until(lambda: apart(last), "it does not notice")
        noticed = time.monotonic()
        time.sleep(seconds)
    bridge.mend()
    back = until(lambda: not apart(last), "it does not come back")
    came = [entry for entry in cluster.arrived("alone") if noticed <= entry.started < noticed + seconds]
    own, allowed = through(came).count(LAST), seconds / interval
    tell(
        f"one of three without Redis (said after {said:.2f} s): {len(came)} requests in {seconds:g} s on an account"
        f" that allows {allowed:.0f}, {own} of them its own; {len(found)} clients saw {len(problems(found))} errors;"
        f" together again {back:.1f} s after the link is back"
    )
    others = sum(now > then for now, then in zip(cluster.alone(), before, strict=False))
    assert problems(found) == []
    assert len(came) <= allowed * (1 + (1 + others) / SIZE) + 3
    assert 0 < own <= allowed / SIZE + 3
    assert back <= 5


def test_they_agree_within_seconds_when_the_link_is_back(cluster: Cluster, bridge: Link) -> None:
    pool = cluster.pool({"a": member(position=1), "b": member(position=2)}, strategy="fill-first")
    here, last = cluster.each[0], cluster.each[LAST]
    bridge.swallow()
    assert ask(last, f"{pool.name}:m", "notice it").status == 200
    until(lambda: apart(last), "it does not notice")
    pool.script("a", "status=429,ra=600")
    assert ask(last, f"{pool.name}:m", "met apart").status == 200
    assert [rows["a"]["status"] for rows in cluster.shown(pool, [here])] == ["ready"]
    bridge.mend()
    agreed = until(lambda: all(row["a"]["status"] != "ready" for row in cluster.shown(pool)), "no agreement")
    tell(f"a bench met apart is known to all {agreed:.1f} s after the link is back")
    assert agreed <= 5


def test_a_budget_is_passed_by_no_more_than_a_share(cluster: Cluster, bridge: Link) -> None:
    cap, last = 0.02, cluster.each[LAST]
    model = cluster.shop()
    key = cluster.key("apart", budget=f"{cap}/day")
    refused: set[int] = set()
    is_over = threading.Event()

    def one(number: int) -> Seen:
        seen = ask(cluster.each[number % SIZE], model, f"cost {number}", key=key, max_tokens=50)
        if seen.code == "budget_exceeded":
            refused.add(number % SIZE)
        if len(refused) == SIZE:
            is_over.set()
        return seen

    first = [one(number) for number in range(SIZE)]
    before = cluster.alone()[:LAST]
    bridge.swallow()
    with load(lambda n: one(n + SIZE), clients=9, pause=0.02) as found:
        assert is_over.wait(60), refused
    bridge.mend()
    until(lambda: not apart(last), "it does not come back")
    after: list[Seen] = []
    while not after or any(seen.code != "budget_exceeded" for seen in after[-SIZE:]):
        after.append(one(len(after)))  # what was held by running requests may be spent yet
        assert len(after) < 200
    served = [entry for entry in cluster.arrived("cost") if entry.status == 200]
    cost = cluster.spent("apart", len(first) + len(found) + len(after))
    tell(
        f"a budget of ${cap}, one of three without Redis: ${cost:.4f} spent ({cost / cap:.2f} of it;"
        f" {through(served).count(LAST)} of {len(served)} requests through the one), all closed afterwards"
    )
    others = sum(now > then for now, then in zip(cluster.alone(), before, strict=False))
    assert problems(first) == []
    assert {seen.code for seen in [*found, *after] if seen.status != 200} == {"budget_exceeded"}
    assert cost <= cap * (1 + (1 + others) / SIZE)
    assert LAST in through(served[SIZE:])


def test_ten_seconds_without_postgresql_lose_nothing(cluster: Cluster) -> None:
    pool = cluster.pool({name: member() for name in "abc"})
    with load(lambda n: ask(cluster.front, f"{pool.name}:m", f"stored {n}"), clients=6, pause=0.03) as found:
        time.sleep(1)
        cluster.postgres.stop()
        stopped = time.monotonic()
        late = until(lambda: all(is_stuck(one) for one in cluster.each), "nobody says so", 20)
        time.sleep(max(0.0, 10 - (time.monotonic() - stopped)))
        cluster.postgres.start()
        back = until(lambda: not any(is_stuck(one) for one in cluster.each), "it stays degraded", 30)
    cluster.desk.reopen()
    wanted = {seen.id for seen in found}
    until(lambda: wanted <= stored(cluster), "records are missing", 30)
    ids = [
        id_ for (id_,) in cluster.postgres.ask("SELECT id FROM analytics_requestrecord", "cluster_history")
    ]
    [(summed,)] = cluster.postgres.ask("SELECT SUM(requests) FROM analytics_usageday", "cluster_history")
    tell(
        f"10 s without PostgreSQL: {len(found)} requests, {len(problems(found))} errors,"
        f" {len(wanted - set(ids))} records missing; all three said so after {late:.1f} s, and were well {back:.1f} s"
        " after it was back"
    )
    assert problems(found) == []
    assert len(ids) == len(set(ids)) == int(str(summed))


def is_stuck(patchbay: Patchbay) -> bool:
    """Whether it says that the history takes no rows."""
    return "takes no rows" in " ".join(health(patchbay)["reasons"])


def stored(cluster: Cluster) -> set[object]:
    """The ids in the history."""
    found = cluster.postgres.ask("SELECT id FROM analytics_requestrecord", "cluster_history")
    return {id_ for (id_,) in found}
