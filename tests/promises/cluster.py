"""Several machines, as far as one can be several: three Patchbays with homes of their own, one PostgreSQL, one Redis.

Their settings are those of deploy/compose.yaml, and the nginx before them runs deploy/nginx.conf, with the addresses of
this machine in both. One simulated provider stands behind them; its journal is the ledger.
"""

from __future__ import annotations

import http.client
import itertools
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.desk import Desk
from tests.patchbay import Patchbay, free_port
from tests.postgres_server import PostgresServer
from tests.promises.load import busy
from tests.proxyapp.pools import Member, Pool, Pools
from tests.redis_server import RedisServer
from tests.servers import SimulatorThread

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHAT = "/v1/chat/completions"
KEY = "the-key-of-this-cluster"
SIZE = 3


@dataclass(frozen=True)
class Seen:
    """One request as its client saw it. `problem`: what a client would complain of; moments are monotonic seconds."""

    text: str
    began: float
    ended: float
    status: int = 0
    id: str = ""
    code: str = ""
    problem: str = ""


@dataclass
class Cluster:
    """All servers. `front` is nginx; `each` are the Patchbays."""

    each: list[Patchbay]
    front: Patchbay
    upstream: SimulatorThread
    desk: Desk
    redis: RedisServer
    postgres: PostgresServer
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    has_shop: bool = False

    # --- preparing -----------------------------------------------------------------------------------------

    def pool(self, members: Mapping[str, str | Member], **fields: Any) -> Pool:
        """A backend of its own, in force everywhere. `fields` as `Pools.plan` takes them."""
        with ThreadPoolExecutor(1) as nobody:
            servers = Pools(self.front, self.upstream, self.desk, nobody, self.numbers)
            pool, orders = servers.plan(members, **fields)
        self.order(*orders)
        return pool

    def shop(self) -> str:
        """A model whose price is known, on a pool of three that take a little while to answer."""
        if not self.has_shop:
            self.pool(dict.fromkeys("abc", "ttfb=200ms"), name="openai")
            self.has_shop = True
        return "openai:gpt-4o"

    def key(self, name: str, **limits: Any) -> str:
        """A client key with these limits."""
        return str(self.order({"do": "key", "name": name, **limits})[0])

    def order(self, *orders: dict[str, Any]) -> list[Any]:
        """Change the configuration; every Patchbay works with it on return."""
        found = self.desk.do(*orders)
        wanted = self.desk.version
        until(
            lambda: all(health(one)["configVersion"] >= wanted for one in self.each), "no new configuration"
        )
        return found

    def alone(self) -> list[int]:
        """How often each Patchbay has told that it goes on without Redis: a busy machine may be late for it."""
        return [one.log.count("This process goes on by itself") for one in self.each]

    # --- looking -------------------------------------------------------------------------------------------

    def arrived(self, prefix: str = "") -> list[Any]:
        """The ledger: what reached the provider of the requests whose text begins so, in order."""
        posts = [entry for entry in self.upstream.journal.entries if entry.path.endswith(CHAT)]
        return [entry for entry in posts if text_of(entry).startswith(prefix)]

    def shown(self, pool: Pool, each: Sequence[Patchbay] = ()) -> list[dict[str, dict[str, Any]]]:
        """The accounts of a pool as each Patchbay (or these) shows them, by short name."""
        found = []
        for one in each or self.each:
            rows = one.get("/accounts", {"x-api-key": KEY}).json()["accounts"]
            mine = [row for row in rows if row["backend"] == pool.name]
            found.append({row["alias"].removeprefix(f"{pool.name}-"): row for row in mine})
        return found

    def in_flight(self, pool: Pool, each: Sequence[Patchbay] = ()) -> list[int]:
        """What runs on a pool, as each Patchbay (or these) counts it for all."""
        return [sum(row["inFlight"] for row in rows.values()) for rows in self.shown(pool, each)]

    def spent(self, key: str, count: int) -> float:
        """What a client key's requests have cost, once so many of them are in the history."""
        rows: list[dict[str, Any]] = []

        def enough() -> bool:
            rows[:] = self.desk.do({"do": "rows", "key": key})[0]
            return len(rows) >= count

        until(enough, "the history is not complete")
        return float(sum(row["cost"] or 0 for row in rows))


def text_of(entry: Any) -> str:
    """What a request said."""
    return str(entry.json()["messages"][0]["content"]) if entry.body else ""


def health(patchbay: Patchbay) -> dict[str, Any]:
    """With the reasons."""
    found: dict[str, Any] = patchbay.get("/health", {"x-api-key": KEY}).json()
    return found


