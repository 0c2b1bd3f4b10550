"""Machines that leave a cluster, killed or told to: what the clients of the others and those behind nginx notice."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.patchbay import Patchbay
from tests.promises.cluster import SIZE, Cluster, Seen, answers, ask, load, problems, text_of, until
from tests.promises.load import tell
from tests.proxyapp.pools import Pool, member

pytestmark = [pytest.mark.promises, pytest.mark.timeout(240)]
STREAM = "m+events=20,gap=25ms"
SETTLES = 0.1  # seconds after which nginx on a busy machine has noticed too


def mixed(cluster: Cluster, pool: Pool, number: int, target: Patchbay | None = None) -> Seen:
    """Every third request is plain, the others are streams of half a second."""
    where, who = (cluster.front, "nginx") if target is None else (target, f"port {target.port}")
    is_stream = bool(number % 3)
    model = f"{pool.name}:{STREAM if is_stream else 'm'}"
    return ask(where, model, f"{who} {number}", stream=is_stream)


def twice(cluster: Cluster) -> list[str]:
    """Requests that the provider was asked more than once."""
    counted = Counter(text_of(entry) for entry in cluster.arrived())
    return [text for text, count in counted.items() if count > 1]


def test_one_that_is_killed_takes_its_own_requests_and_no_others(cluster: Cluster) -> None:
    pool = cluster.pool({name: member() for name in "abc"})
    victim, others = cluster.each[1], [cluster.each[0], cluster.each[2]]
    direct = itertools.count()
    with (
        ThreadPoolExecutor(5) as threads,
        load(lambda n: mixed(cluster, pool, n, others[next(direct) % 2]), clients=4, pause=0.02) as beside,
        load(lambda n: mixed(cluster, pool, n), clients=8, pause=0.02) as through,
    ):
        model = f"{pool.name}:m+endless,gap=100ms"
        held = [
            threads.submit(ask, victim, model, f"held {number}", stream=True, max_tokens=10**6)
            for number in range(5)
        ]
        until(lambda: len(cluster.arrived("held")) == 5, "the streams do not run")
        time.sleep(1.5)
        assert victim.process is not None
        victim.process.kill()
        killed = time.monotonic()
        victim.process.wait()
        gone = time.monotonic()  # by now the kernel has closed its connections
        time.sleep(4)
    until(lambda: cluster.in_flight(pool, others) == [0, 0], "leases stay", 40)
    given_back = time.monotonic() - killed
    assert all(stream.result().problem for stream in held)
    lost = [seen for seen in through if seen.problem]
    later = [seen for seen in through if seen.began > gone + SETTLES]
    tell(
        f"kill -9 of one of three: {len(beside)} requests to the others, {len(problems(beside))} errors; through nginx"
        f" {len(through)}, {len(lost)} lost with the dead one, {len(problems(later))} of {len(later)} that came later;"
        f" its leases were back after {given_back:.1f} s"
    )
    assert problems(beside) == []
    assert all(seen.began <= gone + SETTLES and seen.ended >= killed for seen in lost), problems(lost)
    assert later
    assert len(lost) <= 8
    assert twice(cluster) == []
    assert given_back < 30


def test_a_restart_of_each_in_turn_is_noticed_by_nobody(cluster: Cluster) -> None:
    pool = cluster.pool({name: member() for name in "abc"})
    took = []
    with load(lambda n: mixed(cluster, pool, n), clients=12, pause=0.01) as found:
        time.sleep(1)
        for one in cluster.each:
            assert one.process is not None
            one.process.send_signal(signal.SIGTERM)
            told = time.monotonic()
            until(lambda gone=one: not answers(gone), "the port stays open")
            assert one.process.wait(30) == 0
            took.append(time.monotonic() - told)
            one.start()
            time.sleep(1)
    cut = [seen for seen in found if seen.problem.startswith("cut")]
    tell(
        f"each of {SIZE} drained and started anew under load: {len(found)} requests through nginx, {len(cut)} streams"
        f" cut, {len(problems(found))} errors; a drain took {min(took):.1f} to {max(took):.1f} s"
    )
    assert problems(found) == []
    assert twice(cluster) == []
