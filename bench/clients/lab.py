"""One running Patchbay in front of one simulated provider, and the wall that lets nothing else through."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

from backends.simulator import Entry
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

SEEN_SECONDS = 15.0
KEY = "sk-key-of-the-simulated-provider"
MODELS = {"chat": "local:gpt-4o", "messages": "anthropic:claude-opus-4-8"}
"""For each way up: the backend that takes it, and a model name of its kind."""


class Wall:
    """A proxy that lets nothing through and remembers who was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _refusing(self.asked))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it stands."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Take it down."""
        self._server.shutdown()
        self._server.server_close()


def _refusing(asked: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            asked.append(self.path.removeprefix("https://").removeprefix("http://").partition("/")[0])
            self.send_error(403, "Only loopback may be reached from here")

        do_CONNECT = do_GET = do_POST = do_HEAD = do_PUT = refuse

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the report names who was asked for."""

    return Handler


@dataclass
class Lab:
    """What all scenarios share."""

    patchbay: Patchbay
    upstream: SimulatorThread
    wall: Wall

    def alias(self, name: str, way: str, *words: str) -> str:
        """A model name that leads to the backend of another protocol, where `words` steer the simulator."""
        target = f"{MODELS[way]}+{','.join(words)}" if words else MODELS[way]
        self.patchbay.manage("routes", "add", name, target)
        deadline = time.monotonic() + SEEN_SECONDS
        while name not in (listed := self._listed()):
            assert time.monotonic() < deadline, f"{name} is not listed: {listed}"
            time.sleep(0.05)
        return name

    def _listed(self) -> list[str]:
        return [model["id"] for model in self.patchbay.get("/v1/models").json()["data"]]

    def entries(self) -> list[Entry]:
        """What reached the simulated provider since the last reset, without looks at the model list."""
        return [entry for entry in self.upstream.journal if entry.method == "POST"]

    def rows(self, model: str) -> list[dict[str, Any]]:
        """The history of what was asked under this name, once everything that reached upstream is in it."""
        deadline = time.monotonic() + SEEN_SECONDS
        while True:
            rows = [row for row in self.patchbay.history() if row["modelAsked"] == model]
            if sum(row["attempts"] for row in rows) >= len(self.entries()) or time.monotonic() > deadline:
                return rows
            time.sleep(0.1)


def spelt(text: str) -> str:
    """Text as a script word's value."""
    return quote(text, safe="")


def call_word(tool: str, arguments: str) -> str:
    """The script word that makes the simulator call this tool with this JSON."""
    return f"call={spelt(f'{tool}:{arguments}')}"


@contextmanager
def running_lab() -> Iterator[Lab]:
    """Start everything; stop it at the end."""
    wall = Wall()
    try:
        with SimulatorThread() as upstream, Patchbay() as patchbay:
            adding = ("backend", "add", "--key-stdin", "--base-url")
            patchbay.manage(*adding, upstream.url, "anthropic", stdin=f"{KEY}\n")
            patchbay.manage(*adding, f"{upstream.url}/v1", "local", "--responses", "no", stdin=f"{KEY}\n")
            yield Lab(patchbay, upstream, wall)
    finally:
        wall.stop()
