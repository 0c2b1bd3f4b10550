"""One running Patchbay in front of one simulated provider, and the wall that lets nothing else through.

This Patchbay asks every caller for a key, so a tool that was connected is only answered if it sends the one that it
was given.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

from backends.simulator import Entry
from bench.clients.sandbox import Sandbox
from tests.patchbay import PROJECT, Patchbay
from tests.servers import SimulatorThread

SEEN_SECONDS = 15.0
KEY = "sk-key-of-the-simulated-provider"
CLIENT_KEY = "the-key-of-those-that-are-not-connected"
CONNECT_SECONDS = 60
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
        self.patchbay.manage("routes", "add", name, MODELS[way])
        if words:
            self._steer(name, f"{MODELS[way].partition(':')[2]}+{','.join(words)}")
        deadline = time.monotonic() + SEEN_SECONDS
        while name not in (listed := self._listed()):
            assert time.monotonic() < deadline, f"{name} is not listed: {listed}"
            time.sleep(0.05)
        return name

    def _steer(self, alias: str, model: str) -> None:
        """Let the alias ask for a model whose name is a script, which is longer than a model's name may be."""
        with sqlite3.connect(self.patchbay.home / "config.sqlite3", timeout=5) as database:
            where = "route_id = (SELECT id FROM backends_route WHERE pattern = ?)"
            database.execute(f"UPDATE backends_routetarget SET model = ? WHERE {where}", (model, alias))
            database.execute("UPDATE backends_configversion SET number = number + 1")
            [(version,)] = database.execute("SELECT number FROM backends_configversion").fetchall()
        deadline = time.monotonic() + SEEN_SECONDS
        while self.patchbay.get("/health").json().get("configVersion", 0) < version:
            assert time.monotonic() < deadline, "the server does not follow its configuration"
            time.sleep(0.02)

    def _listed(self) -> list[str]:
        answer = self.patchbay.get("/v1/models", {"x-patchbay-key": CLIENT_KEY})
        return [model["id"] for model in answer.json()["data"]]

    def connect(self, sandbox: Sandbox, tool: str, *options: str) -> dict[str, Any]:
        """`manage.py connect TOOL` for the home of the sandbox. What it answers; `failed` says why not."""
        home = sandbox.environment()
        theirs = {name: home[name] for name in home if name == "HOME" or name.startswith("XDG_")}
        done = subprocess.run(
            [sys.executable, "manage.py", "connect", tool, *options, "--json"],
            cwd=PROJECT,
            env={**self.patchbay.environment, **theirs},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CONNECT_SECONDS,
        )
        answer: dict[str, Any] = json.loads(done.stdout or "{}")
        return answer | ({"failed": done.stderr.strip()} if done.returncode else {})

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
        with SimulatorThread() as upstream, Patchbay({"PATCHBAY_API_KEY": CLIENT_KEY}) as patchbay:
            adding = ("backend", "add", "--key-stdin", "--base-url")
            patchbay.manage(*adding, upstream.url, "anthropic", stdin=f"{KEY}\n")
            patchbay.manage(*adding, f"{upstream.url}/v1", "local", "--responses", "no", stdin=f"{KEY}\n")
            yield Lab(patchbay, upstream, wall)
    finally:
        wall.stop()
