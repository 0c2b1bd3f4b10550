from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts.listing import list_account, list_accounts
from accounts.login_services import (
    CallersOwn,
    Credential,
    LoginLater,
    TokenFile,
    credential_forget,
    credential_problem,
    credential_set,
)
from accounts.models import Account, Bench, OAuthToken
from accounts.oauth import Grant
from accounts.services import ServiceError, account_add, account_pause, account_resume, get_account
from accounts.vault import Secret
from backends.models import Backend, ConfigVersion
from backends.services import NewBackend, backend_add

pytestmark = pytest.mark.django_db
SECRET = "sk-canary-0123456789abcdef"
PLAN_TOKEN = "sk-ant-oat01-canary-0123456789abcdef"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def backend() -> Backend:
    return backend_add(NewBackend("openai"))


@pytest.fixture
def claude() -> Backend:
    return backend_add(NewBackend("anthropic"))


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    path = tmp_path / "tokens.json"
    path.write_text('{"access_token": "tok-canary-0123456789", "expires_at": 1795305600}')
    path.chmod(0o600)
    return TokenFile(str(path))


def grant(text: str = "tok-canary-0123456789", seconds: float | None = 3600.0) -> Grant:
    return Grant(Secret(text), expires_in=seconds)


def stored_text() -> str:
    """Everything that the tables of accounts and tokens hold."""
    rows = [*Account.objects.values_list(), *OAuthToken.objects.values_list()]
    return " ".join(str(value) for row in rows for value in row)


def test_a_stored_key_is_neither_in_the_row_nor_in_its_text(backend: Backend) -> None:
    row = account_add("work", backend, SECRET)
    assert "canary" not in stored_text()
    assert "canary" not in repr(row) + repr(row.open_secret())
    secret = Account.objects.get().open_secret()
    assert secret is not None
    assert secret.reveal() == SECRET


def test_a_pasted_key_loses_what_the_paste_brought_along(backend: Backend) -> None:
    secret = account_add("work", backend, f"\ufeff {SECRET}\u200b\n").open_secret()
    assert secret is not None
    assert secret.reveal() == SECRET


def test_aliases_are_unique_and_plain(backend: Backend) -> None:
    account_add("work", backend, SECRET)
    with pytest.raises(ServiceError, match="exists"):
        account_add("work", backend, SECRET)
    with pytest.raises(ServiceError, match="alias"):
        account_add("../x y", backend, SECRET)


@pytest.mark.parametrize(
    ("credential", "kind", "status"),
    [
        (SECRET, "api_key", "healthy"),
        (grant(), "oauth", "healthy"),
        (grant(seconds=60), "oauth", "expiring"),
        (grant(seconds=-60), "oauth", "expired"),
        (grant(seconds=None), "oauth", "healthy"),
        (LoginLater(), "oauth", "needs-login"),
        (CallersOwn(), "caller", "none"),
        (None, "none", "none"),
    ],
)
def test_every_credential_makes_its_kind(
    claude: Backend, credential: Credential, kind: str, status: str
) -> None:
    row = account_add("work", claude, credential)
    assert row.kind == Account.objects.get().kind == kind
    assert list_account(row, timezone.now().timestamp()).credential.status == status
    assert "canary" not in stored_text()


def test_a_token_file_is_read_before_it_is_taken(claude: Backend, file: TokenFile, tmp_path: Path) -> None:
    row = account_add("work", claude, file)
    assert (row.kind, row.token_file, row.sealed_secret) == ("token_file", file.path, "")
    assert list_account(row, 1795305600 - 7200.0).credential.expires_in == "2h 0m"
    for bad in (TokenFile(""), TokenFile(str(tmp_path / "absent")), TokenFile(file.path, "a.b")):
        with pytest.raises(ServiceError):
            account_add("other", claude, bad)
    assert Account.objects.count() == 1


def test_a_pasted_token_of_a_plan_is_a_login_at_anthropic_and_a_key_elsewhere(
    claude: Backend, backend: Backend
) -> None:
    row = account_add("plan", claude, f" {PLAN_TOKEN}\n")
    assert (row.kind, row.sealed_secret) == ("oauth", "")
    token = OAuthToken.objects.get()
    assert token.lifetime_s == 365 * 86400
    assert not token.sealed_refresh
    assert account_add("other", backend, PLAN_TOKEN).kind == "api_key"


def test_a_new_credential_takes_the_place_of_the_old_one(claude: Backend, file: TokenFile) -> None:
    row = account_add("work", claude, SECRET)
    for credential, left in ((grant(), "token"), (file, "file"), (SECRET, "key"), (CallersOwn(), "")):
        credential_set(row, credential)
        row = get_account("work")
        has = {"key": row.sealed_secret, "file": row.token_file, "token": OAuthToken.objects.count()}
        assert [name for name, value in has.items() if value] == [left] * bool(left)


