"""Pools for the end-to-end tests: each test makes a backend with accounts of its own on servers that all share.

The accounts' keys script the simulated provider: what stands in a member's script is how it always answers, and
`Pool.script` says how it answers the coming requests.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.desk import Desk
from tests.patchbay import Answer, Patchbay
from tests.servers import SimulatorThread

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "responses": "/v1/responses"}
Orders = list[dict[str, Any]]


@dataclass(frozen=True)
class Member:
    """One account to be made. `script`: how the provider always answers it; `login`: OAuth instead of a key."""

    script: str = ""
    login: bool = False
    expires: float | None = 3600.0
    credential: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def member(
    script: str = "",
    *,
    login: bool = False,
    expires: float | None = 3600.0,
    credential: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Member:
    """An account with these fields, such as `weight=3`. `credential`: of another kind, as the desk takes it."""
    return Member(script, login, expires, credential, fields)


@dataclass
class Pool:
    """One backend and its accounts, by short names."""

    servers: Pools
    name: str
    protocol: str
    keys: dict[str, str] = field(default_factory=dict)  # by short name: what upstream sees, a key or a login

    def alias(self, name: str) -> str:
        """The account's own name."""
        return f"{self.name}-{name}"

    def script(self, name: str, *scripts: str) -> None:
        """How the provider answers this account's coming requests."""
        self.servers.upstream.script(scripts, key=self.keys[name])

    # --- asking --------------------------------------------------------------------------------------------

    def body(self, text: str = "", model: str = "m", **fields: object) -> dict[str, object]:
        """A request for this pool; without a text it opens a conversation of its own."""
        message = {"role": "user", "content": text or f"opening {next(self.servers.numbers)}"}
        name = model if ":" in model else f"{self.name}:{model}"
        extra = {"max_tokens": 50} if self.protocol == "anthropic" else {}
        return {"model": name, "messages": [message], **extra, **fields}

    def ask(
        self, text: str = "", *, model: str = "m", headers: Mapping[str, str] | None = None, **fields: object
    ) -> Answer:
        """Send one request and read the whole answer."""
        path = PATHS[self.protocol]
        return self.servers.patchbay.post(path, self.body(text, model, **fields), headers)

    def asking(self, *args: Any, **fields: Any) -> Future[Answer]:
        """The same in a thread of its own."""
        return self.servers.threads.submit(self.ask, *args, **fields)

    # --- looking -------------------------------------------------------------------------------------------

    def asked(self) -> list[str]:
        """Whom upstream was asked as, in order, by short names."""
        names = {key: name for name, key in self.keys.items()}
        posts = [entry for entry in self.servers.upstream.journal.entries if entry.method == "POST"]
        seen = [names.get(e.login or e.key or "") for e in posts if not e.path.startswith("/oauth/")]
        return [name for name in seen if name]

    def show(self, name: str) -> dict[str, Any]:
        """The account as `/accounts` shows it."""
        return self.shown()[name]

    def shown(self) -> dict[str, dict[str, Any]]:
        """Every account of the pool as `/accounts` shows it."""
        rows = self.servers.patchbay.get("/accounts").json()["accounts"]
        start = f"{self.name}-"
        return {r["alias"].removeprefix(start): r for r in rows if r["backend"] == self.name}

    def status(self, name: str) -> str:
        """The account's status word."""
        return str(self.show(name)["status"])

    def running(self) -> dict[str, int]:
        """Requests in flight, by account."""
        return {name: row["inFlight"] for name, row in self.shown().items()}

    def rows(self, count: int = 1) -> list[dict[str, Any]]:
        """The history of this pool, oldest first, once it has so many rows."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = self.servers.desk.do({"do": "rows", "backend": self.name})[0]
            return len(found) >= count

        eventually(enough)
        return found

    # --- changing ------------------------------------------------------------------------------------------

    def do(self, what: str, name: str, **more: object) -> None:
        """Order something about one account, and wait until it applies."""
        self.servers.desk.do({"do": what, "alias": self.alias(name), **more})
        self.servers.desk.settle()


@dataclass
class Pools:
    """Servers that tests share, and the maker of their pools."""

    patchbay: Patchbay
    upstream: SimulatorThread
    desk: Desk
    threads: ThreadPoolExecutor
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def make(self, members: Mapping[str, str | Member], **fields: Any) -> Pool:
        """A backend with these accounts (short name → script, or a Member), made and in force. See `plan`."""
        pool, orders = self.plan(members, **fields)
        self.carry_out(orders)
        return pool

    def carry_out(self, orders: Orders) -> None:
        """Make what was planned; the server works with it on return."""
        self.desk.do(*orders)
        self.desk.settle()

    def plan(
        self,
        members: Mapping[str, str | Member],
        *,
        protocol: str = "openai",
        name: str = "",
        base: str = "",
        **fields: Any,
    ) -> tuple[Pool, Orders]:
        """A pool and the orders that make it; `fields` are the backend's, such as `strategy`."""
        pool = Pool(self, name or f"p{next(self.numbers)}", protocol)
        base = base or self.upstream.url + ("" if protocol == "anthropic" else "/v1")
        orders: Orders = [{"do": "backend", "name": pool.name, "base": base, "protocol": protocol, **fields}]
        if any(isinstance(one, Member) and one.login for one in members.values()):
            client = {"issuer": self.upstream.url, "client_id": "patchbay-tests"}
            orders.append({"do": "provider", "backend": pool.name, **client})
        for short, given in members.items():
            orders.append(self._account(pool, short, Member(given) if isinstance(given, str) else given))
        return pool, orders

    def _account(self, pool: Pool, name: str, given: Member) -> dict[str, Any]:
        alias = pool.alias(name)
        credential: dict[str, Any]
        if given.credential is not None:
            credential = dict(given.credential)
            pool.keys[name] = credential.get("key", alias)
        elif given.login:
            pool.keys[name] = alias
            credential = {"oauth": self.upstream.login(alias, script=given.script, expires=given.expires)}
        else:
            pool.keys[name] = f"sk-sim-{given.script}#{alias}" if given.script else f"sk-{alias}"
            credential = {"key": pool.keys[name]}
        return {
            "do": "account",
            "alias": alias,
            "backend": pool.name,
            "credential": credential,
            **given.fields,
        }


def eventually(check: Callable[[], object], *, within: float = 10.0) -> bool:
    """Whether `check` comes true in time."""
    deadline = time.monotonic() + within
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def error_of(answer: Answer) -> dict[str, Any]:
    """The error object of either protocol, with `code` from where each one has it."""
    error = dict(answer.json()["error"])
    details = error.get("details") or {}
    return {**error, "code": error.get("code") or details.get("error_code")}
