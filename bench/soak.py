"""`python -m bench.soak --minutes 10`: mixed traffic for a while, and whether anything grows that should not.

Plain requests, paced streams, translated ones, bodies of up to 1 MB, streams that upstream cuts, clients that leave in
the middle, an account that fails now and then. Every answer is checked; a cut counts as right when it was asked for.
Exit code 1 when something leaks: see `_LIMITS`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.client import BadAnswer, Connection, check, request_bytes
from bench.driver import expected, free_port, start_mock
from bench.install import WORK
from bench.jobs import Ask, Target
from bench.measure import say, started
from bench.process import Cores, Process
from bench.subjects import UPSTREAM_KEY, Patchbay, manage

CLIENTS = 24
LOOK_SECONDS = 10.0
LEAVE_SECONDS = (0.005, 0.4)
WARM_UP = 0.3  # of the time: caches fill, the allocator finds its size
_LIMITS = {
    "MB gained after the warm-up": 5.0,
    "open files": 4.0,
    "threads": 2.0,
    "requests in flight": 0.0,
    "dropped records": 0.0,
    "refused, in 1,000": 1.0,
}

PLAIN = Ask()
STREAM = Ask("gpt-4o+events=50+gap=4ms", stream=True, events=50)
TRANSLATED = Ask(speaks="messages")
TRANSLATED_STREAM = Ask("gpt-4o+events=50+gap=4ms", stream=True, events=50, speaks="messages")
CUT = Ask("gpt-4o+events=50+gap=4ms+cut@20", stream=True, events=20)
MIDDLE, LARGE = Ask(size=100_000), Ask(size=1_000_000)
MIX = ((PLAIN, 50), (STREAM, 14), (TRANSLATED, 10), (TRANSLATED_STREAM, 6), (CUT, 5), (MIDDLE, 5), (LARGE, 1))
LEAVING = 0.12  # of all streams: the client closes in the middle


def main() -> int:
    """Run, print a line every ten seconds and a verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description="Does anything grow under load?"
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    (WORK / "logs").mkdir(parents=True, exist_ok=True)
    cores, home, port = Cores.choose(), Path(tempfile.mkdtemp(prefix="soak-")), free_port()
    mock, upstream = start_mock(cores, WORK / "logs")
    try:
        ready = Patchbay().configure(home, upstream, port, [])
        for alias, key in (("second", f"{UPSTREAM_KEY}-2"), ("failing", "sk-sim-status=529#failing")):
            manage(home, port, "accounts", "add", alias, "--backend", "mock", "--key-stdin", stdin=key)
        process, _ = started(
            ready.launch, cores.subject, WORK / "logs" / "soak.log", port, PLAIN, ready.headers
        )
        try:
            soak = Soak(process, Target("patchbay", port, ready.headers), upstream)
            return uvloop.run(soak.run(minutes * 60))
        finally:
            process.stop()
    finally:
        mock.stop()
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Look:
    """What the process holds at one moment."""

    at: float
    resident_mb: float
    files: int
    threads: int


