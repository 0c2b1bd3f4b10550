"""Accounts that are logins: what goes upstream, one refresh for a refused token, and the end of a login."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.patchbay import Answer
from tests.proxyapp.pools import Pool, Pools, error_of, eventually, member

CAPABILITY = "oauth-2025-04-20"
MUTATION = "header:anthropic-beta=oauth"


def status_of(pool: Pool, name: str) -> dict[str, Any]:
    """The account's row in `/status`."""
    rows = pool.servers.patchbay.get("/status").json()["accounts"]
    return next(row for row in rows if row["alias"] == pool.alias(name))


def refreshes(pool: Pool, name: str) -> list[str]:
    """What came of each refresh of this login, in order."""
    notes = pool.servers.upstream.refreshes
    return [note.outcome for note in notes if note.login == pool.alias(name)]


def last_entry(pool: Pool, name: str) -> Any:
    """The newest proxied request that upstream got with this login."""
    entries = pool.servers.upstream.journal.entries
    return next(e for e in reversed(entries) if e.login == pool.alias(name) and e.method == "POST" and e.kind)


def mutations(answer: Answer) -> list[str]:
    """The listed mutations."""
    return answer.headers.get("x-patchbay-mutations", "").split(", ")


# --- what goes upstream -------------------------------------------------------------------------------------


def test_a_login_added_on_the_command_line_serves(pools: Pools) -> None:
    pool = pools.make({"key": ""}, protocol="anthropic")
    pools.desk.do(
        {"do": "provider", "backend": pool.name, "issuer": pools.upstream.url, "client_id": "patchbay-tests"}
    )
    pool.keys["plan"] = pool.alias("plan")
    tokens = pools.upstream.login(pool.alias("plan"))
    pools.patchbay.manage(
        *("accounts", "add", pool.alias("plan"), "--backend", pool.name, "--oauth-json-stdin"),
        stdin=json.dumps(tokens),
    )
    pool.do("pause", "key")
    assert pool.ask().status == 200
    assert pool.asked() == ["plan"]
    assert tokens["access_token"] not in pools.patchbay.log


def test_a_token_goes_as_bearer_with_the_capability_added_once(pools: Pools) -> None:
    pool = pools.make({"a": member(login=True, min_interval_ms=0)}, protocol="anthropic")
    bare = pool.ask(headers={"x-api-key": "sk-ant-of-the-client"})
    entry = last_entry(pool, "a")
    assert entry.header("authorization").startswith("Bearer sim-oat-")
    assert entry.header("x-api-key") is None
    assert (entry.header("anthropic-beta"), MUTATION in mutations(bare)) == (CAPABILITY, True)
    more = pool.ask(headers={"anthropic-beta": "context-1m-2025-08-07"})
    assert last_entry(pool, "a").header("anthropic-beta") == f"context-1m-2025-08-07,{CAPABILITY}"
    assert MUTATION in mutations(more)
    has = pool.ask(headers={"anthropic-beta": f"{CAPABILITY}, context-1m-2025-08-07"})
    assert last_entry(pool, "a").header("anthropic-beta") == f"{CAPABILITY}, context-1m-2025-08-07"
    assert MUTATION not in mutations(has)


def test_other_protocols_get_the_bearer_alone(pools: Pools) -> None:
    pool = pools.make({"a": member(login=True)})
    answer = pool.ask()
    assert answer.status == 200
    assert last_entry(pool, "a").header("anthropic-beta") is None
    assert MUTATION not in mutations(answer)


# --- a refused token ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_token_is_refreshed_once_and_the_request_sent_once_more(pools: Pools, stream: bool) -> None:
    members = {"a": member(login=True, min_interval_ms=0, position=1), "b": member(position=2)}
    pool = pools.make(members, protocol="anthropic", strategy="fill-first")
    pools.upstream.expire(pool.alias("a"))
    answer = pool.ask(stream=stream)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "2")
    assert (pool.asked(), refreshes(pool, "a")) == (["a", "a"], ["rotated"])
    assert (pool.status("a"), status_of(pool, "a")["status"]) == ("ready", "healthy")


def test_many_requests_with_one_refused_token_make_one_refresh(pools: Pools) -> None:
    pool = pools.make({"a": member("ttfb=100ms", login=True, min_interval_ms=0)}, protocol="anthropic")
    pools.upstream.expire(pool.alias("a"))
    answers = [one.result() for one in [pool.asking() for _ in range(20)]]
    assert {answer.status for answer in answers} == {200}
    assert refreshes(pool, "a") == ["rotated"]


def test_a_token_that_is_refused_again_goes_to_the_next_account(pools: Pools) -> None:
    members = {"a": member("status=401", login=True, min_interval_ms=0, position=1), "b": member(position=2)}
    pool = pools.make(members, protocol="anthropic", strategy="fill-first")
    answer = pool.ask()
    assert (answer.status, pool.asked()) == (200, ["a", "a", "b"])
    assert refreshes(pool, "a") == ["rotated"]
    assert pool.status("a") == "needs-login"
    assert pool.ask().status == 200
    assert (pool.asked()[3:], refreshes(pool, "a")) == (["b"], ["rotated"]), "it is left alone for now"


