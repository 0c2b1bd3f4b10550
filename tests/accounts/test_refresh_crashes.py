"""`kill -9` at every step of a refresh: what is left is a usable account or a clear request to log in again.

The provider's tokens are single-use and its journal is the oracle: no token that was still good may be lost, and
none may be sent again and again.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.accounts.workers import Office, open_office


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with open_office() as running:
        yield running


def killed_at(office: Office, uid: str, step: str) -> None:
    killed = office.start("refresh", uid, seen=1, env={"PATCHBAY_FAILPOINT": f"refresh.{step}:kill"})
    assert killed.exit() == -signal.SIGKILL


def is_good(office: Office, token: str) -> bool:
    return office.simulator.simulator.logins.is_good(token)


def assert_usable(office: Office, alias: str, uid: str) -> None:
    """The stored access token is good, and so is the refresh token: another refresh works."""
    row = office.do("row", uid)
    assert (row["needs_login"], row["intent"], row["lease_holder"]) == (False, None, "")
    assert is_good(office, row["access"])
    assert office.do("refresh", uid, seen=row["generation"])["results"] == ["refreshed"]
    assert office.spooled(uid) == []


@pytest.mark.parametrize(
    ("step", "result", "sent"),
    [
        ("after_lease", "refreshed", ["rotated"]),
        ("after_intent", "refreshed", ["rotated"]),
        ("after_spool", "refreshed", ["rotated"]),
        ("after_store", "fresh", ["rotated"]),
        ("after_drop", "fresh", ["rotated"]),
    ],
)
def test_what_a_crash_leaves_is_made_good_with_one_token_request(
    office: Office, step: str, result: str, sent: list[str]
) -> None:
    uid = office.account(step)
    killed_at(office, uid, step)
    assert office.do("refresh", uid, seen=1)["results"] == [result]
    assert office.outcomes(step) == sent
    assert office.do("row", uid)["generation"] == 2
    assert_usable(office, step, uid)


def test_tokens_that_died_with_the_process_need_a_login_after_one_more_try(office: Office) -> None:
    uid = office.account("answered")
    killed_at(office, uid, "after_answer")
    found = office.do("refresh", uid)  # as at a start: nobody was refused, but an attempt is open
    assert found["results"] == ["needs-login"]
    assert found["obstacle"][0] == "needs-login"
    row = office.do("row", uid)
    assert row["needs_login"]
    assert "`login answered --oauth`" in row["problem"]
    assert "sim-o" not in row["problem"]
    for seen in (None, 1):
        assert office.do("refresh", uid, seen=seen)["results"] == ["needs-login"]
    assert office.outcomes("answered") == ["rotated", "refresh_token_reused"]


@pytest.mark.parametrize(
    ("script", "result", "sent"),
    [
        ("hang", "refreshed", ["unanswered", "rotated"]),
        ("commit-then-hang", "needs-login", ["rotated", "refresh_token_reused"]),
    ],
)
def test_a_crash_while_the_provider_answers(
    office: Office, script: str, result: str, sent: list[str]
) -> None:
    uid = office.account(script)
    office.simulator.script([script], key=script, path="/oauth/token")
    killed = office.start("refresh", uid, seen=1)
    office.simulator.wait_for(
        lambda entry: entry.token is not None and entry.login == script and entry.body_at
    )
    killed.kill()
    assert office.do("refresh", uid)["results"] == [result]
    assert office.outcomes(script) == sent
    if result == "refreshed":
        assert_usable(office, script, uid)


def test_a_spool_file_that_was_cut_short_is_no_token(office: Office) -> None:
    """The crash came between the first byte and the sync: as if the answer had never been spooled."""
    uid = office.account("torn")
    killed_at(office, uid, "after_spool")
    (name,) = [name for name in office.spooled(uid) if name.endswith(".json")]
    path = office.home / "spool" / name
    path.write_bytes(path.read_bytes()[:100])
    assert office.do("refresh", uid)["results"] == ["needs-login"]
    assert office.spooled(uid) == []


def test_a_second_crash_in_a_row_does_not_start_a_loop(office: Office) -> None:
    uid = office.account("twice")
    for _ in range(2):
        killed_at(office, uid, "after_intent")
    assert office.do("refresh", uid)["results"] == ["failed"]  # the old token serves until its end
    assert office.do("state", uid)["obstacle"] is None
    assert office.outcomes("twice") == []
    assert office.do("refresh", uid, seen=1, by_hand=True)["results"] == ["refreshed"]
    assert_usable(office, "twice", uid)


def test_spooled_tokens_are_sealed_and_private(office: Office) -> None:
    uid = office.account("private")
    killed_at(office, uid, "after_spool")
    (path,) = (office.home / "spool").glob(f"token-{uid}-*.json")
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "sim-oat-" not in text
    assert "sim-ort-" not in text
    assert office.do("refresh", uid)["results"] == ["refreshed"]
    row = office.do("row", uid)
    assert row["access"].startswith("sim-oat-")
    assert row["refresh"].startswith("sim-ort-")


def test_spooled_tokens_never_replace_those_of_a_later_login(office: Office) -> None:
    """Logged out and in again between the crash and the next start: generation 1 as before, another refresh token."""
    uid = office.account("again")
    killed_at(office, uid, "after_spool")
    office.do("log_out", uid)
    office.do("log_in", uid, office.simulator.login("again-later"))
    newer = office.do("row", uid)
    assert office.do("refresh", uid)["results"] == ["fresh"]
    assert office.do("row", uid) == newer
    assert office.spooled(uid) == []


def test_an_account_that_is_gone_leaves_nothing_in_the_spool(office: Office) -> None:
    uid = office.account("gone")
    killed_at(office, uid, "after_spool")
    office.do("log_out", uid)
    found = office.do("refresh", uid, seen=1)
    assert found["results"] == ["needs-login"]
    assert found["obstacle"][0] == "needs-login"
    assert office.spooled(uid) == []


def test_the_server_adopts_what_a_crash_left_before_anything_is_due(office: Office) -> None:
    adopted, stored = office.account("start"), office.account("start-late")
    killed_at(office, adopted, "after_spool")
    killed_at(office, stored, "after_store")
    assert len(office.spooled(stored)) == 2  # the tokens, and the lock of a dead process
    assert set(office.do("keep", {adopted: 2, stored: 2})) == {adopted, stored}
    assert office.outcomes("start") == office.outcomes("start-late") == ["rotated"]
    assert office.spooled(adopted) == office.spooled(stored) == []


def test_without_the_tests_switch_a_failpoint_is_no_failpoint(office: Office) -> None:
    uid = office.account("production")
    settings = {"PATCHBAY_FAILPOINT": "refresh.after_lease:kill", "PATCHBAY_TEST_FAILPOINTS": ""}
    assert office.do("refresh", uid, seen=1, env=settings)["results"] == ["refreshed"]
