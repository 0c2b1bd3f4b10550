"""What is measured, and how each is set up before the same upstream: the floors, and Patchbay itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.driver import PROJECT
from bench.install import WORK, Unavailable, debian_program, python_folder, run
from bench.jobs import Ask
from bench.process import Launch, plain_environment

UPSTREAM_KEY = "sk-bench-upstream"
COMMAND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ready:
    """A subject that is configured: how to start it and what its clients send along."""

    launch: Launch
    headers: dict[str, str] = field(default_factory=dict)


class Subject(ABC):
    """One row of the tables."""

    name: str
    title: str
    note: str = ""  # what a reader of the table should know
    speaks: frozenset[str] = frozenset({"chat"})  # the languages in which it answers for a chat upstream
    model_prefix: str = ""  # what a client writes before a model's name
    first_ask: Ask | None = None  # what an empty home answers, where that is a promise

    def named(self, ask: Ask) -> Ask:
        """The request as a client of this subject writes it."""
        return msgspec.structs.replace(ask, model=self.model_prefix + ask.model) if self.model_prefix else ask

    @property
    def probe(self) -> Ask:
        """A small request that it answers."""
        return self.named(Ask(speaks="chat" if "chat" in self.speaks else "messages"))

    @abstractmethod
    def install(self) -> str:
        """Make sure that it is on this machine; its version. Raises Unavailable."""

    @abstractmethod
    def configure(self, home: Path, upstream: int, port: int, models: Sequence[str]) -> Ready:
        """Set it up in the empty folder `home`. Raises Unavailable."""

    def empty(self, home: Path, port: int) -> Launch:
        """How it is started on an empty home."""
        raise NotImplementedError


_NGINX = """daemon off; master_process off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 2m; client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  keepalive_requests 1000000;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    location / {{ proxy_pass http://mock; }}
  }}
}}
"""


class Nginx(Subject):
    """The least that any proxy can cost."""

    name = "nginx"
    title = "nginx (floor)"

    def install(self) -> str:
        self._program = debian_program(WORK / "nginx", "nginx", "nginx")
        found = re.search(r"nginx/(\S+)", run([str(self._program), "-v"]))
        return found[1] if found else "unknown"

    def configure(self, home: Path, upstream: int, port: int, models: Sequence[str]) -> Ready:
        file = home / "nginx.conf"
        file.write_text(_NGINX.format(home=home, upstream=upstream, port=port))
        command = [str(self._program), "-p", str(home), "-e", str(home / "error.log"), "-c", str(file)]
        return Ready(Launch(command))


_SHOW_VERSION = "from django.conf import settings; print(settings.VERSION)"


class Patchbay(Subject):
    """`manage.py runproxy` as a user starts it: a client key, a default route, records and usage kept."""

    name = "patchbay"
    title = "Patchbay"
    speaks = frozenset({"chat", "messages"})
    first_ask: Ask | None = Ask("demo")

    def install(self) -> str:
        return manage(WORK / "none", 1, "shell", "--verbosity", "0", "--command", _SHOW_VERSION).strip()

    def configure(self, home: Path, upstream: int, port: int, models: Sequence[str]) -> Ready:
        base = f"http://127.0.0.1:{upstream}/v1"
        manage(home, port, "backend", "add", "mock", "--base-url", base, "--key-stdin", stdin=UPSTREAM_KEY)
        manage(home, port, "routes", "add", "*", "mock")
        key = json.loads(manage(home, port, "keys", "add", "bench", "--json"))["key"]
        return Ready(self.empty(home, port), {"authorization": f"Bearer {key}"})

    def empty(self, home: Path, port: int) -> Launch:
        command = [sys.executable, "manage.py", "runproxy", "--port", str(port)]
        return Launch(command, patchbay_environment(home, port), PROJECT)


class PatchbayUvicorn(Patchbay):
    """The same ASGI application under another server."""

    name = "patchbay-uvicorn"
    title = "Patchbay under uvicorn"
    first_ask = None

    def install(self) -> str:
        return f"{super().install()}, uvicorn {version('uvicorn')}"

    def empty(self, home: Path, port: int) -> Launch:
        server = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "router_site.asgi:application",
            "--port",
            str(port),
            *server,
        ]
        return Launch(command, patchbay_environment(home, port), PROJECT)


GRANIAN = "2.8.7"


class PatchbayGranian(PatchbayUvicorn):
    """The same ASGI application under a server whose HTTP side is written in Rust. Installed beside, never needed."""

    name = "patchbay-granian"
    title = "Patchbay under granian"

    def install(self) -> str:
        self._packages = python_folder(WORK / "granian", "granian", GRANIAN)
        return f"{Patchbay.install(self)}, granian {GRANIAN}"

    def empty(self, home: Path, port: int) -> Launch:
        server = ["--interface", "asginl", "--loop", "uvloop", "--no-ws", "--log-level", "warning"]
        place = ["--host", "127.0.0.1", "--port", str(port)]
        environment = {**patchbay_environment(home, port), "PYTHONPATH": str(self._packages)}
        command = [sys.executable, "-m", "granian", *server, *place, "router_site.asgi:application"]
        return Launch(command, environment, PROJECT)


def patchbay_environment(home: Path, port: int) -> dict[str, str]:
    """Only what separates this Patchbay from the user's own."""
    return {"PATCHBAY_HOME": str(home), "PATCHBAY_PORT": str(port), "NO_COLOR": "1"}


def manage(home: Path, port: int, *words: str, stdin: str = "") -> str:
    """The output of a management command. Raises Unavailable when it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env={**plain_environment(), **patchbay_environment(home, port)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise Unavailable(f"manage.py {' '.join(words[:2])} took over {COMMAND_SECONDS} s") from exc
    if done.returncode != 0:
        raise Unavailable(
            f"manage.py {' '.join(words[:2])} exited {done.returncode}: {done.stderr.strip()[-300:]}"
        )
    return done.stdout
