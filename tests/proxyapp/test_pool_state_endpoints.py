"""`/accounts`, `/status` and `/health`: exact shapes, who may see them, and the same truth as the router's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.pools import Pools, eventually, member
from tests.servers import SimulatorThread

ACCOUNT_KEYS = {
    *("alias", "backend", "status", "util5h", "util7d", "headroom", "claim", "windows", "lastObservedAt"),
    *("utilAgeMs", "requestCount", "inFlight", "cooldownMs", "reason", "expiresInMs"),
}
POOL_KEYS = {
    "mode",
    "accounts",
    "healthy",
    "exhausted",
    "totalHeadroom",
    "bestAccount",
    "queued",
    "stickyBindings",
}
STATUS_KEYS = {"authenticated", "status", "expiresAt", "expiresIn", "canRefresh"}
ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}  # not this machine, as the gate sees it


@pytest.fixture(scope="module")
def own() -> Iterator[Pools]:
    """A Patchbay of this module alone: these endpoints tell of everything at once."""
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_QUEUE_SECONDS": "2"}) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(16) as threads,
    ):
        yield Pools(patchbay, upstream, desk, threads)


@pytest.fixture
def empty(own: Pools) -> Pools:
    """The same without any backend."""
    own.desk.do({"do": "clear"})
    own.desk.settle()
    return own


# --- shapes -------------------------------------------------------------------------------------------------


def test_accounts_before_anything_was_asked(empty: Pools) -> None:
    pool = empty.make({"a": "", "b": ""})
    told = empty.patchbay.get("/accounts").json()
    assert set(told) >= POOL_KEYS
    assert (told["mode"], told["healthy"], told["exhausted"], told["queued"]) == ("pool", 2, 0, 0)
    assert (told["totalHeadroom"], told["stickyBindings"]) == (100, 0)
    assert told["bestAccount"] in {pool.alias("a"), pool.alias("b")}
    row = told["accounts"][0]
    assert set(row) >= ACCOUNT_KEYS
    nothing = (
        "util5h",
        "util7d",
        "headroom",
        "claim",
        "lastObservedAt",
        "utilAgeMs",
        "reason",
        "expiresInMs",
    )
    assert {row[name] for name in nothing} == {None}
    assert (row["windows"], row["requestCount"], row["inFlight"], row["cooldownMs"]) == ([], 0, 0, 0)


def test_accounts_after_readings(empty: Pools) -> None:
    members = {"a": "rl=unified,u5h=0.25,u7d=0.5", "b": "rl=unified,u5h=0.75", "c": "rl=unified,u5h=1.01"}
    pool = empty.make(members, protocol="anthropic")
    for _ in members:
        assert pool.ask().status == 200
    told = empty.patchbay.get("/accounts").json()
    shown = pool.shown()
    assert (told["healthy"], told["exhausted"], told["bestAccount"]) == (2, 1, pool.alias("a"))
    assert told["totalHeadroom"] == pytest.approx((50 + 25) / 2)
    a, c = shown["a"], shown["c"]
    assert (a["util5h"], a["util7d"], a["headroom"], a["claim"]) == (0.25, 0.5, 0.5, "7d")
    assert shown["b"]["headroom"] == 0.25
    assert (c["status"], c["headroom"], c["util5h"]) == ("limited", 0, 1)
    assert c["cooldownMs"] > 0
    assert "5h" in c["reason"]
    assert 0 <= a["utilAgeMs"] < 10_000
    assert abs(a["lastObservedAt"] / 1000 - time.time()) < 10
    windows = {window["name"]: window for window in a["windows"]}
    assert (windows["5h"]["utilization"], windows["5h"]["modelClass"]) == (0.25, None)
    assert abs(windows["5h"]["resetsAt"] / 1000 - time.time() - 7200) < 10
    assert all(0 <= window["utilization"] <= 1 for row in shown.values() for window in row["windows"])


def test_every_status_word(empty: Pools) -> None:
    soon = {"access_token": "x", "expires_at": time.time() - 5}
    members = {
        "ready": "",
        "cooling": member("status=429,ra=600"),
        "needs-login": member("status=401"),
        "limited": member("rl=unified,u5h=1"),
        "expired": member(credential={"oauth": soon}),
        "paused": member(is_paused=True),
    }
    pool = empty.make(members, protocol="anthropic", strategy="round-robin")
    for _ in range(4):
        pool.ask()
    assert {name: row["status"] for name, row in pool.shown().items()} == {name: name for name in members}
    told = empty.patchbay.get("/accounts").json()
    assert (told["healthy"], told["exhausted"]) == (1, 2)


def test_a_lone_account_that_stumbles_is_shown_as_it_is_used(empty: Pools) -> None:
    pool = empty.make({"a": ""})
    pool.script("a", *["status=500"] * 4)
    assert [pool.ask().status for _ in range(2)] == [500, 500]
    told = empty.patchbay.get("/accounts").json()
    assert (told["healthy"], told["exhausted"], told["bestAccount"]) == (1, 0, pool.alias("a"))
    assert empty.patchbay.get("/health").status == 200
    assert pool.ask().status == 200


def test_status_has_the_default_account_at_the_top(empty: Pools) -> None:
    pool = empty.make({"key": "", "plan": member(login=True, expires=7200)}, protocol="anthropic")
    told = empty.patchbay.get("/status").json()
    assert set(told) == STATUS_KEYS | {"accounts"}
    rows = {row["alias"]: row for row in told["accounts"]}
    assert all(set(row) == STATUS_KEYS | {"alias", "backend", "kind"} for row in rows.values())
    plan = rows[pool.alias("plan")]
    assert {name: told[name] for name in STATUS_KEYS} == {name: plan[name] for name in STATUS_KEYS}
    assert (told["authenticated"], told["canRefresh"]) == (True, True)
    assert told["expiresIn"] in ("1h 59m", "2h 0m")


def test_health_in_good_times(empty: Pools) -> None:
    empty.make({"key": "", "plan": member(login=True, expires=7200)}, protocol="anthropic")
    answer = empty.patchbay.get("/health")
    told = answer.json()
    assert (answer.status, told["status"], told["oauth"]) == (200, "ok", "healthy")
    assert told["expiresIn"] in ("1h 59m", "2h 0m")
    assert told["reasons"] == []
    assert isinstance(told["requests"], int)


# --- the same truth as the router's -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["status=429,ra=600", "status=401", "status=402"])
def test_health_is_503_when_nothing_can_serve_in_time(empty: Pools, fault: str) -> None:
    pool = empty.make({"a": fault})
    assert pool.ask().status != 200
    answer = empty.patchbay.get("/health")
    assert (answer.status, answer.json()["status"]) == (503, "degraded")
    assert pool.alias("a") in answer.json()["reasons"][0]
    assert empty.patchbay.get("/readyz").status == 200
    pool.do("resume", "a")
    assert empty.patchbay.get("/health").status == 200


def test_health_is_good_when_the_wait_is_short(empty: Pools) -> None:
    pool = empty.make({"a": ""})
    pool.script("a", "status=429,ra=2")
    asked = pool.asking()
    assert eventually(lambda: pool.status("a") == "cooling")
    assert empty.patchbay.get("/health").status == 200
    assert asked.result().status == 200


def test_health_names_a_backend_that_is_out_while_another_serves(empty: Pools) -> None:
    fine, out = empty.make({"a": ""}), empty.make({"b": "status=401"})
    assert (fine.ask().status, out.ask().status) == (200, 503)
    answer = empty.patchbay.get("/health")
    assert (answer.status, answer.json()["status"]) == (200, "degraded")
    (reason,) = answer.json()["reasons"]
    assert (out.name in reason, out.alias("b") in reason) == (True, True)


def test_a_backend_that_is_paused_on_purpose_is_no_trouble(empty: Pools) -> None:
    fine, off = empty.make({"a": ""}), empty.make({"b": member(is_paused=True)})
    assert (fine.ask().status, off.ask().status) == (200, 503)
    assert empty.patchbay.get("/health").json()["status"] == "ok"


# --- who may see it -----------------------------------------------------------------------------------------


def test_from_elsewhere_health_says_no_more_than_its_status(empty: Pools) -> None:
    pool = empty.make({"a": "status=401"})
    assert pool.ask().status == 503
    answer = empty.patchbay.get("/health", ELSEWHERE)
    assert (answer.status, answer.json()) == (503, {"status": "degraded"})


@pytest.mark.parametrize("path", ["/accounts", "/status"])
def test_a_key_is_asked_for_once_there_is_one(empty: Pools, path: str) -> None:
    assert empty.patchbay.get(path, ELSEWHERE).status == 401
    (key,) = empty.desk.do({"do": "key", "name": "monitor"})
    empty.desk.settle()
    refused = empty.patchbay.get(path)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert set(empty.patchbay.get("/health").json()) > {"status"}, "this machine sees it all"
    assert empty.patchbay.get("/health", ELSEWHERE).json().keys() == {"status"}
    for name, value in (("x-api-key", key), ("authorization", f"Bearer {key}"), ("x-patchbay-key", key)):
        assert empty.patchbay.get(path, {name: value}).status == 200
        assert empty.patchbay.get(path, {name: value, **ELSEWHERE}).status == 200
        assert "reasons" in empty.patchbay.get("/health", {name: value, **ELSEWHERE}).json()


@pytest.mark.parametrize("path", ["/accounts", "/status", "/health"])
def test_other_methods(empty: Pools, path: str) -> None:
    empty.make({"a": ""})
    got, head = empty.patchbay.get(path), empty.patchbay.request("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert got.headers["content-type"] == head.headers["content-type"] == "application/json"
    posted = empty.patchbay.post(path, {})
    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD")
    assert posted.json()["error"]["message"]


def test_no_secret_is_told(empty: Pools) -> None:
    pool = empty.make({"a": "", "plan": member(login=True)}, protocol="anthropic")
    token = empty.upstream.login("someone")["access_token"]
    for path in ("/accounts", "/status", "/health"):
        body = empty.patchbay.get(path).body.decode()
        assert pool.keys["a"] not in body
        assert "sim-oat-" not in body
    assert token.startswith("sim-oat-")
