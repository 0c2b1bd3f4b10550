"""Two and four real processes over one real Redis."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from accounts.redis_link import Times
from tests.accounts.pool_workers import SECONDS, PoolWorker
from tests.redis_server import RedisServer

# A busy machine is no dead Redis: patience is long where it is not what is tested.
TIMES = Times(patience=3.0, retry=0.1, beat=0.1, dead=1.0, lease=2.0)


@pytest.fixture(scope="module")
def processes() -> Iterator[list[PoolWorker]]:
    """Four processes."""
    workers = [PoolWorker() for _ in range(4)]
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of its own for each test, which may kill it."""
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def two(server: RedisServer, processes: list[PoolWorker]) -> Iterator[list[PoolWorker]]:
    """Two processes in step."""
    yield from in_step(server, processes[:2])


@pytest.fixture
def four(server: RedisServer, processes: list[PoolWorker]) -> Iterator[list[PoolWorker]]:
    """Four processes in step."""
    yield from in_step(server, processes)


def in_step(server: RedisServer, workers: list[PoolWorker]) -> Iterator[list[PoolWorker]]:
    for worker in workers:
        worker.open(server.url, TIMES)
    eventually(lambda: all(worker.do("look", uid="")["processes"] == len(workers) for worker in workers))
    yield workers
    for worker in workers:
        worker.do("close")


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def load(
    workers: list[PoolWorker], accounts: list[dict[str, Any]], seconds: float, **options: Any
) -> list[Any]:
    """All at once; every lease, in the order in which they were had."""
    end = time.monotonic() + seconds
    begun = [worker.begin("load", accounts=accounts, end=end, **options) for worker in workers]
    return sorted((lease for answer in begun for lease in answer.result(SECONDS)), key=lambda lease: lease[1])


@pytest.mark.parametrize("count", [2, 4])
def test_the_least_interval_holds_over_processes(
    count: int, server: RedisServer, processes: list[PoolWorker]
) -> None:
    interval, seconds = 0.02, 0.7
    for workers in in_step(server, processes[:count]):
        leases = load(workers, [{"uid": "paced", "interval_s": interval}], seconds, width=5, hold=0.001)
        # However late each process learns of its turn, the turns themselves are an interval apart.
        span = max(had for _, had, _ in leases) - min(asked for asked, _, _ in leases)
        assert len(leases) <= span / interval + 1
        assert len(leases) > 10


def test_one_probe_over_four_processes(four: list[PoolWorker]) -> None:
    four[0].do("bench", uid="p")
    eventually(lambda: all(worker.do("look", uid="p")["benches"] for worker in four))
    begun = [worker.begin("lease", accounts=[{"uid": "p"}]) for worker in four]
    found = [answer.result(SECONDS) for answer in begun]
    assert sum("lease" in one for one in found) == 1
    assert [one["kinds"] for one in found if "kinds" in one] == [["probing"]] * 3


def test_sessions_belong_to_one_account_in_every_process(four: list[PoolWorker]) -> None:
    accounts = [{"uid": f"s{number}"} for number in range(8)]
    names = [f"session-{number}" for number in range(60)]
    begun = [worker.begin("sessions", accounts=accounts, names=names) for worker in four]
    first, *others = [answer.result(SECONDS) for answer in begun]
    assert all(other == first for other in others)
    assert len(set(first.values())) == 8


def test_a_bench_is_seen_within_a_second(four: list[PoolWorker]) -> None:
    seen = [worker.begin("bench_seen", uid="b") for worker in four[1:]]
    lease = four[0].do("lease", accounts=[{"uid": "b"}])["lease"]
    began = time.monotonic()
    four[0].do("report", lease=lease, result="refused")
    assert all(answer.result(SECONDS) - began < 1.0 for answer in seen)
    assert four[3].do("lease", accounts=[{"uid": "b"}])["kinds"] == ["needs-login"]


def test_keys_take_turns_over_processes(two: list[PoolWorker]) -> None:
    """One key has many waiting in both processes; the few of another key, in one of them, get every other turn."""
    here, there = two
    here.do("lease", accounts=[{"uid": "f", "interval_s": 0.5}])
    accounts = [{"uid": "f", "interval_s": 0.04}]
    answers = [worker.begin("queue", accounts=accounts, keys=["greedy"] * 8) for worker in two]
    eventually(lambda: min(worker.do("look", uid="f")["queued"] for worker in two) >= 14)
    came_at = time.monotonic()
    answers.append(there.begin("queue", accounts=accounts, keys=["modest"] * 5))
    served = sorted(one for answer in answers for one in answer.result(SECONDS))
    before = sum(at < came_at + 0.1 for at, _ in served)
    last = max(place for place, (_, key) in enumerate(served) if key == "modest")
    assert last <= before + 2 * 5 + 1


def test_requests_of_one_key_are_served_in_the_order_in_which_they_came(two: list[PoolWorker]) -> None:
    two[0].do("lease", accounts=[{"uid": "f", "interval_s": 0.5}])
    answers: list[Future[Any]] = []
    for number in range(10):
        options = {"accounts": [{"uid": "f", "interval_s": 0.03}], "keys": ["one"]}
        answers.append(two[number % 2].begin("queue", **options))
        eventually(lambda: all(came(worker, answers) for worker in two))
    moments = [answer.result(SECONDS)[0][0] for answer in answers]
    assert moments == sorted(moments)


def came(worker: PoolWorker, answers: list[Future[Any]]) -> bool:
    """Whether a process knows of all that wait, or were served already."""
    served = sum(answer.done() for answer in answers)
    return served + int(worker.do("look", uid="f")["queued"]) >= len(answers)


def test_what_a_killed_process_held_is_given_back(two: list[PoolWorker], server: RedisServer) -> None:
    accounts = [{"uid": "k"}]
    victim = PoolWorker()
    victim.open(server.url, TIMES)
    for _ in range(5):
        victim.do("lease", accounts=accounts)
    victim.begin("queue", accounts=[{"uid": "w", "interval_s": 3.0}], keys=["one", "one"])
    eventually(lambda: two[0].do("look", uid="k")["in_flight"] == 5)
    eventually(lambda: two[0].do("look", uid="w")["queued"] == 1)  # one was served at once
    victim.kill()
    eventually(lambda: all(worker.do("look", uid="k")["in_flight"] == 0 for worker in two))
    eventually(lambda: all(worker.do("look", uid="k")["queued"] == 0 for worker in two))
    eventually(lambda: all(worker.do("look", uid="k")["processes"] == 2 for worker in two))


def test_traffic_goes_on_while_redis_dies_and_returns(four: list[PoolWorker], server: RedisServer) -> None:
    accounts = [{"uid": f"t{number}"} for number in range(3)]
    end = time.monotonic() + 1.6
    begun = [worker.begin("load", accounts=accounts, end=end, width=4, hold=0.01) for worker in four]
    time.sleep(0.3)
    server.kill()
    killed = time.monotonic()
    eventually(lambda: all(worker.do("look", uid="t0")["problems"] for worker in four))
    time.sleep(0.4)
    server.start()
    returned = time.monotonic()
    eventually(lambda: not any(worker.do("look", uid="t0")["problems"] for worker in four))
    assert time.monotonic() - returned < 5
    leases = [lease for answer in begun for lease in answer.result(SECONDS)]
    assert sum(killed + 0.1 < had < returned for _, had, _ in leases) > 20
    assert Counter(uid for _, _, uid in leases).keys() == {"t0", "t1", "t2"}
    eventually(lambda: all(w.do("look", uid=a["uid"])["in_flight"] == 0 for w in four for a in accounts))
