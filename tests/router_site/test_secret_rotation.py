"""A new master secret: nothing is ever unreadable, wherever the two steps are cut short."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.key_services import key_add
from accounts.models import Account, ClientKey, OAuthToken
from accounts.vault import seal, unseal
from backends.models import Backend
from backends.services import ServiceError
from router_site.home import ensure_home, read_or_create_secret, read_secret
from router_site.home_lock import hold_home, leave_home
from router_site.master_secrets import cipher_of, opens, secret_path
from router_site.secret_rotation import finish, rotate, secret_state
from router_site.settings import derive
from tests.patchbay import Patchbay

HOST = "http://127.0.0.1:9"
BODY = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def start_anew(settings: Any) -> list[str]:
    """The settings of a process that starts now."""
    masters = read_secret(secret_path())
    settings.MASTER_SECRETS = masters
    settings.PATCHBAY_DATA_KEYS = [base64.urlsafe_b64encode(derive(secret, "data")) for secret in masters]
    settings.PATCHBAY_KEY_PEPPERS = [derive(secret, "client-keys") for secret in masters]
    return masters


@pytest.fixture
def account(db: None, tmp_path: Path, settings: Any) -> Account:
    """An account with a key and tokens, and a client key, sealed by the one secret of a new home."""
    settings.PATCHBAY_HOME = ensure_home(tmp_path / "home")
    read_or_create_secret(settings.PATCHBAY_HOME)
    start_anew(settings)
    row = Account(alias="work", backend=Backend.objects.create(name="b", base_url=f"{HOST}/v1"))
    row.set_secret("sk-canary-of-work")
    row.save()
    sealed = {
        f"sealed_{name}": seal(f"canary-{name}", owner=row.uid, host=HOST) for name in ("access", "refresh")
    }
    OAuthToken.objects.create(account=row, obtained_at=timezone.now(), **sealed)
    key_add("laptop")
    ClientKey.objects.update(created_at=timezone.now() - timezone.timedelta(days=1))
    return row


def everything(account: Account) -> list[str]:
    """What is stored for the account, opened as the pool does."""
    row, token = Account.objects.get(), OAuthToken.objects.get()
    sealed = (row.sealed_secret, token.sealed_access, token.sealed_refresh)
    return [unseal(value, owner=account.uid, host=HOST).reveal() for value in sealed]


CONTENTS = ["sk-canary-of-work", "canary-access", "canary-refresh"]


def test_rotate_then_finish(account: Account, settings: Any) -> None:
    [old] = settings.MASTER_SECRETS
    assert rotate() == (True, 3)
    new, kept = start_anew(settings)
    assert (kept, new != old, secret_path().stat().st_mode & 0o777) == (old, True, 0o600)
    state = secret_state()
    assert (state.newest, state.older, state.closed, state.old_keys) == (3, 0, 0, ("laptop",))
    assert rotate() == (False, 0)
    with pytest.raises(ServiceError, match=r"stop working with the old one: laptop\."):
        finish()
    assert read_secret(secret_path()) == [new, old]
    assert finish(forget_keys=True) == 1
    assert start_anew(settings) == [new]
    assert everything(account) == CONTENTS
    assert finish() == 0


def test_client_keys_of_after_the_rotation_do_not_need_the_old_secret(
    account: Account, settings: Any
) -> None:
    rotate()
    start_anew(settings)
    ClientKey.objects.update(revoked_at=timezone.now())
    key_add("desk")
    assert finish() == 1


def test_the_old_secret_opens_everything_until_it_is_forgotten(account: Account, settings: Any) -> None:
    """A process that started before the rotation sees old values only, one that starts later sees both."""
    [old] = settings.MASTER_SECRETS
    secret_path().write_text(f"another-secret\n{old}\n")  # killed after the first step
    assert everything(account) == CONTENTS
    start_anew(settings)
    assert everything(account) == CONTENTS
    assert rotate() == (False, 3)
    assert everything(account) == CONTENTS


def test_a_value_that_no_secret_opens_stops_it_and_changes_nothing(account: Account, settings: Any) -> None:
    closed = cipher_of(["a-lost-secret"]).encrypt(b"{}").decode()
    OAuthToken.objects.update(sealed_refresh=closed)
    before = Account.objects.get().sealed_secret
    with pytest.raises(ServiceError, match="opens what is stored for account work"):
        rotate()
    assert Account.objects.get().sealed_secret == before
    start_anew(settings)
    assert secret_state().closed == 1
    with pytest.raises(ServiceError, match="Run `secret rotate` first"):
        finish(forget_keys=True)


def test_tokens_in_the_spool_keep_their_secret(account: Account, settings: Any) -> None:
    spooled = {
        "uid": account.uid,
        "sealed_access": seal("t", owner=account.uid, host=HOST),
        "sealed_refresh": "",
    }
    spool = settings.PATCHBAY_HOME / "spool"
    (spool / f"token-{account.uid}-2-abcd.json").write_text(json.dumps(spooled))
    (spool / f"token-{account.uid}-3-abcd.json").write_text('{"cut sho')
    rotate()
    start_anew(settings)
    with pytest.raises(ServiceError, match=r"1 stored values are not sealed with the newest .* spool"):
        finish(forget_keys=True)
    assert len(read_secret(secret_path())) == 2


def test_a_running_server_knows_the_old_secret_only(account: Account, settings: Any) -> None:
    hold_home(settings.PATCHBAY_HOME)
    try:
        for work in (rotate, finish):
            with pytest.raises(ServiceError, match="Stop it first"):
                work()
        assert len(read_secret(secret_path())) == 1
        assert rotate(online=True) == (False, 0)
    finally:
        leave_home(settings.PATCHBAY_HOME)


def test_two_secrets_from_the_environment(account: Account, settings: Any) -> None:
    [old] = read_secret(secret_path())
    secret_path().write_text(f"a-new-secret-of-the-team\n{old}\n")
    start_anew(settings)
    os.environ["PATCHBAY_SECRET_KEY"] = f"a-new-secret-of-the-team,{old}"
    try:
        assert rotate() == (False, 3)
        with pytest.raises(
            ServiceError, match=r"laptop\. Take the old secrets out of PATCHBAY_SECRET_KEY yourself"
        ):
            finish()
        settings.MASTER_SECRETS = ["a-new-secret-of-the-team"]
        with pytest.raises(ServiceError, match="Put a new one before it"):
            rotate()
    finally:
        del os.environ["PATCHBAY_SECRET_KEY"]


# --- as processes -----------------------------------------------------------------------------------------------------


def killed(patchbay: Patchbay, at: str) -> None:
    crashing = {"PATCHBAY_TEST_FAILPOINTS": "on", "PATCHBAY_FAILPOINT": f"{at}:kill"}
    assert Patchbay(crashing, home=patchbay.home).manage("secret", "rotate", check=False).returncode == -9


def is_sealed_by(patchbay: Patchbay, secret: str) -> bool:
    [(sealed,)] = patchbay.sql("config", "SELECT sealed_secret FROM accounts_account")
    return opens(cipher_of([secret]), sealed)


def test_killed_after_each_step_it_goes_on_and_client_keys_work(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home", flags=("--demo",))
    words = ("backend", "add", "kept", "--base-url", "http://127.0.0.1:9/v1", "--key-stdin")
    patchbay.manage(*words, stdin="sk-canary-of-kept\n")
    key = patchbay.manage("keys", "add", "laptop").stdout.splitlines()[-1]
    path = patchbay.home / "secrets" / "secret_key"
    [old] = read_secret(path)
    for at in ("secret.listed", "secret.sealed"):
        killed(patchbay, at)
        new, kept = read_secret(path)
        assert (kept, is_sealed_by(patchbay, old)) == (old, True)
    done = patchbay.manage("secret", "rotate")
    assert "1 values were sealed anew" in done.stdout
    assert (read_secret(path), is_sealed_by(patchbay, new)) == ([new, old], True)
    assert not any(secret in done.stdout + done.stderr for secret in (new, old))
    with patchbay:
        assert patchbay.post("/v1/messages", BODY, {"x-api-key": key}).status == 200
