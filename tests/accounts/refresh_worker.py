"""Processes for the tests of refreshing: `python -m tests.accounts.refresh_worker`, orders as JSON lines on stdin.

Django is set up once, without a connection or a thread; then every order runs in a process of its own, forked from
here, with its own event loop and connections. A process may be killed at any moment; its end is reported.

    {"id": 1, "do": "refresh", "with": {"uid": "…"}, "env": {}, "gated": false}
    → {"id": 1, "result": …}, and in the end {"id": 1, "exit": 0}     (exit -9: killed)
    {"open": true}                                                     lets all gated processes start at once
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.credentials import credential_headers, credential_obstacle  # noqa: E402
from accounts.models import Account, OAuthToken  # noqa: E402
from accounts.oauth import Grant, store_grant  # noqa: E402
from accounts.providers import provider_of  # noqa: E402
from accounts.refresh import KeepFresh, Refresher, refresher  # noqa: E402
from accounts.snapshot import keeper  # noqa: E402
from accounts.vault import Secret, unseal  # noqa: E402
from backends.models import Backend, ConfigVersion  # noqa: E402
from backends.tasks import in_database_thread, spawn  # noqa: E402
from backends.wire.kinds import Protocol  # noqa: E402

BACKEND = "sim"


# --- what a process does ------------------------------------------------------------------------------------------


def migrate() -> None:
    call_command("migrate", verbosity=0, database="default")
    Backend.objects.create(name=BACKEND, base_url="http://127.0.0.1:9/v1")


def add(alias: str, tokens: dict[str, Any]) -> str:
    """An OAuth account that holds these tokens. Returns its uid."""
    row = Account.objects.create(alias=alias, backend=Backend.objects.get(name=BACKEND), kind=Account.OAUTH)
    log_in(row.uid, tokens)
    return row.uid


def log_in(uid: str, tokens: dict[str, Any]) -> None:
    refresh = tokens.get("refresh_token")
    grant = Grant(
        access=Secret(tokens["access_token"]),
        refresh=Secret(refresh) if refresh else None,
        expires_in=tokens.get("expires_in"),
    )
    store_grant(Account.objects.get(uid=uid), grant, keep_refresh=False)


def log_out(uid: str) -> None:
    OAuthToken.objects.get(account__uid=uid).delete()


def change(uid: str, bump: bool = False, **fields: Any) -> None:
    """Set fields of the token's row; a field ending in `_in` is a time, so many seconds from now."""
    now = time.time()
    for name in [name for name in fields if name.endswith("_in")]:
        fields[name.removesuffix("_in")] = django.utils.timezone.datetime.fromtimestamp(
            now + fields.pop(name), django.utils.timezone.timezone.utc
        )
    OAuthToken.objects.filter(account__uid=uid).update(**fields)
    if bump:
        ConfigVersion.bump()


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def fill_disk() -> None:
    """From now on no token can be written."""
    on = "BEFORE UPDATE OF sealed_access ON accounts_oauthtoken"
    if connection.vendor == "sqlite":
        execute(f"CREATE TRIGGER stuck {on} BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
        return
    execute(
        "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE disk_full; END $$",
        f"CREATE TRIGGER stuck {on} FOR EACH ROW EXECUTE FUNCTION no_room()",
    )


def free_disk() -> None:
    """It can be written again."""
    execute("DROP TRIGGER stuck" + ("" if connection.vendor == "sqlite" else " ON accounts_oauthtoken"))


def row(uid: str) -> dict[str, Any]:
    """What the database holds of a token, opened."""
    token = OAuthToken.objects.select_related("account__backend").get(account__uid=uid)
    provider = provider_of(BACKEND)
    assert provider is not None
    access = unseal(token.sealed_access, owner=uid, host=token.account.host)
    refresh = unseal(token.sealed_refresh, owner=uid, host=provider.refresh_host)
    plain = ("generation", "needs_login", "problem", "intent", "lease_holder", "failures", "lifetime_s")
    return {
        **{name: getattr(token, name) for name in plain},
        "expires_at": token.expires_at.timestamp() if token.expires_at else None,
        "retry_at": token.retry_at.timestamp() if token.retry_at else None,
        "access": access.reveal(),
        "refresh": refresh.reveal(),
    }


async def refresh(
    uid: str,
    seen: int | None = None,
    by_hand: bool = False,
    waiters: int = 1,
    timeout_s: float = 10.0,
    generation: int = 0,
) -> dict[str, Any]:
    """Ask for a refresh, so many times at once. What came of it, and what this process then would send."""
    ours = Refresher(token_timeout_s=timeout_s)
    asked = (ours.refresh_now(uid, seen_generation=seen, by_hand=by_hand) for _ in range(waiters))
    results = await asyncio.gather(*asked)
    return {"results": sorted(set(results)), "problems": ours.problems(), **await state(uid)}


async def state(uid: str) -> dict[str, Any]:
    """What this process would send for the account, and what is in the way."""
    await in_database_thread(lambda: keeper.current)
    account = keeper.current.account(uid)
    assert account is not None
    obstacle = credential_obstacle(account, time.time())
    headers = dict(credential_headers(account, Protocol.OPENAI)) if account.secret else {}
    return {
        "sends": headers.get(b"authorization", b"").decode().removeprefix("Bearer "),
        "generation": account.token.generation if account.token else 0,
        "obstacle": [obstacle.kind, obstacle.reason] if obstacle else None,
    }


async def cancelled(uid: str, after_s: float) -> dict[str, Any]:
    """A refresh whose only caller leaves; then the process waits for it as the server does at its end."""
    caller = asyncio.create_task(refresher.refresh_now(uid, seen_generation=1))
    await asyncio.sleep(after_s)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await refresher.finish(10.0)
    return {"was_cancelled": caller.cancelled(), **await state(uid)}


async def unwritable(uid: str) -> dict[str, Any]:
    """A refresh while the row cannot be written, then again when it can."""
    await in_database_thread(fill_disk)
    ours = Refresher()
    first = await ours.refresh_now(uid, seen_generation=1)
    held = {"result": first, "problems": ours.problems(), **await state(uid)}
    again = await ours.refresh_now(uid, seen_generation=1)
    await in_database_thread(free_disk)
    last = await ours.refresh_now(uid)
    return {"held": held, "again": again, "last": last, "problems": ours.problems(), **await state(uid)}


async def unwritable_at_start(uid: str) -> dict[str, Any]:
    """The same for a process that finds the spool of one that was killed, as long as the trigger is there."""
    ours = Refresher()
    return {"result": await ours.refresh_now(uid), "problems": ours.problems(), **await state(uid)}


async def keep_through_trouble(uid: str) -> dict[str, Any]:
    """Run the background refresher on a database that cannot be read, until that is told, and then on."""
    await in_database_thread(lambda: keeper.current)
    told = Told()
    logging.getLogger("patchbay.tokens").addHandler(told)
    rename = "ALTER TABLE accounts_oauthtoken RENAME COLUMN {} TO {}"
    await in_database_thread(lambda: execute(rename.format("retry_at", "hidden")))
    keeping = spawn(KeepFresh(refresher, again_seconds=0.2).run(), name="keep")
    try:
        await asyncio.wait_for(told.event.wait(), 10)
    finally:
        await in_database_thread(lambda: execute(rename.format("hidden", "retry_at")))
    generation = 0
    for _ in range(200):
        if (generation := (await state(uid))["generation"]) > 1:
            break
        await asyncio.sleep(0.05)
    return {"told": told.text, "is_running": not keeping.done(), "generation": generation}


class Told(logging.Handler):
    """Notices the first record that is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.event, self.text = asyncio.Event(), ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()
        self.event.set()


async def keep(until: dict[str, int], again_s: float = 5.0, seconds: float = 8.0) -> dict[str, float]:
    """Run the background refresher until these accounts have these generations. When each of them had."""
    await in_database_thread(lambda: keeper.current)
    keeper.start()
    began, done = time.monotonic(), {}
    spawn(KeepFresh(refresher, again_seconds=again_s).run(), name="keep")
    while time.monotonic() - began < seconds and len(done) < len(until):
        await asyncio.sleep(0.05)
        for uid, generation in until.items():
            account = keeper.current.account(uid)
            if account is not None and account.token is not None and account.token.generation >= generation:
                done.setdefault(uid, time.monotonic() - began)
    await refresher.finish(1.0)
    return done


ORDERS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(migrate, add, log_in, log_out, change, fill_disk, free_disk, row, refresh, state),
        *(cancelled, unwritable, unwritable_at_start, keep, keep_through_trouble),
    )
}


# --- processes ----------------------------------------------------------------------------------------------------


class Gate:
    """What gated processes wait at: a pipe that is at its end once this process has closed its side."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def wait(self) -> None:
        os.read(self.read, 1)

    def open(self) -> None:
        os.close(self.write)
        os.close(self.read)
        self.read, self.write = os.pipe()


def tell(**message: Any) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")  # in one piece: several processes share the pipe


def run(order: dict[str, Any], gate: Gate) -> None:
    """In the new process. Does not return."""
    code = 0
    try:
        os.close(gate.write)
        os.environ.update(order.get("env") or {})
        if order.get("gated"):
            tell(id=order["id"], ready=True)
            gate.wait()
        found = ORDERS[order["do"]](*order.get("args") or (), **order.get("with") or {})
        tell(id=order["id"], result=asyncio.run(found) if asyncio.iscoroutine(found) else found)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    gate, running = Gate(), {}
    pending = b""
    while True:
        if select.select([0], [], [], 0.01)[0]:
            received = os.read(0, 65536)
            if not received:
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if order.get("open"):
                    gate.open()
                elif process := os.fork():
                    running[process] = order["id"]
                    tell(id=order["id"], pid=process)
                else:
                    run(order, gate)
        while running:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                break
            tell(id=running.pop(process), exit=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
