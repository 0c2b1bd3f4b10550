"""`runproxy --workers N`: one port, several processes, one pool."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.patchbay import Patchbay
from tests.redis_server import RedisServer, one_redis, redis
from tests.router_site.server_process import ROOT
from tests.servers import SimulatorThread

__all__ = ["one_redis", "redis"]

BODY = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def children(patchbay: Patchbay) -> list[int]:
    """The processes of the workers."""
    assert patchbay.process is not None
    pid = patchbay.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(what: str, patchbay: Patchbay, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(children(patchbay)) != count:
        assert time.monotonic() < deadline, f"{what}: {children(patchbay)}\n{patchbay.log}"
        time.sleep(0.05)


def answers(patchbay: Patchbay) -> None:
    """Until every worker is up, a request may meet one that still starts: it waits there."""
    for _ in range(8):
        assert patchbay.post("/v1/messages", BODY).status == 200


@pytest.fixture
def patchbay(redis: RedisServer) -> Iterator[Patchbay]:
    with Patchbay({"REDIS_URL": redis.url}, flags=("--workers", "2", "--demo")) as running:
        yield running


def test_two_workers_serve_one_greets_and_all_drain(patchbay: Patchbay) -> None:
    wait_for("two workers", patchbay, 2)
    answers(patchbay)
    deadline = time.monotonic() + 20
    while "Admin, for the next 15 minutes" not in patchbay.log:  # the other worker may have answered
        assert time.monotonic() < deadline, patchbay.log
        time.sleep(0.05)
    assert len(re.findall("Patchbay .* listens on", patchbay.log)) == 1
    workers = children(patchbay)
    assert patchbay.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_the_port_closes_while_streams_of_workers_run_on(redis: RedisServer) -> None:
    """Else clients would be connected and wait until the last stream has ended."""
    with SimulatorThread() as upstream:
        patchbay = Patchbay({"REDIS_URL": redis.url}, flags=("--workers", "2"))
        patchbay.manage(
            *("backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin"), stdin="sk-one\n"
        )
        with patchbay, ThreadPoolExecutor(1) as thread:
            body = {"model": "gpt-4o+events=40,gap=50ms", "stream": True, "messages": BODY["messages"]}
            stream = thread.submit(patchbay.post, "/v1/chat/completions", body)
            upstream.wait_for(lambda entry: entry.path.endswith("/chat/completions"))
            assert patchbay.process is not None
            patchbay.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 20
            while is_open(patchbay.port):
                assert time.monotonic() < deadline, patchbay.log
                time.sleep(0.02)
            assert not stream.done()
            assert stream.result().body.endswith(b"data: [DONE]\n\n")


def is_open(port: int) -> bool:
    """Whether connecting to it works."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_a_worker_that_is_killed_is_started_again(patchbay: Patchbay) -> None:
    wait_for("two workers", patchbay, 2)
    before = set(children(patchbay))
    os.kill(min(before), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while len(now := set(children(patchbay))) != 2 or now == before:
        assert time.monotonic() < deadline, patchbay.log
        time.sleep(0.05)
    answers(patchbay)
    assert "it is started again" in patchbay.log


def test_workers_drain_when_the_first_process_is_killed(patchbay: Patchbay) -> None:
    wait_for("two workers", patchbay, 2)
    answers(patchbay)
    workers = children(patchbay)
    assert patchbay.process is not None
    patchbay.process.kill()
    patchbay.process.wait()
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, patchbay.log
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_without_redis_are_refused_in_one_line(tmp_path: Path) -> None:
    alone = Patchbay({"REDIS_URL": ""}, home=tmp_path / "home")
    done = alone.manage("runproxy", "--workers", "2", check=False)
    assert done.returncode == 2
    [line] = done.stderr.strip().splitlines()
    assert "Set REDIS_URL" in line


@pytest.mark.parametrize("count", ["0", "65", "two"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    done = Patchbay(home=tmp_path / "home").manage("runproxy", "--workers", count, check=False)
    assert done.returncode == 2
    assert "PATCHBAY_WORKERS must be a whole number from 1 to 64" in done.stderr


MANY = """
import socket
from router_site.workers import Workers
with socket.create_server(("127.0.0.1", 0)) as listener:
    raise SystemExit(Workers(64, listener, ["-c", "import time; time.sleep(60)"]).run())
"""


def test_a_signal_while_workers_are_being_started_is_a_drain() -> None:
    command = [sys.executable, "-c", MANY]
    first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        started = Path(f"/proc/{first.pid}/task/{first.pid}/children")
        while not started.read_text().split():
            time.sleep(0.001)
        first.send_signal(signal.SIGTERM)
        assert (first.communicate(timeout=20)[1], first.returncode) == ("", 0)
    finally:
        first.kill()
        first.wait()


def connections_of(pid: int, port: int) -> int:
    """How many clients of a port a process serves, as the kernel tells it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {
        f"socket:[{row[9]}]" for row in rows if row[3] == "01" and int(row[1].split(":")[1], 16) == port
    }
    folder = Path(f"/proc/{pid}/fd")
    return sum(os.readlink(entry) in inodes for entry in folder.iterdir() if entry.is_symlink())


def test_clients_are_dealt_out_evenly(patchbay: Patchbay) -> None:
    wait_for("two workers", patchbay, 2)
    answers(patchbay)
    first, second = children(patchbay)
    clients: list[socket.socket] = []
    try:
        while len(clients) < 20:
            clients.append(socket.create_connection(("127.0.0.1", patchbay.port)))
            deadline = time.monotonic() + 20
            while connections_of(first, patchbay.port) + connections_of(second, patchbay.port) < len(clients):
                assert time.monotonic() < deadline, patchbay.log
                time.sleep(0.002)
        assert min(connections_of(pid, patchbay.port) for pid in (first, second)) >= 5
    finally:
        for client in clients:
            client.close()
