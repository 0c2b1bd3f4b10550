"""A running Patchbay tells an address of the operator's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

ASK = {"model": "watched:m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


class Hook:
    """Takes notices, after refusing the first `refusals` of them."""

    def __init__(self, refusals: int = 0) -> None:
        self.calls: Queue[tuple[str, dict[str, object]]] = Queue()
        hook, left = self, [refusals]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = 500 if left[0] else 204
                left[0] = max(0, left[0] - 1)
                self.send_response(status)
                self.end_headers()
                if status == 204:
                    hook.calls.put((self.path, json.loads(body)))

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/in?token=hook-canary"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook(refusals=1)
    yield made
    made.close()


def test_a_window_that_runs_low_reaches_the_webhook_once_and_its_address_stays_secret(hook: Hook) -> None:
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_NOTIFY_URL": hook.url, "PATCHBAY_NOTIFY_HEADROOM": "20"}) as patchbay,
        Desk(patchbay) as desk,
    ):
        desk.do(
            {"do": "backend", "name": "watched", "protocol": "anthropic", "base": upstream.url},
            {
                "do": "account",
                "alias": "mine",
                "backend": "watched",
                "credential": {"key": "sk-watched-0123456789"},
            },
        )
        desk.settle()
        for _ in range(2):
            upstream.script(["rl=unified,u5h=0.85"])
            assert patchbay.post("/v1/messages", ASK).status == 200
        path, told = hook.calls.get(timeout=20)
        assert path == "/hooks/in?token=hook-canary"
        assert (told["kind"], told["account"], told["window"]) == ("window_low", "mine", "5h")
        assert "15% of its 5h window left" in str(told["text"])
        assert hook.calls.empty()
        assert "hook-canary" not in patchbay.log
