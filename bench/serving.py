"""One Patchbay for a measurement of its own: a home, a running server, a load."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.driver import expected, free_port
from bench.install import WORK, Unavailable
from bench.jobs import Load, Target
from bench.measure import SETTLE_SECONDS, Bench, new_home, started
from bench.process import Launch, Process
from bench.scenarios import SMALL
from bench.subjects import Patchbay, Ready


@contextmanager
def new_place() -> Iterator[Path]:
    """An empty home, removed at the end."""
    home = new_home(Patchbay())
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running(
    bench: Bench, home: Path, cores: tuple[int, ...], extra: dict[str, str] | None = None
) -> Iterator[tuple[Process, Ready, int]]:
    """A server on the first of `cores` (none: on any), with `extra` in its environment; and its port."""
    port = free_port()
    ready = Patchbay().configure(home, bench.upstream, port, [])
    launch = Launch(ready.launch.command, {**ready.launch.environment, **(extra or {})}, ready.launch.folder)
    core = cores[0] if cores else None
    log = WORK / "logs" / "patchbay-alone.log"
    process, _ = started(launch, core, log, port, SMALL, ready.headers)
    try:
        yield process, ready, port
    finally:
        process.stop()


def load(bench: Bench, process: Process, target: Target, clients: int, requests: int) -> dict[str, float]:
    """Small requests of so many clients: cost and throughput. Raises Unavailable for a wrong answer."""
    before: list[float] = []
    ask = expected(bench.upstream, SMALL)
    job = Load(target, ask, clients, requests, 20.0, 5)
    run = bench.generator.load(job, lambda: before.append(process.cpu_seconds()))
    time.sleep(SETTLE_SECONDS)
    done = len(run.result.latencies)
    if run.result.errors or not done:
        raise Unavailable(f"wrong answers: {run.result.errors}")
    return {
        "cpu_per_1000_requests": (process.cpu_seconds() - before[0]) / done * 1000,
        "requests_per_s": done / run.result.wall,
        "rss_mb": process.resident_mb(),
        "helpers_busy": run.helpers_busy,
    }