def test_alone_it_ends_as_the_account_s_fault_not_the_caller_s(pools: Pools) -> None:
    pool = pools.make({"a": member("status=401", login=True, min_interval_ms=0)}, protocol="anthropic")
    answer = pool.ask()
    error = error_of(answer)
    assert (answer.status, error["code"], error["type"]) == (503, "account_unavailable", "api_error")
    assert (pool.alias("a") in error["message"], pool.name in error["message"]) == (True, True)
    assert (pool.asked(), refreshes(pool, "a")) == (["a", "a"], ["rotated"])
    assert pool.ask().status == 503
    assert len(pool.asked()) == 2


def test_a_login_that_is_over_needs_a_login_and_is_not_asked_again(pools: Pools) -> None:
    pool = pools.make({"a": member(login=True, min_interval_ms=0)}, protocol="anthropic")
    pools.upstream.expire(pool.alias("a"))
    pools.upstream.revoke(pool.alias("a"))
    assert pool.ask().status == 503
    assert refreshes(pool, "a") == ["revoked"]
    for _ in range(3):
        answer = pool.ask()
        assert (answer.status, error_of(answer)["code"]) == (503, "account_unavailable")
        assert f"login {pool.alias('a')}" in error_of(answer)["message"]
    assert (len(pool.asked()), refreshes(pool, "a")) == (1, ["revoked"])
    row = status_of(pool, "a")
    assert (row["status"], row["authenticated"], row["canRefresh"]) == ("needs-login", False, False)
    assert pool.status("a") == "needs-login"
    health = pools.patchbay.get("/health").json()
    assert health["oauth"] == "expired"


def test_a_new_login_ends_it(pools: Pools) -> None:
    pool = pools.make({"a": member(login=True, min_interval_ms=0)}, protocol="anthropic")
    pools.upstream.expire(pool.alias("a"))
    pools.upstream.revoke(pool.alias("a"))
    assert pool.ask().status == 503
    pools.desk.do({"do": "login", "alias": pool.alias("a"), "tokens": pools.upstream.login(pool.alias("a"))})
    pools.desk.settle()
    assert (pool.status("a"), pool.ask().status) == ("ready", 200)


def test_a_provider_that_cannot_refresh_now_does_not_end_the_login(pools: Pools) -> None:
    members = {"a": member(login=True, min_interval_ms=0, position=1), "b": member(position=2)}
    pool = pools.make(members, protocol="anthropic", strategy="fill-first")
    pools.upstream.expire(pool.alias("a"))
    pools.upstream.script(["status=503"], key=pool.alias("a"), path="/oauth/token")
    answer = pool.ask()
    assert (answer.status, pool.asked()) == (200, ["a", "b"])
    assert refreshes(pool, "a") == ["failed"]
    assert pool.ask().headers["x-patchbay-account"] == pool.alias("b")
    pools.patchbay.manage("refresh", pool.alias("a"))
    assert eventually(lambda: pool.status("a") == "ready"), "what was refused was the old token"
    assert pool.ask().headers["x-patchbay-account"] == pool.alias("a")


# --- in time ------------------------------------------------------------------------------------------------


def test_an_imported_token_that_ends_in_a_moment_is_replaced_before_it_is_used(pools: Pools) -> None:
    pool = pools.make({"a": member(login=True, expires=20)}, protocol="anthropic")
    used = last_entry(pool, "a") if pool.ask().status == 200 else None
    assert (refreshes(pool, "a"), pool.asked()) == (["rotated"], ["a"])
    assert used is not None
    assert used.header("authorization").startswith("Bearer sim-oat-")


def test_short_tokens_are_refreshed_in_the_background_and_nobody_notices(pools: Pools) -> None:
    pool, orders = pools.plan({"a": member(login=True, expires=20, min_interval_ms=0)}, protocol="anthropic")
    pools.upstream.script(["expires=4"], key=pool.alias("a"), path="/oauth/token")
    pools.carry_out(orders)
    statuses: set[int] = set()
    assert eventually(lambda: statuses.add(pool.ask().status) or len(refreshes(pool, "a")) == 2)
    assert eventually(lambda: statuses.add(pool.ask().status) or status_of(pool, "a")["status"] == "healthy")
    assert (statuses, set(refreshes(pool, "a"))) == ({200}, {"rotated"})


def test_status_tells_every_login_s_life(pools: Pools) -> None:
    members = {"a": member(login=True, expires=42_120), "key": ""}
    pool = pools.make(members, protocol="anthropic")
    row = status_of(pool, "a")
    assert row == {
        "alias": pool.alias("a"),
        "backend": pool.name,
        "kind": "oauth",
        "authenticated": True,
        "status": "healthy",
        "expiresAt": row["expiresAt"],
        "expiresIn": row["expiresIn"],
        "canRefresh": True,
    }
    assert re.fullmatch(r"11h 4[12]m", row["expiresIn"])
    assert abs(row["expiresAt"] / 1000 - time.time() - 42_120) < 60
    assert abs(pool.show("a")["expiresInMs"] / 1000 - 42_120) < 60
    key = status_of(pool, "key")
    assert (key["status"], key["expiresAt"], key["canRefresh"]) == ("healthy", None, False)
