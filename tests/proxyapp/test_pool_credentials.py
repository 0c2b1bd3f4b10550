"""Accounts whose credential is not ours: token files of other programs, and whatever the caller sends."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.patchbay import Answer
from tests.proxyapp.pools import Pool, Pools, error_of, eventually, member

CALLER = member(credential={"caller": True})


def write(path: Path, token: str, **more: object) -> None:
    """What another program does at its own refresh: a new file in place of the old one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"access_token": token, **more}))
    os.replace(fresh, path)


def following(pools: Pools, path: Path, **more: Any) -> Pool:
    """A pool with one account, `file`, that follows this file, and others."""
    pool = pools.make({"file": member(credential={"file": str(path)}), **more}, protocol="anthropic")
    return pool


def bearer_of(answer: Answer, pools: Pools) -> str:
    """The credential that upstream got with the newest request."""
    assert answer.status == 200, answer.body
    entry = [e for e in pools.upstream.journal.entries if e.method == "POST" and e.kind == "messages"][-1]
    return str(entry.header("authorization"))


# --- token files --------------------------------------------------------------------------------------------


def test_a_token_file_is_followed_and_never_written(pools: Pools, tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    write(path, "token-one")
    pool = following(pools, path)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    assert bearer_of(pool.ask(), pools) == "Bearer token-one"
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    write(path, "token-two")
    assert eventually(lambda: bearer_of(pool.ask(), pools) == "Bearer token-two", within=3)
    assert [entry.name for entry in tmp_path.iterdir()] == ["credentials.json"]
    assert "token-two" not in pools.patchbay.log


def test_a_refused_token_is_looked_up_in_its_file_again(pools: Pools, tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    write(path, "sk-sim-status=401#stale")
    pool = following(pools, path)
    assert pool.status("file") == "ready"
    pools.patchbay.get("/accounts")  # the file has just been looked at
    write(path, "fresh")
    answer = pool.ask()
    assert (answer.status, answer.headers["x-patchbay-attempts"]) in ((200, "1"), (200, "2"))
    assert pool.status("file") == "ready"


def test_the_same_token_is_not_sent_twice(pools: Pools, tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    key = "sk-sim-status=401#only"
    write(path, key)
    pool = following(pools, path)
    pool.keys["file"] = key
    answer = pool.ask()
    assert (answer.status, error_of(answer)["code"]) == (503, "account_unavailable")
    assert pool.asked() == ["file"]
    assert pool.status("file") == "needs-login"


def test_a_new_token_in_the_file_ends_the_refusal(pools: Pools, tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    write(path, "sk-sim-status=401#refused")
    pool = following(pools, path)
    assert pool.ask().status == 503
    write(path, "good-one")
    assert eventually(lambda: pool.ask().status == 200, within=4), "what was refused was the old token"


def test_an_expired_file_is_passed_over_and_says_whose_login_to_renew(pools: Pools, tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    write(path, "old", expires_at=time.time() - 60)
    pool = following(pools, path, key="")
    assert pool.ask().headers["x-patchbay-account"] == pool.alias("key")
    row = pool.show("file")
    assert (row["status"], str(path) in row["reason"]) == ("expired", True)
    listed = {row["alias"]: row for row in pools.patchbay.get("/status").json()["accounts"]}
    assert (listed[pool.alias("file")]["status"], listed[pool.alias("file")]["canRefresh"]) == (
        "expired",
        False,
    )
    write(path, "new", expires_at=time.time() + 3600)
    assert eventually(lambda: pool.status("file") == "ready", within=3)
    assert 3_500_000 < pool.show("file")["expiresInMs"] <= 3_600_000


def test_a_file_that_is_gone_is_the_account_s_trouble_not_the_caller_s(pools: Pools, tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    write(path, "token")
    pool = following(pools, path)
    assert pool.ask().status == 200
    path.unlink()
    assert eventually(lambda: pool.ask().status == 503, within=9)
    answer = pool.ask()
    assert error_of(answer)["code"] == "account_unavailable"
    assert pool.status("file") == "needs-login"


# --- the caller's own ---------------------------------------------------------------------------------------


def test_the_caller_s_own_credential_passes_through(pools: Pools) -> None:
    pool = pools.make({"own": CALLER}, protocol="anthropic")
    answer = pool.ask(headers={"authorization": "Bearer sk-ant-oat-of-a-friend"})
    assert bearer_of(answer, pools) == "Bearer sk-ant-oat-of-a-friend"
    assert "header:anthropic-beta=oauth" not in answer.headers.get("x-patchbay-mutations", "")


def test_without_one_the_caller_is_asked_for_it(pools: Pools) -> None:
    pool = pools.make({"own": CALLER})
    answer = pool.ask()
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization" in error_of(answer)["message"]
    assert pool.status("own") == "ready"


def test_without_one_an_account_of_ours_serves(pools: Pools) -> None:
    pool = pools.make({"own": CALLER, "ours": ""}, strategy="round-robin")
    assert [pool.ask().status for _ in range(3)] == [200] * 3
    assert pool.asked() == ["ours"] * 3


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_a_refusal_of_it_passes_through_and_benches_nobody(pools: Pools, protocol: str) -> None:
    pool = pools.make({"own": CALLER}, protocol=protocol)
    for status in (401, 403, 429, 500):
        answer = pool.ask(headers={"authorization": f"Bearer sk-sim-status={status}#friend"})
        assert answer.status == status
        assert error_of(answer)["message"].startswith("The simulator was told")
        assert pool.status("own") == "ready"
    assert pool.ask(headers={"authorization": "Bearer fine"}).status == 200


def test_patchbay_s_own_key_comes_apart_and_never_goes_upstream(pools: Pools) -> None:
    pool = pools.make({"own": CALLER}, protocol="anthropic")
    (key,) = pools.desk.do({"do": "key", "name": f"for-{pool.name}"})
    pools.desk.settle()
    try:
        theirs = {"x-patchbay-key": key, "authorization": "Bearer sk-ant-of-a-friend"}
        assert bearer_of(pool.ask(headers=theirs), pools) == "Bearer sk-ant-of-a-friend"
        entry = [e for e in pools.upstream.journal.entries if e.kind == "messages"][-1]
        assert key not in str(entry.headers)
        assert pool.rows()[-1]["key"] == f"for-{pool.name}"
        only_ours = pool.ask(headers={"authorization": f"Bearer {key}"})
        assert only_ours.status == 401
        assert "x-patchbay-key" in error_of(only_ours)["message"]
        assert pool.ask(headers={"authorization": "Bearer sk-ant-of-a-friend"}).status == 401
    finally:
        pools.desk.do({"do": "forget-key", "name": f"for-{pool.name}"})
        pools.desk.settle()
