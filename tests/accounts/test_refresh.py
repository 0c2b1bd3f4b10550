"""Refreshing over real processes, a real SQLite file and a provider whose refresh tokens are good once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.refresh_store import LEASE_SECONDS
from tests import on_postgres
from tests.accounts.workers import Office, open_office
from tests.patchbay import Patchbay

HOUR = 3600.0


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with open_office() as running:
        yield running


def script(office: Office, login: str, *scripts: str) -> None:
    office.simulator.script(scripts, key=login, path="/oauth/token")


# --- one refresh for all ------------------------------------------------------------------------------------------


def test_two_hundred_waiters_in_four_processes_cause_one_token_request(office: Office) -> None:
    uid = office.account("crowd")
    script(office, "crowd", "ttfb=400ms")
    crowd = [office.start("refresh", uid, seen=1, waiters=50, gated=True) for _ in range(4)]
    for process in crowd:
        process.until_ready()
    office.open_gate()
    found = [process.result() for process in crowd]
    assert office.outcomes("crowd") == ["rotated"]
    assert sorted(result for answer in found for result in answer["results"]) == [*["fresh"] * 3, "refreshed"]
    row = office.do("row", uid)
    assert {answer["sends"] for answer in found} == {row["access"]}  # each of them uses the new token at once
    assert {answer["generation"] for answer in found} == {row["generation"]} == {2}
    assert office.spooled(uid) == []


def test_one_process_after_another_sends_each_refresh_token_once(office: Office) -> None:
    uid = office.account("row")
    results = [office.do("refresh", uid, seen=seen)["results"] for seen in (1, 1, 2, None)]
    assert results == [["refreshed"], ["fresh"], ["refreshed"], ["fresh"]]
    assert office.outcomes("row") == ["rotated", "rotated"]


def test_a_caller_that_leaves_does_not_end_the_refresh(office: Office) -> None:
    uid = office.account("leaving")
    script(office, "leaving", "ttfb=400ms")
    found = office.do("cancelled", uid, after_s=0.15)
    assert found["was_cancelled"]
    assert found["generation"] == 2
    assert office.outcomes("leaving") == ["rotated"]


def test_a_token_that_is_not_due_is_left_alone(office: Office) -> None:
    uid = office.account("fresh")
    assert office.do("refresh", uid)["results"] == ["fresh"]
    assert office.notes("fresh") == []


def test_a_provider_that_does_not_rotate_keeps_the_refresh_token(office: Office) -> None:
    uid = office.account("steady")
    script(office, "steady", "no-rotate", "no-rotate")
    before = office.do("row", uid)
    assert office.do("refresh", uid, seen=1)["results"] == ["refreshed"]
    assert office.do("refresh", uid, seen=2)["results"] == ["refreshed"]
    after = office.do("row", uid)
    assert (after["refresh"], after["generation"]) == (before["refresh"], 3)
    assert after["access"] != before["access"]


# --- the lease of another machine -----------------------------------------------------------------------------------


def test_the_lease_of_another_machine_is_waited_for_and_then_taken_over(office: Office) -> None:
    uid = office.account("elsewhere")
    office.do("change", uid, lease_holder="another-home:7:abcd", lease_until_in=1.2)
    began = time.monotonic()
    assert office.do("refresh", uid, seen=1)["results"] == ["refreshed"]
    assert time.monotonic() - began > 0.9
    assert office.outcomes("elsewhere") == ["rotated"]


def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(office: Office) -> None:
    uid = office.account("set-back")
    office.do("change", uid, lease_holder="another-home:7:abcd", lease_until_in=LEASE_SECONDS + HOUR)
    assert office.do("refresh", uid, seen=1)["results"] == ["refreshed"]


# --- failures -------------------------------------------------------------------------------------------------------


def test_a_server_error_is_tried_again_after_a_while_with_the_same_token(office: Office) -> None:
    uid = office.account("error")
    script(office, "error", "status=500")
    failed = office.do("refresh", uid, seen=1)
    assert failed["results"] == ["failed"]
    assert failed["obstacle"] is None  # the old token serves until its end
    assert "HTTP 500" in failed["problems"][0]
    row = office.do("row", uid)
    assert (row["failures"], row["intent"], row["generation"]) == (1, None, 1)
    assert 20 < row["retry_at"] - time.time() < 40
    assert office.do("refresh", uid, seen=1)["results"] == ["failed"]  # not before its time
    assert office.outcomes("error") == ["failed"]
    office.do("change", uid, retry_at_in=-1)
    assert office.do("refresh", uid, seen=1)["results"] == ["refreshed"]
    row = office.do("row", uid)
    assert (row["failures"], row["problem"], row["retry_at"]) == (0, "", None)


def test_a_back_off_from_before_the_clock_was_set_back_does_not_count(office: Office) -> None:
    uid = office.account("patient")
    office.do("change", uid, retry_at_in=HOUR)
    assert office.do("refresh", uid, seen=1)["results"] == ["refreshed"]


def test_a_person_does_not_wait_for_the_back_off(office: Office) -> None:
    uid = office.account("person")
    script(office, "person", "status=503")
    assert office.do("refresh", uid, seen=1)["results"] == ["failed"]
    assert office.do("refresh", uid, seen=1, by_hand=True)["results"] == ["refreshed"]


def test_an_unanswered_token_is_sent_once_more_and_no_third_time(office: Office) -> None:
    uid = office.account("silent")
    script(office, "silent", "hang", "hang")
    for intent in (1, 0):
        assert office.do("refresh", uid, seen=1, timeout_s=0.3)["results"] == ["failed"]
        assert office.do("row", uid)["intent"] == intent
        office.do("change", uid, retry_at_in=-1)
    assert office.do("refresh", uid)["results"] == ["failed"]
    assert office.do("state", uid)["obstacle"] is None
    office.do("change", uid, expires_at_in=-1)  # the end of the old token has come
    found = office.do("refresh", uid)
    assert found["results"] == ["needs-login"]
    assert "`login silent --oauth`" in office.do("row", uid)["problem"]
    assert office.outcomes("silent") == ["unanswered", "unanswered"]


def test_an_answer_that_was_lost_on_the_way_ends_in_a_login(office: Office) -> None:
    uid = office.account("lost")
    script(office, "lost", "commit-then-drop")
    assert office.do("refresh", uid, seen=1)["results"] == ["failed"]
    office.do("change", uid, retry_at_in=-1)
    assert office.do("refresh", uid, seen=1)["results"] == ["needs-login"]
    assert office.outcomes("lost") == ["rotated", "refresh_token_reused"]


def test_a_provider_that_is_not_there_costs_no_attempt(office: Office) -> None:
    uid = office.account("offline")
    port = office.simulator.stop_listening()
    assert office.do("refresh", uid, seen=1, by_hand=True)["results"] == ["failed"]
    assert office.do("row", uid)["intent"] is None
    office.simulator.listen_again(port)
    assert office.do("refresh", uid, seen=1, by_hand=True)["results"] == ["refreshed"]


def test_a_revoked_login_is_told_once_and_asked_no_more(office: Office) -> None:
    uid = office.account("revoked")
    office.simulator.revoke("revoked")
    found = office.do("refresh", uid, seen=1)
    assert found["results"] == ["needs-login"]
    assert found["obstacle"] == [
        "needs-login",
        "the provider no longer accepts its login. Run `login revoked --oauth`.",
    ]
    assert office.do("refresh", uid, seen=1)["results"] == ["needs-login"]
    assert office.outcomes("revoked") == ["revoked"]


def test_a_new_login_ends_the_trouble(office: Office) -> None:
    uid = office.account("cured")
    office.simulator.revoke("cured")
    assert office.do("refresh", uid, seen=1)["results"] == ["needs-login"]
    office.do("log_in", uid, office.simulator.login("cured-again"))
    row = office.do("row", uid)
    assert (row["needs_login"], row["problem"], row["generation"]) == (False, "", 2)
    assert office.do("refresh", uid, seen=2)["results"] == ["refreshed"]


# --- disks and databases that take nothing -----------------------------------------------------------------------


@pytest.fixture(params=["spool", "no spool"])
def with_or_without_spool(office: Office, request: pytest.FixtureRequest) -> Iterator[str]:
    """Also when neither of the two places can be written."""
    spool, away = office.home / "spool", office.home / "away"
    if request.param == "no spool":
        spool.rename(away)
    yield str(request.param)
    if request.param == "no spool":
        away.rename(spool)


def test_tokens_that_the_database_cannot_take_are_used_from_memory_and_written_later(
    office: Office, with_or_without_spool: str
) -> None:
    alias = with_or_without_spool.replace(" ", "-")
    uid = office.account(alias)
    found = office.do("unwritable", uid)
    held = found["held"]
    assert held["result"] == "refreshed"
    assert office.simulator.simulator.logins.is_good(held["sends"])
    assert (held["generation"], held["obstacle"]) == (1, None)
    assert "not in the database yet" in held["problems"][0]
    assert (found["again"], found["last"], found["problems"]) == ("fresh", "refreshed", [])
    assert (found["generation"], found["sends"]) == (2, held["sends"])
    assert office.outcomes(alias) == ["rotated"]
    assert office.spooled(uid) == []


def test_a_process_that_starts_with_such_a_database_uses_the_spool(office: Office) -> None:
    uid = office.account("full-start")
    office.start("refresh", uid, seen=1, env={"PATCHBAY_FAILPOINT": "refresh.after_spool:kill"}).exit()
    office.do("fill_disk")
    try:
        found = office.do("unwritable_at_start", uid)
    finally:
        office.do("free_disk")
    assert found["result"] == "refreshed"
    assert office.simulator.simulator.logins.is_good(found["sends"])
    assert len(found["problems"]) == 1
    assert office.do("refresh", uid)["results"] == ["refreshed"]  # adopted
    assert office.outcomes("full-start") == ["rotated"]


def test_without_a_spool_the_tokens_go_to_the_database_at_once(office: Office) -> None:
    uid = office.account("no-place")
    spool = office.home / "spool"
    spool.rename(office.home / "away")
    try:
        assert office.do("refresh", uid, seen=1)["results"] == ["refreshed"]
    finally:
        (office.home / "away").rename(spool)
    assert office.do("row", uid)["generation"] == 2


# --- in the background ------------------------------------------------------------------------------------------------


def test_what_is_due_is_refreshed_in_the_background_and_nothing_else(office: Office) -> None:
    """On a start too: a token that has its time is not refreshed because a process began."""
    due, early, fresh = (office.account(alias) for alias in ("bg-due", "bg-early", "bg-fresh"))
    office.do("change", due, expires_at_in=50, lifetime_s=8 * HOUR)
    office.do(
        "change", early, expires_at_in=1000, lifetime_s=8 * HOUR
    )  # 30 minutes before, whatever the jitter
    assert set(office.do("keep", {due: 2, early: 2})) == {due, early}
    assert [office.outcomes(name) for name in ("bg-due", "bg-early", "bg-fresh")] == [
        ["rotated"],
        ["rotated"],
        [],
    ]
    assert office.do("row", fresh)["generation"] == 1


def test_a_change_of_the_configuration_wakes_the_background_refresher(office: Office) -> None:
    uid = office.account("bg-wake")
    keeping = office.start("keep", {uid: 2})
    assert keeping.pid
    office.do("change", uid, expires_at_in=HOUR)
    office.do("change", uid, bump=True, expires_at_in=40)
    assert uid in keeping.result()


def test_the_background_refresher_survives_a_database_that_cannot_be_read(office: Office) -> None:
    uid = office.account("bg-broken")
    office.do("change", uid, expires_at_in=50)
    found = office.do("keep_through_trouble", uid)
    assert "Tokens cannot be looked after now" in found["told"]
    assert found["is_running"]
    assert found["generation"] == 2


def test_a_failed_token_does_not_keep_the_others_waiting(office: Office) -> None:
    slow, quick = office.account("bg-slow"), office.account("bg-quick")
    script(office, "bg-slow", "hang")
    for uid in (slow, quick):
        office.do("change", uid, expires_at_in=45)
    assert set(office.do("keep", {quick: 2})) == {quick}


# --- secrets ----------------------------------------------------------------------------------------------------------


def stored(home: Path) -> bytes:
    """All that the configuration database holds, as it lies there."""
    if on_postgres.is_on():
        return repr(list(Patchbay(home=home).dump("config"))).encode()
    return b"".join((home / f"config.sqlite3{log}").read_bytes() for log in ("", "-wal"))


def test_no_token_shows_in_logs_or_in_the_journal(office: Office) -> None:
    uid = office.account("canary")
    tokens = [office.do("row", uid)]
    script(office, "canary", "echo-secret=plain", "ok")
    office.do("refresh", uid, seen=1)
    assert office.do("refresh", uid, seen=1, by_hand=True)["results"] == ["refreshed"]
    tokens.append(office.do("row", uid))
    assert tokens[0]["refresh"] != tokens[1]["refresh"]
    log = (office.home / "worker.log").read_text()
    database = stored(office.home)
    for row in tokens:
        for token in (row["access"], row["refresh"]):
            assert token not in log
            assert token.encode() not in database
            assert token not in json.dumps(office.do("row", uid)["problem"])
