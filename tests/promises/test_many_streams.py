"""Fifty streams and a SIGTERM; two hundred clients that do not read."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.patchbay import Patchbay
from tests.promises.load import BODY, CHAT, furnish, load, tell
from tests.servers import SimulatorThread

pytestmark = [pytest.mark.promises, pytest.mark.timeout(180)]


@pytest.fixture
def patchbay() -> Iterator[Patchbay]:
    with SimulatorThread() as upstream:
        made = Patchbay()
        furnish(made, upstream)
        made.start()
        yield made
        assert made.process is not None
        made.process.kill()
        made.process.wait()


def opened(patchbay: Patchbay, script: str) -> socket.socket:
    """A stream whose first content has arrived."""
    body = json.dumps({**BODY, "model": f"gpt-4o+{script}", "stream": True}).encode()
    client = socket.create_connection(("127.0.0.1", patchbay.port), timeout=60)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{patchbay.port}\r\nContent-Type: application/json\r\n"
    client.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    got = b""
    while b"data: " not in got:
        piece = client.recv(4096)
        assert piece, got
        got += piece
    return client


def listens(patchbay: Patchbay) -> bool:
    try:
        socket.create_connection(("127.0.0.1", patchbay.port), timeout=0.2).close()
    except OSError:
        return False
    return True


def rest_of(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_fifty_streams_outlive_a_sigterm(patchbay: Patchbay) -> None:
    assert patchbay.process is not None
    with ThreadPoolExecutor(50) as threads:
        clients = list(threads.map(lambda n: opened(patchbay, f"events={100 + 2 * n},gap=40ms"), range(50)))
        endings = [threads.submit(rest_of, client) for client in clients]
        patchbay.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        while listens(patchbay):
            assert time.monotonic() - told < 5
            time.sleep(0.01)
        closed = time.monotonic() - told
        cut = sum(b"[DONE]" not in ending.result() for ending in endings)
    last = time.monotonic()
    assert patchbay.process.wait(20) == 0
    after = time.monotonic() - last
    outcomes = [row["outcome"] for row in patchbay.history(50) if row["stream"]]
    tell(
        f"50 streams, {cut} cut; the port closed after {closed * 1000:.0f} ms; exit {after:.1f} s after the last stream"
    )
    assert cut == 0
    assert outcomes == ["ok"] * 50
    assert closed < 2
    assert after < 4


def test_clients_that_do_not_read_cost_a_bounded_amount(patchbay: Patchbay) -> None:
    """Each stream would never end; what nobody takes is not fetched."""
    assert patchbay.process is not None
    with load(patchbay, clients=1, pause=0.02) as alone:
        time.sleep(2)
    before = psutil.Process(patchbay.process.pid).memory_info().rss
    clients = [opened(patchbay, "endless") for _ in range(200)]
    threading.Event().wait(3)
    with load(patchbay, clients=1, pause=0.02) as beside:
        time.sleep(3)
    grown = psutil.Process(patchbay.process.pid).memory_info().rss - before
    for client in clients:
        client.close()
    tell(
        f"200 readers that stopped: {grown / 2**20:.0f} MiB more; beside them p99"
        f" {beside.slowest(0.99) * 1000:.0f} ms, {alone.slowest(0.99) * 1000:.0f} ms without"
    )
    assert set(beside.statuses) == {200}
    assert grown < 100 * 2**20
