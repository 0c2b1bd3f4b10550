"""What a login leaves in the database: sealed for where each token goes, a generation at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts.models import Account, OAuthToken
from accounts.oauth import (
    Grant,
    GrantSuperseded,
    store_grant,
)
from accounts.providers import ProviderConfig
from accounts.snapshot import load_snapshot
from accounts.vault import Secret, VaultError, unseal
from backends.models import Backend, ConfigVersion
from backends.services import NewBackend, ServiceError, backend_add

GRANT = Grant(Secret("access-canary-1"), Secret("refresh-canary-1"), 3600.0, "inference")
PROVIDER = {"client_id": "c", "authorize_url": "https://l.test/a", "token_url": "https://l.test:8443/t"}


@pytest.fixture
def oauth_provider() -> Iterator[None]:
    with override_settings(PATCHBAY_OAUTH={"SIM": PROVIDER}):
        yield


@pytest.fixture
def account(db: None, oauth_provider: None) -> Account:
    backend = backend_add(NewBackend("sim", base_url="https://api.example.com/v1"))
    return Account.objects.create(alias="work", backend=backend, kind=Account.OAUTH)


def stored(account: Account) -> OAuthToken:
    return OAuthToken.objects.get(account=account)


def test_a_stored_grant_is_sealed_for_where_each_token_goes(account: Account) -> None:
    store_grant(account, GRANT)
    row = stored(account)
    assert "canary" not in row.sealed_access + row.sealed_refresh
    assert unseal(row.sealed_access, owner=account.uid, host="https://api.example.com") == GRANT.access
    assert unseal(row.sealed_refresh, owner=account.uid, host="https://l.test:8443") == GRANT.refresh
    with pytest.raises(VaultError, match="stored for"):
        unseal(row.sealed_refresh, owner=account.uid, host="https://evil.test")
    assert (row.generation, row.scope, row.lifetime_s) == (1, "inference", 3600.0)
    assert row.expires_at is not None
    assert abs(row.expires_at - timezone.now() - timedelta(hours=1)) < timedelta(minutes=1)


def test_servers_see_a_stored_grant(account: Account) -> None:
    before = ConfigVersion.current()
    store_grant(account, GRANT)
    assert ConfigVersion.current() > before
    config = load_snapshot().account(account.uid)
    assert config is not None
    assert config.token is not None
    assert (config.secret, config.token.generation, config.token.can_refresh) == (GRANT.access, 1, True)


def test_an_edited_token_url_cannot_receive_the_refresh_token(account: Account) -> None:
    store_grant(account, GRANT)
    row = stored(account)
    edited = ProviderConfig("sim", "c", "https://l.test/a", "https://evil.test/t")
    with pytest.raises(VaultError):
        unseal(row.sealed_refresh, owner=account.uid, host=edited.refresh_host)


def test_a_refresh_is_a_new_generation_without_old_problems(account: Account) -> None:
    store_grant(account, GRANT)
    now = timezone.now()
    OAuthToken.objects.update(
        needs_login=True, problem="x", intent=1, failures=3, retry_at=now, lease_holder="me", lease_until=now
    )
    store_grant(account, Grant(Secret("access-2")))
    row = stored(account)
    assert unseal(row.sealed_access, owner=account.uid, host=account.host).reveal() == "access-2"
    assert unseal(row.sealed_refresh, owner=account.uid, host="https://l.test:8443") == GRANT.refresh
    assert (row.generation, row.scope, row.expires_at, row.lifetime_s) == (2, "inference", None, None)
    assert (row.needs_login, row.problem, row.intent, row.failures, row.retry_at) == (
        False,
        "",
        None,
        0,
        None,
    )
    assert (row.lease_holder, row.lease_until) == ("me", now)


def test_a_new_login_without_a_refresh_token_forgets_the_old_one(account: Account) -> None:
    store_grant(account, GRANT)
    store_grant(account, Grant(Secret("access-2")), keep_refresh=False)
    assert stored(account).sealed_refresh == ""


def test_a_late_refresh_does_not_replace_a_newer_login(account: Account) -> None:
    store_grant(account, GRANT)
    store_grant(account, Grant(Secret("access-2"), Secret("refresh-2")), seen_generation=1)
    with pytest.raises(GrantSuperseded, match="work got newer tokens"):
        store_grant(account, Grant(Secret("late")), seen_generation=1)
    assert unseal(stored(account).sealed_access, owner=account.uid, host=account.host).reveal() == "access-2"
    Account.objects.all().delete()
    with pytest.raises(GrantSuperseded, match="gone"):
        store_grant(account, GRANT)


def test_a_refresh_token_without_a_provider_is_not_taken(account: Account) -> None:
    with override_settings(PATCHBAY_OAUTH={}):
        with pytest.raises(ServiceError, match="has no OAuth provider"):
            store_grant(account, GRANT)
        assert not OAuthToken.objects.exists()
        store_grant(account, Grant(Secret("access-only"), None, 60.0))
    assert stored(account).sealed_refresh == ""


def test_the_issuer_is_the_host_of_the_refresh_token_when_no_token_url_is_configured(
    account: Account,
) -> None:
    given = {"client_id": "c", "issuer": "https://issuer.test/tenant"}
    with override_settings(PATCHBAY_OAUTH={"SIM": given}):
        store_grant(account, GRANT)
    sealed = stored(account).sealed_refresh
    assert unseal(sealed, owner=account.uid, host="https://issuer.test") == GRANT.refresh


def test_a_moved_backend_does_not_get_the_access_token(account: Account) -> None:
    store_grant(account, GRANT)
    Backend.objects.update(base_url="https://evil.example.com/v1")
    ConfigVersion.bump()
    config = load_snapshot().account(account.uid)
    assert config is not None
    assert config.secret is None
    assert "https://evil.example.com" in config.problem
