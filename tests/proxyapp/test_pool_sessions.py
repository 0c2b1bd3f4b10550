"""A conversation stays on its account for the sake of the prompt cache, and moves only when it must."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from tests.proxyapp.pools import PATHS, Pool, Pools, eventually, member

CLAUDE_CODE = "user_0f3a_account__session_3c1b2b4e-7a52-4b6f-9a9e-1d2c3b4a5f60"


def served_by(pool: Pool, *args: Any, **fields: Any) -> str:
    """The short name of the account that served one request."""
    answer = pool.ask(*args, **fields)
    assert answer.status == 200, answer.body
    return answer.headers["x-patchbay-account"].removeprefix(f"{pool.name}-")


@pytest.mark.parametrize("strategy", ["headroom", "forecast", "fill-first", "round-robin", "weighted"])
def test_a_session_keeps_its_account_under_every_strategy(pools: Pools, strategy: str) -> None:
    pool = pools.make(dict.fromkeys("abc", ""), strategy=strategy)
    first = served_by(pool, headers={"session-id": "one"})
    others = {served_by(pool) for _ in range(4)}
    assert {served_by(pool, headers={"session-id": "one"}) for _ in range(4)} == {first}
    assert strategy == "fill-first" or len(others) > 1


@pytest.mark.parametrize(
    ("protocol", "how"),
    [
        ("anthropic", {"headers": {"x-claude-code-session-id": "abc-1"}}),
        ("anthropic", {"metadata": {"user_id": CLAUDE_CODE}}),
        ("openai", {"headers": {"session-id": "abc-2"}}),
        ("openai", {"headers": {"x-opencode-session": "abc-3"}}),
        ("openai", {"prompt_cache_key": "abc-4"}),
        ("openai", {"text": "the same first message"}),
    ],
)
def test_what_tools_send_names_the_session(pools: Pools, protocol: str, how: dict[str, Any]) -> None:
    pool = pools.make(dict.fromkeys("abcd", ""), protocol=protocol, strategy="round-robin")
    assert len({served_by(pool, **how) for _ in range(5)}) == 1
    assert len({served_by(pool) for _ in range(4)}) >= 3


def test_a_conversation_that_grows_is_the_same_one(pools: Pools) -> None:
    pool = pools.make(dict.fromkeys("abcd", ""), strategy="round-robin")
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there"}]
    homes = set()
    for turn in range(4):
        answer = pools.patchbay.post(PATHS["openai"], {"model": f"{pool.name}:m", "messages": turns})
        homes.add(answer.headers["x-patchbay-account"])
        turns += [{"role": "assistant", "content": "hi"}, {"role": "user", "content": f"and {turn}?"}]
    assert len(homes) == 1


def test_one_system_prompt_does_not_bind_everybody_to_one_account(pools: Pools) -> None:
    pool = pools.make(dict.fromkeys("abcd", ""))
    homes: Counter[str] = Counter()
    for number in range(12):
        turns = [{"role": "system", "content": "one tool"}, {"role": "user", "content": f"task {number}"}]
        answer = pools.patchbay.post(PATHS["openai"], {"model": f"{pool.name}:m", "messages": turns})
        homes[answer.headers["x-patchbay-account"]] += 1
    assert set(homes.values()) == {3}


def test_it_moves_when_its_account_cannot_serve_and_stays_where_it_went(pools: Pools) -> None:
    pool = pools.make({"a": "", "b": ""})
    mine = {"session-id": "moving"}
    home = served_by(pool, headers=mine)
    other = ({"a", "b"} - {home}).pop()
    pool.do("pause", home)
    assert served_by(pool, headers=mine) == other
    pool.do("resume", home)
    assert {served_by(pool, headers=mine) for _ in range(3)} == {other}


@pytest.mark.parametrize("fault", ["status=429,ra=1", "status=500", "status=529"])
def test_it_follows_a_failover(pools: Pools, fault: str) -> None:
    pool = pools.make({"a": "", "b": ""})
    mine = {"session-id": "failing over"}
    home = served_by(pool, headers=mine)
    pool.script(home, fault)
    moved = served_by(pool, headers=mine)
    assert moved != home
    assert eventually(lambda: pool.status(home) == "ready")
    assert served_by(pool, headers=mine) == moved, "the cache is there now"
    assert pool.show(moved)["stickyBindings"] == 1


def test_one_name_of_two_client_keys_is_two_sessions(pools: Pools) -> None:
    pool = pools.make(dict.fromkeys("abcd", ""), strategy="round-robin")
    names = [f"{pool.name}-{person}" for person in ("ann", "bob")]
    ann, bob = pools.desk.do(*({"do": "key", "name": name} for name in names))
    pools.desk.settle()
    try:
        homes = {
            person: {served_by(pool, headers={"session-id": "one", "x-patchbay-key": key}) for _ in range(3)}
            for person, key in (("ann", ann), ("bob", bob))
        }
        assert [len(found) for found in homes.values()] == [1, 1]
        assert homes["ann"] != homes["bob"]
    finally:
        pools.desk.do(*({"do": "forget-key", "name": name} for name in names))
        pools.desk.settle()


def test_the_history_and_accounts_tell_of_it(pools: Pools) -> None:
    pool = pools.make({"a": ""})
    before = pools.patchbay.get("/accounts").json()["stickyBindings"]
    pool.ask(headers={"session-id": "told-of"})
    pool.ask(headers={"session-id": "told-of"})
    assert {row["session"] for row in pool.rows(2)} == {"told-of"}
    assert pool.show("a")["stickyBindings"] == 1
    assert pools.patchbay.get("/accounts").json()["stickyBindings"] == before + 1


def test_a_session_s_choice_is_told_as_such(pools: Pools) -> None:
    pool = pools.make({"a": member("used=0.5"), "b": member("used=0.1")})
    mine = {"session-id": "told"}
    home = served_by(pool, headers=mine)
    said = pool.ask(headers=mine).headers["x-patchbay-decision"]
    assert f"{pool.alias(home)} (the session's account)" in said


@pytest.mark.parametrize("stream", [False, True])
def test_a_follow_up_that_names_only_the_response_before_goes_to_whoever_has_it(
    pools: Pools, stream: bool
) -> None:
    pool = pools.make(dict.fromkeys("abcd", ""), strategy="round-robin", responses=True)
    home, before = respond(pool, "begin", stream=stream)
    for turn in range(4):
        assert respond(pool, f"something else {turn}")
        account, before = respond(pool, f"turn {turn}", stream=stream, previous_response_id=before)
        assert account == home


def test_a_response_that_nobody_here_has_given_binds_to_nobody(pools: Pools) -> None:
    pool = pools.make(dict.fromkeys("abcd", ""), strategy="round-robin", responses=True)
    assert len({respond(pool, "on", previous_response_id="resp_elsewhere")[0] for _ in range(4)}) == 4


def respond(pool: Pool, text: str, **fields: Any) -> tuple[str, str]:
    """Ask the Responses API; who answered, and the response's id."""
    body = {"model": f"{pool.name}:m", "input": text, **fields}
    answer = pool.servers.patchbay.post("/v1/responses", body)
    found = re.search(rb'"id": ?"(resp[^"]*)"', answer.body)
    assert found is not None, answer.body
    return answer.headers["x-patchbay-account"], found[1].decode()
