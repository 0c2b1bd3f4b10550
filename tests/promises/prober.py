"""`python prober.py PORT PID`: ask for /livez every 10 ms on one connection, until stdin ends.

Prints triples: when, how long the answer took, and how long meanwhile the server's threads and this process were ready
to run but had no core (Linux counts it), all in seconds. It runs in a process of its own, so that it does not measure
the test's own work.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path

EVERY_SECONDS = 0.01


def waits(pid: int) -> dict[str, int]:
    """How long each thread of a process, and this one, has waited for a core until now, in nanoseconds.

    All of its threads: whoever has the interpreter and no core keeps the loop from running.
    """
    places = [*Path(f"/proc/{pid}/task").glob("*/schedstat"), Path("/proc/self/schedstat")]
    return {str(place): found for place in places if (found := _of(place)) is not None}


def _of(place: Path) -> int | None:
    try:
        return int(place.read_text().split()[1])
    except OSError:
        return None  # the thread has just ended


def main(port: int, pid: int) -> None:
    """Times are on the machine's monotonic clock, which all processes share."""
    ask = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port
    seen, due = [], time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            before, began = waits(pid), time.monotonic()
            client.sendall(ask)
            got = b""
            while not got.endswith(b"}"):
                piece = client.recv(4096)
                if not piece:
                    raise SystemExit("the server ended the connection")
                got += piece
            taken = time.monotonic() - began
            waited = sum(count - before.get(place, 0) for place, count in waits(pid).items())
            seen.append((began, taken, waited / 1e9))
            due = began + EVERY_SECONDS
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
