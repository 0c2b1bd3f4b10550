"""An operator's webhook, as a real server on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue


class Hook:
    """Takes notices, after refusing the first `refusals` of them. `is_stuck`: reads them, and never answers.

    `calls` has the path and the body of what was read, but for what was refused; `most_at_once` counts requests.
    """

    def __init__(self, refusals: int = 0, *, is_stuck: bool = False) -> None:
        self.calls: Queue[tuple[str, dict[str, object]]] = Queue()
        self.most_at_once = 0
        self._refusals, self._is_stuck = refusals, is_stuck
        self._running, self._lock, self._closing = 0, threading.Lock(), threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook._take(self)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/in?token=hook-canary"

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            is_refused, self._refusals = self._refusals > 0, max(0, self._refusals - 1)
        body = request.rfile.read(int(request.headers["content-length"]))
        if not is_refused:
            self.calls.put((request.path, json.loads(body)))
        if self._is_stuck:
            self._until_the_caller_leaves(request)
        else:
            request.send_response(500 if is_refused else 204)
            request.end_headers()
        with self._lock:
            self._running -= 1

    def _until_the_caller_leaves(self, request: BaseHTTPRequestHandler) -> None:
        request.connection.settimeout(0.05)
        while not self._closing.is_set():
            try:
                if not request.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return

    def close(self) -> None:
        self._closing.set()
        self.server.shutdown()
        self.server.server_close()
