"""The load generator: a process of its own, so that its CPU time is nobody else's and it has its own core.

It reads jobs from stdin, one JSON line each. It makes ready (connections, warm-up), prints `"ready"`, waits for a
line, runs the job and prints the result.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import uvloop

from bench.client import Answer, BadAnswer, Connection, check, request_bytes
from bench.jobs import Job, Load, LoadResult, Rounds, RoundsResult, Target

_ERRORS = (BadAnswer, OSError, TimeoutError)


def main() -> None:
    """Work until stdin ends."""
    decoder = msgspec.json.Decoder(Job)
    for line in sys.stdin:
        uvloop.run(_work(decoder.decode(line)))


async def _work(job: Job) -> None:
    work: _LoadWork | _RoundsWork = _LoadWork(job) if isinstance(job, Load) else _RoundsWork(job)
    await work.warm_up()
    _say("ready")
    sys.stdin.readline()  # blocks the loop on purpose: nothing may happen before the word is given
    result = await work.run()
    work.close()
    _say(result)


def _say(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


class _Client:
    """One connection and the requests it sends."""

    def __init__(self, target: Target, job: Job) -> None:
        self._target = target
        self.connection = Connection(target)
        self._request = request_bytes(target, job.ask)
        self._ask = job.ask

    async def once(self) -> tuple[float, float, int]:
        """(milliseconds to the end, to the first content, content events). Raises one of `_ERRORS`."""
        if self.connection.is_closed:
            self.connection = Connection(self._target)
        began = time.perf_counter()
        answer: Answer = await self.connection.ask(self._request)
        events = check(answer, self._ask)
        first = (answer.first_at - began) * 1000 if answer.first_at else 0.0
        return (answer.ended_at - began) * 1000, first, events


@dataclass
class _LoadWork:
    job: Load
    clients: list[_Client] = field(default_factory=list)
    left: int = 0
    deadline: float = 0.0
    result: LoadResult = field(default_factory=LoadResult)
    errors: Counter[str] = field(default_factory=Counter)

    async def warm_up(self) -> None:
        """Connect all clients and let each of them ask."""
        self.clients = [_Client(self.job.target, self.job) for _ in range(self.job.clients)]
        for _ in range(self.job.warm_up):
            await asyncio.gather(*(client.once() for client in self.clients), return_exceptions=True)

    async def run(self) -> LoadResult:
        """All clients at once."""
        self.left = self.job.requests
        began = time.perf_counter()
        self.deadline = began + self.job.seconds
        await asyncio.gather(*(self._repeat(client) for client in self.clients))
        self.result.wall = time.perf_counter() - began
        self.result.errors = dict(self.errors)
        return self.result

    async def _repeat(self, client: _Client) -> None:
        result = self.result
        while self.left > 0 and time.perf_counter() < self.deadline:
            self.left -= 1
            try:
                whole, first, events = await client.once()
            except _ERRORS as exc:
                self.errors[_name(exc)] += 1
                continue
            result.latencies.append(whole)
            result.events += events
            if events:
                result.first.append(first)

    def close(self) -> None:
        """Drop all connections."""
        for client in self.clients:
            client.connection.close()


class _RoundsWork:
    def __init__(self, job: Rounds) -> None:
        self._job = job
        self._clients = {target.name: _Client(target, job) for target in job.targets}
        self._errors: Counter[str] = Counter()

    async def warm_up(self) -> None:
        """The same, unrecorded."""
        for _ in range(self._job.warm_up):
            for name in self._clients:
                await self._once(name)
        self._errors.clear()

    async def run(self) -> RoundsResult:
        """Every request of one target is followed by one of each other."""
        result = RoundsResult()
        for name in self._clients:
            result.latencies[name] = [[] for _ in range(self._job.rounds)]
            result.first[name] = [[] for _ in range(self._job.rounds)]
        for number in range(self._job.rounds):
            for _ in range(self._job.requests):
                for name in self._clients:
                    if times := await self._once(name):
                        result.latencies[name][number].append(times[0])
                        result.first[name][number].append(times[1])
        result.errors = dict(self._errors)
        return result

    async def _once(self, name: str) -> tuple[float, float] | None:
        await asyncio.sleep(self._job.pause)
        try:
            return (await self._clients[name].once())[:2]
        except _ERRORS as exc:
            self._errors[f"{name}: {_name(exc)}"] += 1
            return None

    def close(self) -> None:
        """Drop all connections."""
        for client in self._clients.values():
            client.connection.close()


def _name(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


if __name__ == "__main__":
    main()
