"""What only Patchbay is asked: how its cost grows with accounts, routes and records, idle streams, workers."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

from bench.client import request_bytes
from bench.driver import PROJECT
from bench.install import Unavailable, run
from bench.jobs import Ask, Target
from bench.measure import Bench, say
from bench.serving import load, new_place, running
from bench.subjects import UPSTREAM_KEY, manage
from bench.workers import workers

ACCOUNTS = (1, 20, 200)
ROUTES = (1, 1_000, 10_000)
RECORDS = (0, 50_000, 500_000)
RELOAD_SECONDS = 2.0  # until the running process has read the new configuration
IDLE_STREAMS, IDLE_SECONDS = 1_000, 8.0
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
    parts = (("growth", growth), ("history", history), ("idle", idle_streams), ("workers", workers))
    for name, part in parts:
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
    with new_place() as home, running(bench, home, (bench.cores.subject,)) as (process, ready, port):
        for accounts, routes in points:
            _grow(home, port, accounts, routes)
            cost = load(bench, process, Target("patchbay", port, ready.headers), 32, 1000 if quick else 3000)
            rows.append({"accounts": accounts, "routes": routes, **cost})
            say(f"  {accounts} accounts, {routes:,} routes: {cost['cpu_per_1000_requests']:.3f}")
    return rows


def _grow(home: Path, port: int, accounts: int, routes: int) -> None:
    """Nothing becomes fewer: the routes grow first, then the accounts."""
    text = _GROW.format(accounts=accounts, routes=routes, key=UPSTREAM_KEY)
    manage(home, port, "shell", "--verbosity", "0", "--command", text)
    time.sleep(RELOAD_SECONDS)


def history(bench: Bench, quick: bool) -> list[dict[str, float]]:
    """CPU per 1,000 requests of 32 clients by the records that the history holds; a home of its own for each size."""
    rows = []
    for records in RECORDS[:-1] if quick else RECORDS:
        with new_place() as home:
            if records:
                run([sys.executable, "-m", "bench.history_fill", str(records), "--home", str(home)], PROJECT)
            with running(bench, home, (bench.cores.subject,)) as (process, ready, port):
                cost = load(
                    bench, process, Target("patchbay", port, ready.headers), 32, 1000 if quick else 3000
                )
        rows.append({"records": records, **cost})
        say(f"  {records:,} records: {cost['cpu_per_1000_requests']:.3f}")
    return rows


# --- streams that say nothing ---------------------------------------------------------------------------------


def idle_streams(bench: Bench, quick: bool) -> dict[str, float]:
    """Resident memory of a stream whose upstream is silent, and how fast a plain request is meanwhile."""
    count = IDLE_STREAMS // 5 if quick else IDLE_STREAMS
    with new_place() as home, running(bench, home, (bench.cores.subject,)) as (process, ready, port):
        target = Target("patchbay", port, ready.headers)
        load(bench, process, target, 32, 1000)
        before = process.resident_mb()
        streams = [_open(target) for _ in range(count)]
        time.sleep(IDLE_SECONDS)
        held = process.resident_mb()
        meanwhile = load(bench, process, target, 1, 500)
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