@dataclass
class Soak:
    """The clients, and what was seen of the process meanwhile."""

    process: Process
    target: Target
    upstream: int
    done: Counter[str] = field(default_factory=Counter)
    looks: list[Look] = field(default_factory=list)
    _until: float = 0.0

    async def run(self, seconds: float) -> int:
        """The exit code."""
        began = time.monotonic()
        self._until = began + seconds
        asks = [(await asyncio.to_thread(expected, self.upstream, ask), weight) for ask, weight in MIX]
        idle = self._look(began)
        clients = [asyncio.create_task(self._client(asks, random.Random(n))) for n in range(CLIENTS)]
        while time.monotonic() < self._until and not self.process.has_ended:
            await asyncio.sleep(LOOK_SECONDS)
            self.looks.append(self._look(began))
            self._say()
        await asyncio.gather(*clients)
        await asyncio.sleep(6.0)  # what was put off, and connections that wait for a next request
        metrics = await asyncio.to_thread(_metrics, self.target)
        return self._verdict(idle, self._look(began), metrics)

    async def _client(self, asks: list[tuple[Ask, int]], chance: random.Random) -> None:
        kinds, weights = [ask for ask, _ in asks], [weight for _, weight in asks]
        connection = Connection(self.target)
        while time.monotonic() < self._until:
            ask = chance.choices(kinds, weights)[0]
            if connection.is_closed:
                connection = Connection(self.target)
            leaves = ask.stream and chance.random() < LEAVING
            asking = _left(connection, ask, chance) if leaves else _asked(connection, ask)
            self.done[await _outcome(asking)] += 1
        connection.close()

    def _look(self, began: float) -> Look:
        folder = Path(f"/proc/{self.process.pid}")
        return Look(
            time.monotonic() - began,
            self.process.resident_mb(),
            len(list((folder / "fd").iterdir())),
            len(list((folder / "task").iterdir())),
        )

    def _say(self) -> None:
        look = self.looks[-1]
        counts = ", ".join(f"{count} {name}" for name, count in self.done.most_common(6))
        say(f"{look.resident_mb:6.1f} MB  {look.files} files  {look.threads} threads  {counts}")

    def _verdict(self, before: Look, after: Look, metrics: dict[str, float]) -> int:
        warm = WARM_UP * self.looks[-1].at
        early = [before, *(look for look in self.looks if look.at <= warm)]
        slope = _slope([look for look in self.looks if look.at > warm])
        found = {
            "MB gained after the warm-up": slope * (self.looks[-1].at - warm) / 3600,
            "open files": float(after.files - max(look.files for look in early)),
            "threads": float(after.threads - max(look.threads for look in early)),
            "requests in flight": metrics["patchbay_account_requests_in_flight"],
            "dropped records": metrics["patchbay_history_dropped_records_total"],
            "refused, in 1,000": 1000 * self.done["refused"] / max(1, sum(self.done.values())),
        }
        print(
            f"resident: {before.resident_mb:.1f} MB idle at the start, {after.resident_mb:.1f} MB idle at the end"
        )
        print(f"resident memory under load, after the warm-up: {slope:+.1f} MB per hour")
        print(f"answers: {sum(self.done.values()):,}: {dict(self.done)}")
        failed = self.process.has_ended or any(name.startswith("wrong") for name in self.done)
        for name, value in found.items():
            limit = _LIMITS[name]
            failed |= value > limit
            print(f"{'ok  ' if value <= limit else 'LEAK'}  {name}: {value:+.2f} (at most {limit:g})")
        return int(failed)


async def _outcome(asking: Awaitable[str]) -> str:
    try:
        return await asking
    except BadAnswer as exc:
        return f"wrong: {exc}"[:160]
    except (OSError, TimeoutError) as exc:
        return f"wrong: {type(exc).__name__} {exc}"[:160]


async def _asked(connection: Connection, ask: Ask) -> str:
    answer = await connection.ask(request_bytes(connection.target, ask))
    if answer.status == 529:  # the failing account's: the budget of retries was spent on others
        return "refused"
    if "cut@" not in ask.model:
        check(answer, ask)
        return "whole"
    body = b"".join(answer.parts)
    if answer.status not in (200, 502) or b"error" not in body:  # 502: it was cut before its first content
        raise BadAnswer(f"a stream that was cut has status {answer.status}: {body[-120:]!r}")
    return "cut"


async def _left(connection: Connection, ask: Ask, chance: random.Random) -> str:
    """The client closes while the answer is on its way."""
    try:
        async with asyncio.timeout(chance.uniform(*LEAVE_SECONDS)):
            await connection.ask(request_bytes(connection.target, ask))
    except TimeoutError:
        return "left"
    return "whole"


def _slope(looks: list[Look]) -> float:
    """MB per hour, by least squares; 0 for too few looks to tell."""
    if len(looks) < 4:
        return 0.0
    line = statistics.linear_regression([look.at for look in looks], [look.resident_mb for look in looks])
    return line.slope * 3600


def _metrics(target: Target) -> dict[str, float]:
    """`/metrics`, each name summed over its labels."""
    asked = urllib.request.Request(f"http://127.0.0.1:{target.port}/metrics", headers=target.headers)
    found: Counter[str] = Counter()
    with urllib.request.urlopen(asked, timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name.partition("{")[0]] += float(value)
    return dict(found)


if __name__ == "__main__":
    sys.exit(main())