def until(is_so: Callable[[], object], what: str, seconds: float = 20.0) -> float:
    """Wait until it is so; how long it took, in seconds."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.02)
    return time.monotonic() - began


def ask(
    target: Patchbay, model: str, text: str, *, key: str = KEY, stream: bool = False, **fields: Any
) -> Seen:
    """Send one request on a connection of its own, and read the whole answer."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **fields}
    began = time.monotonic()
    try:
        answer = target.post(CHAT, body, {"x-api-key": key})
    except (OSError, http.client.HTTPException) as exc:
        return Seen(text, began, time.monotonic(), problem=repr(exc)[:200])
    ended, id_ = time.monotonic(), answer.headers.get("x-patchbay-request-id", "")
    if answer.status != 200:
        found = re.search(rb'"code": ?"(\w+)"', answer.body)
        problem = f"{answer.status}: {answer.body[:200]!r}"
        return Seen(text, began, ended, answer.status, id_, found[1].decode() if found else "", problem)
    is_cut = stream and not answer.body.endswith(b"data: [DONE]\n\n")
    return Seen(text, began, ended, 200, id_, problem=f"cut: {answer.body[-80:]!r}" if is_cut else "")


@contextmanager
def load(ask_one: Callable[[int], Seen], *, clients: int, pause: float = 0.0) -> Iterator[list[Seen]]:
    """Requests one after the other from each client, until the end of the block. They are numbered from 0."""
    found: list[Seen] = []
    numbers, over = itertools.count(), threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            found.append(ask_one(next(numbers)))
            over.wait(pause)

    with busy(ask_on, clients, over):
        yield found


def overshoot(cluster: Cluster, before: list[int]) -> float:
    """By how much limits may have been passed since `before`: a share for each that went on without Redis."""
    return 1 + sum(now > then for now, then in zip(cluster.alone(), before, strict=True)) / SIZE


def problems(found: list[Seen]) -> list[str]:
    """Of those that had one."""
    return [f"{seen.text}: {seen.problem}" for seen in found if seen.problem]


# --- servers ------------------------------------------------------------------------------------------------------


def settings_of(place: Path, postgres: PostgresServer, redis: RedisServer) -> dict[str, str]:
    """The environment of deploy/compose.yaml, with the addresses and files of this machine."""
    given = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["patchbay-1"]["environment"]
    for name, text in (("secret_key", "s" * 64), ("api_key", KEY)):
        (place / name).write_text(f"{text}\n")
        (place / name).chmod(0o600)
    databases = postgres.settings("cluster")
    return {**given, **databases, "REDIS_URL": redis.url} | {
        name: str(place / Path(value).name) for name, value in given.items() if name.endswith("_FILE")
    }


def nginx_text(place: Path, port: int, ports: list[int]) -> str:
    """deploy/nginx.conf for these ports: every server has the options that the file gives its first."""
    text = (DEPLOY / "nginx.conf").read_text()
    options = re.findall(r"^ *server patchbay-\d:3456(.*);$", text, re.M)
    assert options
    servers = "".join(f"server 127.0.0.1:{one}{options[0]};\n" for one in ports)
    text = re.sub(r"^ *server patchbay-2:3456.*\n", "", text, flags=re.M)
    text = re.sub(r"^ *server patchbay-1:3456.*\n", lambda _: servers, text, flags=re.M)
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/nginx", str(place / "nginx"))
    return "daemon off;\n" + text


@contextmanager
def nginx(place: Path, each: list[Patchbay]) -> Iterator[Patchbay]:
    """A running nginx, as a server to ask."""
    front = Patchbay(home=place, port=free_port())
    path = place / "nginx.conf"
    path.write_text(nginx_text(place, front.port, [one.port for one in each]))
    with (place / "nginx.log").open("ab") as log:
        process = subprocess.Popen(["nginx", "-c", str(path), "-e", "stderr", "-p", str(place)], stderr=log)
    try:
        until(lambda: answers(front), "nginx does not answer")
        yield front
    finally:
        process.terminate()
        process.wait(10)


def answers(patchbay: Patchbay) -> bool:
    """Whether it answers at all."""
    try:
        return patchbay.get("/livez").status == 200
    except OSError:
        return False


@contextmanager
def running(place: Path, postgres: PostgresServer) -> Iterator[Cluster]:
    """The whole cluster, started at once."""
    redis = RedisServer()
    redis.start()
    settings = settings_of(place, postgres, redis)
    each = [Patchbay(dict(settings), home=place / f"home-{number}") for number in range(1, SIZE + 1)]
    with ExitStack() as stack:
        stack.callback(redis.kill)
        for one in each:
            stack.callback(end, one)
        with ThreadPoolExecutor(SIZE) as starting:
            list(starting.map(Patchbay.start, each))
        upstream = stack.enter_context(SimulatorThread())
        desk = stack.enter_context(Desk(each[0]))
        front = stack.enter_context(nginx(place, each))
        yield Cluster(each, front, upstream, desk, redis, postgres)


def end(patchbay: Patchbay) -> None:
    """By force, where it still runs."""
    if patchbay.process is not None and patchbay.process.poll() is None:
        patchbay.process.kill()
        patchbay.process.wait()
