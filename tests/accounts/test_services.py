from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone

from accounts.models import Account, ClientKey, LoginLink
from accounts.services import (
    ServiceError,
    account_add,
    account_problem,
    account_set_paused,
    account_status,
    admin_set_password,
    key_add,
    key_revoke,
    key_status,
    login_link_make,
    login_link_url,
    login_link_use,
)
from backends.models import Backend, ConfigVersion
from backends.services import NewBackend, backend_add

pytestmark = pytest.mark.django_db
SECRET = "sk-canary-0123456789abcdef"


@pytest.fixture
def backend() -> Backend:
    return backend_add(NewBackend("openai"))


def test_a_stored_key_is_neither_in_the_row_nor_in_its_text(backend: Backend) -> None:
    row = account_add("work", backend, SECRET)
    stored = " ".join(str(value) for value in Account.objects.values_list()[0])
    assert "canary" not in stored
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


def test_the_status_tells_what_is_in_the_way(backend: Backend) -> None:
    row = account_add("work", backend, SECRET)
    assert account_status(row) == "ready"
    assert account_status(account_set_paused("work", True)) == "paused"
    row = account_set_paused("work", False)
    row.backend.base_url = "https://elsewhere.example.com/v1"
    assert account_status(row) == "needs-login"
    assert "elsewhere.example.com" in account_problem(row)


def test_pausing_moves_the_configuration_version(backend: Backend) -> None:
    account_add("work", backend, SECRET)
    before = ConfigVersion.current()
    account_set_paused("work", True)
    assert ConfigVersion.current() > before


def test_a_wrong_master_secret_opens_nothing_and_says_so(backend: Backend) -> None:
    row = account_add("work", backend, SECRET)
    with override_settings(PATCHBAY_DATA_KEYS=[b"k" * 43 + b"="]):
        assert account_status(row) == "needs-login"
        assert "backup" in account_problem(row)


def test_a_client_key_is_shown_once_and_stored_as_a_hash() -> None:
    row, key = key_add("laptop", ("gpt-*",), "90d")
    assert key.startswith("pb-")
    assert key not in " ".join(str(value) for value in ClientKey.objects.values_list()[0])
    assert row.expires_at is not None
    assert timedelta(days=89) < row.expires_at - timezone.now() <= timedelta(days=90)


def test_client_keys_end_by_revocation_and_by_time() -> None:
    row, _ = key_add("laptop", expires="1h")
    now = timezone.now()
    assert key_status(row, now) == "active"
    assert key_status(row, now + timedelta(hours=2)) == "expired"
    assert key_status(key_revoke("laptop"), now) == "revoked"
    with pytest.raises(ServiceError, match="laptop"):
        key_revoke("nobody")


@pytest.mark.parametrize(("name", "expires"), [("a b", ""), ("x", "soon"), ("x", "0d")])
def test_a_refused_client_key_leaves_no_row(name: str, expires: str) -> None:
    with pytest.raises(ServiceError):
        key_add(name, (), expires)
    assert not ClientKey.objects.exists()


def test_a_login_link_works_once() -> None:
    token = login_link_make()
    assert token not in LoginLink.objects.get().digest
    user = login_link_use(token)
    assert user is not None
    assert user.is_superuser
    assert login_link_use(token) is None


def test_a_new_login_link_ends_the_old_one() -> None:
    old = login_link_make()
    login_link_make()
    assert login_link_use(old) is None


def test_a_login_link_ends_after_a_quarter_of_an_hour() -> None:
    token = login_link_make()
    LoginLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert login_link_use(token) is None


def test_the_link_leads_to_this_machine() -> None:
    assert login_link_url().startswith("http://127.0.0.1:")


def test_the_first_link_makes_the_first_admin_without_a_password() -> None:
    assert not User.objects.exists()
    login_link_use(login_link_make())
    user = User.objects.get()
    assert not user.has_usable_password()
    login_link_use(login_link_make())
    assert User.objects.count() == 1


def test_an_admin_password_is_checked_and_can_be_changed() -> None:
    with pytest.raises(ServiceError, match="too short"):
        admin_set_password("ann", "12")
    assert not User.objects.exists()
    assert admin_set_password("ann", "correct-horse-9") is True
    assert admin_set_password("ann", "battery-staple-7") is False
    assert User.objects.get().check_password("battery-staple-7")
