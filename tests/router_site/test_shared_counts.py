"""Counts of several workers: the same sum whoever answers, and nothing lost with a worker that is killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from analytics.shared_counts import Moment, Note, SharedCounts
from analytics.tallies import Tallies
from router_site.board import MOST_BYTES, Board
from router_site.crowd import ABSENT, Crowd
from tests.patchbay import Patchbay
from tests.router_site.test_workers import (
    BODY,
    children,
    one_redis,
    patchbay,
    redis,
    wait_for,
)

__all__ = ["one_redis", "patchbay", "redis"]


class Client:
    """One kept connection, so one worker."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._call("GET", "/livez")

    def server(self, running: Patchbay) -> int:
        """The worker at the other end, as the kernel tells it."""
        here, there = self._connection.sock.getsockname(), self._connection.sock.getpeername()
        ends = (f":{there[1]:04X}", f":{here[1]:04X}")  # as the server sees them
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        [inode] = [row[9] for row in rows if (row[1][-5:], row[2][-5:], row[3]) == (*ends, "01")]
        open_files = {pid: Path(f"/proc/{pid}/fd").iterdir() for pid in children(running)}
        resolve = os.path.realpath  # it does not mind a descriptor that is closed meanwhile
        [pid] = [pid for pid, fds in open_files.items() if any(f"[{inode}]" in resolve(fd) for fd in fds)]
        return pid

    def close(self) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        read = answer.read()
        assert answer.status == 200, read
        return read

    def ask(self) -> None:
        self._call("POST", "/v1/messages", BODY)

    def told(self) -> dict[str, float]:
        """What this worker says of all: the metrics without labels, and what pages of JSON count."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self._call("GET", "/metrics").decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
        health: dict[str, Any] = json.loads(self._call("GET", "/health"))
        accounts: dict[str, Any] = json.loads(self._call("GET", "/accounts"))
        asked = sum(account["requestCount"] for account in accounts["accounts"])
        return found | {"health": health["requests"], "asked": asked}


COUNTERS = (
    *("patchbay_requests_total", "patchbay_attempts_total", "patchbay_request_duration_seconds_count"),
    *("health", "asked"),
)


@contextmanager
def one_of_each(running: Patchbay) -> Iterator[dict[int, Client]]:
    """A connection to each of the two workers, by process id."""
    deadline = time.monotonic() + 20
    with ExitStack() as opened:
        clients: dict[int, Client] = {}
        while len(clients) < 2:  # a worker that starts does not listen yet
            assert time.monotonic() < deadline, running.log
            client = opened.enter_context(closing(Client(running.port)))
            clients.setdefault(client.server(running), client)
            time.sleep(0.02)
        yield clients


def until(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def agree(clients: list[Client], count: int) -> bool:
    """Whether each worker tells of all requests; it must never tell of more."""
    told = [[client.told()[name] for name in COUNTERS] for client in clients]
    assert max(max(values) for values in told) <= count, told
    return all(value == count for values in told for value in values)


def test_each_worker_tells_of_all_and_a_killed_ones_counts_are_kept(patchbay: Patchbay) -> None:
    wait_for("two workers", patchbay, 2)
    with one_of_each(patchbay) as found:
        (killed, first), (survivor, second) = found.items()
        for client in (first, first, first, second, second):
            client.ask()
        assert until(lambda: agree([first, second], 5)), (first.told(), second.told())
        first.ask()
        assert first.told()["patchbay_requests_total"] == 6  # what was told once is not lost from here on
        os.kill(killed, signal.SIGKILL)
        assert agree([second], 6)
        assert until(lambda: len(children(patchbay)) == 2 and killed not in children(patchbay))
        assert agree([second], 6)
    with one_of_each(patchbay) as found:
        assert survivor in found
        clients = [*found.values()]
        assert agree(clients, 6)
        for client in clients:
            client.ask()
        assert until(lambda: agree(clients, 8)), [client.told() for client in clients]


def noted(taken: int) -> bytes:
    """What a worker writes."""
    tallies = Tallies()
    tallies.requests["openai", "chat", "ok", "2xx"] = taken
    return msgspec.msgpack.encode(Note(taken, {"uid": taken}, Moment(1, 2, 4, 3), tallies.counts()))


async def test_of_who_has_left_the_counts_stay_and_nothing_waits() -> None:
    crowd, fd = Crowd.make(3)
    with closing(os.fdopen(fd)):
        for number in (2, 3):
            Board(fd, crowd, number).post(noted(number))
            crowd.say(number, 0)
        counts = SharedCounts()
        before = counts.whole()
        counts.join(Board(fd, crowd, 1))
        both = counts.whole()
        assert (both.taken - before.taken, both.asked["uid"]) == (5, 5)
        assert both.tallies.requests["openai", "chat", "ok", "2xx"] >= 5
        assert both.moment == Moment(
            *(now + 2 * n for now, n in zip(before.moment, (1, 2, 4, 3), strict=True))
        )
        crowd.say(3, ABSENT)
        left = counts.brief()
        assert (left.taken, left.asked) == (both.taken, both.asked)
        assert left.moment.queued == before.moment.queued + 1


async def test_a_note_of_another_version_is_left_out() -> None:
    crowd, fd = Crowd.make(2)
    with closing(os.fdopen(fd)):
        for number in (1, 2):
            Board(fd, crowd, number).post(msgspec.msgpack.encode(["of", "another", "time"]))
        counts = SharedCounts()
        before = counts.whole()
        counts.join(Board(fd, crowd, 1))
        assert counts.brief().taken == counts.whole().taken == before.taken


@contextmanager
def boards() -> Iterator[Callable[[int], Board]]:
    """Two places; a board for each process that takes one."""
    crowd, fd = Crowd.make(2)
    crowd.say(2, 0)
    with closing(os.fdopen(fd)):
        yield lambda number: Board(fd, crowd, number)


def test_a_note_is_there_for_the_others_and_for_the_successor() -> None:
    with boards() as board:
        first, second = board(1), board(2)
        assert (first.own(), first.others()) == (b"", [])
        for note in (b"one", b"two", b"three"):
            first.post(note)
        assert second.others() == [(b"three", False)]
        second.post(b"here")
        assert first.others() == [(b"here", True)]
        successor = board(1)
        assert successor.own() == b"three"
        successor.post(b"four")
        assert (first.own(), second.others()) == (b"four", [(b"four", False)])


@pytest.mark.parametrize("newest", ["two", "three"])
def test_a_note_that_was_broken_off_leaves_the_one_before(newest: str) -> None:
    crowd, fd = Crowd.make(1)
    with closing(os.fdopen(fd)):
        board = Board(fd, crowd, 1)
        notes = ["one", "two", "three"]
        for note in notes[: notes.index(newest) + 1]:
            board.post(note.encode() * 100)
        [at] = [
            place for place in (MOST_BYTES, 2 * MOST_BYTES) if newest.encode() in os.pread(fd, 600, place)
        ]
        os.pwrite(fd, b"torn", at + 100)
        assert board.own() == notes[notes.index(newest) - 1].encode() * 100
        Board(fd, crowd, 1).post(b"whole again")
        assert board.own() == b"whole again"


def test_a_note_that_is_too_long_is_refused_and_the_one_before_stands() -> None:
    with boards() as board:
        first = board(1)
        first.post(b"short")
        with pytest.raises(OSError, match="too large"):
            first.post(bytes(MOST_BYTES))
        assert first.own() == b"short"
        first.post(b"next")
        assert first.own() == b"next"
