"""The state of a credential, as a function of what is known and the time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accounts.snapshot import AccountConfig, TokenFacts
from accounts.status import credential_status, status_answer
from accounts.vault import Secret

NOW = 1_795_305_600.0
HOUR = 3600.0
SECRET = Secret("sk-0123456789abcdef")


def login(
    ends_in: float | None, *, alias: str = "plan", can_refresh: bool = True, needs_login: bool = False
) -> AccountConfig:
    expires_at = None if ends_in is None else NOW + ends_in
    facts = TokenFacts(1, expires_at, can_refresh, needs_login)
    return AccountConfig(f"uid-{alias}-{ends_in}", alias, "anthropic", "oauth", SECRET, token=facts)


def account(kind: str, alias: str = "work", secret: Secret | None = None, problem: str = "") -> AccountConfig:
    return AccountConfig(f"uid-{alias}", alias, "anthropic", kind, secret, problem=problem)


@pytest.mark.parametrize(
    ("ends_in", "status", "authenticated", "line"),
    [
        (11 * HOUR + 42 * 60, "healthy", True, "healthy, expires in 11h 42m"),
        (1801.0, "healthy", True, "healthy, expires in 30m"),
        (1800.0, "expiring", True, "expiring, expires in 30m"),
        (1.0, "expiring", True, "expiring, expires in 1s"),
        (0.0, "expired", False, "expired just now"),
        (-2 * HOUR, "expired", False, "expired 2 hours ago"),
        (None, "healthy", True, "healthy"),
    ],
)
def test_a_login_goes_by_the_end_of_its_token(
    ends_in: float | None, status: str, authenticated: bool, line: str
) -> None:
    found = credential_status(login(ends_in), NOW)
    assert (found.status, found.authenticated, found.can_refresh) == (status, authenticated, True)
    assert found.line(NOW) == line
    assert found.expires_at_ms == (None if ends_in is None else round((NOW + ends_in) * 1000))


def test_a_token_that_can_be_refreshed_is_nobodys_problem() -> None:
    assert credential_status(login(-HOUR), NOW).problem == ""
    assert (
        "cannot be refreshed"
        in credential_status(login(-HOUR, alias="other", can_refresh=False), NOW).problem
    )


def test_a_login_that_was_revoked_needs_a_login_whatever_its_time() -> None:
    found = credential_status(login(HOUR, needs_login=True), NOW)
    assert (found.status, found.authenticated, found.can_refresh) == ("needs-login", False, False)
    assert "Run `login plan --oauth`" in found.problem


@pytest.mark.parametrize(
    ("config", "refused", "status", "authenticated"),
    [
        (account("api_key", secret=SECRET), False, "healthy", True),
        (account("api_key", secret=SECRET), True, "needs-login", False),
        (account("api_key", problem="no key"), False, "needs-login", False),
        (account("oauth", problem="not logged in"), False, "needs-login", False),
        (account("caller"), False, "none", False),
        (account("none"), False, "none", False),
    ],
)
def test_what_has_no_end(config: AccountConfig, refused: bool, status: str, authenticated: bool) -> None:
    found = credential_status(config, NOW, is_refused=refused)
    assert (found.status, found.authenticated) == (status, authenticated)
    assert (found.expires_at_ms, found.expires_in, found.can_refresh) == (None, None, False)
    assert bool(found.problem) is (status == "needs-login")


def test_a_token_file_is_read_and_never_refreshed(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(f'{{"access_token": "tok-0123456789", "expires_at": {NOW + HOUR}}}')
    os.chmod(path, 0o600)
    config = AccountConfig("uid-file", "file", "anthropic", "token_file", None, token_file=str(path))
    found = credential_status(config, NOW)
    assert (found.status, found.expires_in, found.can_refresh) == ("healthy", "1h 0m", False)
    assert credential_status(config, NOW + 2 * HOUR).status == "expired"
    absent = AccountConfig(
        "uid-file", "file", "anthropic", "token_file", None, token_file=str(tmp_path / "no")
    )
    found = credential_status(absent, NOW)
    assert (found.status, found.expires_at_ms) == ("needs-login", None)
    assert "no token file" in found.problem


def test_the_answer_begins_with_the_default_account() -> None:
    key = account("api_key", "key", SECRET)
    first, named = login(HOUR, alias="first"), login(2 * HOUR, alias="login")
    accounts = [key, first, named]

    def answer(*chosen: AccountConfig) -> dict[str, object]:
        return status_answer((a, credential_status(a, NOW)) for a in chosen)

    assert answer(*accounts)["expiresIn"] == "2h 0m"
    assert answer(key, first)["expiresIn"] == "1h 0m"
    assert answer(key)["status"] == "healthy"
    assert answer() == {
        "authenticated": False,
        "status": "none",
        "expiresAt": None,
        "expiresIn": None,
        "canRefresh": False,
        "accounts": [],
    }
    rows = answer(*accounts)["accounts"]
    assert isinstance(rows, list)
    assert list(rows[0]) == [
        *("alias", "backend", "kind"),
        *("authenticated", "status", "expiresAt", "expiresIn", "canRefresh"),
    ]