def test_a_new_login_forgets_the_refresh_token_of_the_old_one(claude: Backend) -> None:
    row = account_add("work", claude, grant())
    OAuthToken.objects.update(sealed_refresh="sealed", needs_login=True, problem="revoked")
    credential_set(row, grant())
    token = OAuthToken.objects.get()
    assert (token.sealed_refresh, token.needs_login, token.problem, token.generation) == ("", False, "", 2)


def test_a_refused_credential_changes_nothing(backend: Backend) -> None:
    row = account_add("work", backend, SECRET)
    with pytest.raises(ServiceError):
        credential_set(row, "two words")
    secret = get_account("work").open_secret()
    assert secret is not None
    assert secret.reveal() == SECRET


@pytest.mark.parametrize("kind", ["key", "login", "file"])
def test_logout_deletes_the_credential_and_keeps_the_account(
    claude: Backend, file: TokenFile, kind: str
) -> None:
    row = account_add("work", claude, {"key": SECRET, "login": grant(), "file": file}[kind])
    assert credential_forget(row)
    row = get_account("work")
    assert (row.sealed_secret, row.token_file, OAuthToken.objects.count()) == ("", "", 0)
    listed = list_account(row, timezone.now().timestamp())
    assert (listed.word, listed.credential.status, listed.credential.authenticated) == (
        "needs-login",
        "needs-login",
        False,
    )
    assert not credential_forget(row)
    assert Path(file.path).exists()


def test_the_list_tells_what_is_in_the_way(backend: Backend) -> None:
    row = account_add("work", backend, SECRET)

    def word() -> str:
        return list_accounts(timezone.now().timestamp())[0].word

    assert word() == "ready"
    account_pause("work")
    assert word() == "paused"
    account_resume("work")
    assert word() == "ready"
    backend.base_url = "https://elsewhere.example.com/v1"
    backend.save()
    assert word() == "needs-login"
    assert "elsewhere.example.com" in credential_problem(get_account(row.alias))


def test_a_moved_backend_does_not_get_a_login_either(claude: Backend) -> None:
    account_add("work", claude, grant())
    assert credential_problem(get_account("work")) == ""
    claude.base_url = "https://elsewhere.example.com"
    claude.save()
    assert "elsewhere.example.com" in credential_problem(get_account("work"))


def test_a_refused_key_needs_a_login_until_there_is_a_new_one(backend: Backend) -> None:
    row, now = account_add("work", backend, SECRET), timezone.now()
    bench = Bench(account=row, kind="auth", reason="401", since=now, until=now + timedelta(minutes=1))
    bench.save()
    listed = list_account(row, now.timestamp())
    assert (listed.word, listed.credential.status) == ("needs-login", "needs-login")
    assert "refused" in listed.credential.line(now.timestamp())
    credential_set(row, SECRET)
    assert list_account(row, now.timestamp()).word == "ready"
    bench.save(force_insert=True)  # as a server that had not heard of it might
    assert list_account(row, now.timestamp()).word == "ready"


def test_resuming_ends_whatever_benched_the_account(backend: Backend) -> None:
    row = account_add("work", backend, SECRET)
    other = account_add("other", backend, SECRET)
    for account in (row, other):
        Bench.objects.create(account=account, kind="limited", reason="429", since=NOW, until=NOW)
    account_pause("work")
    before, version = timezone.now(), ConfigVersion.current()
    resumed = account_resume("work")
    assert not resumed.is_paused
    assert resumed.resumed_at is not None
    assert resumed.resumed_at >= before
    assert list(Bench.objects.values_list("account__alias", flat=True)) == ["other"]
    assert ConfigVersion.current() > version


@pytest.mark.parametrize("change", ["pause", "resume", "login", "logout"])
def test_every_change_moves_the_configuration_version(claude: Backend, change: str) -> None:
    row = account_add("work", claude, grant())
    before = ConfigVersion.current()
    changes = {
        "pause": lambda: account_pause("work"),
        "resume": lambda: account_resume("work"),
        "login": lambda: credential_set(row, grant()),
        "logout": lambda: credential_forget(row),
    }
    changes[change]()
    assert ConfigVersion.current() > before


def test_a_wrong_master_secret_opens_nothing_and_says_so(backend: Backend, claude: Backend) -> None:
    account_add("work", backend, SECRET)
    account_add("plan", claude, grant())
    with override_settings(PATCHBAY_DATA_KEYS=[b"k" * 43 + b"="]):
        listed = list_accounts(timezone.now().timestamp())
        assert [found.word for found in listed] == ["needs-login", "needs-login"]
        assert all("backup" in credential_problem(found.row) for found in listed)
