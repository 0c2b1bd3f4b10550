from __future__ import annotations

from collections.abc import Iterator

import pytest

from accounts.models import Account
from accounts.probes import account_test_now, backend_models_now, backend_test_now
from accounts.services import ServiceError, account_add, account_pause
from accounts.setup import backend_add_with_account
from backends.models import CatalogModel
from backends.services import NewBackend
from tests.servers import SimulatorThread

pytestmark = pytest.mark.django_db
KEY = "sk-real-good-0123456789"


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(keys=[KEY], models=["alpha", "beta"]) as running:
        yield running


@pytest.fixture
def account(simulator: SimulatorThread) -> Account:
    return backend_add_with_account(NewBackend("sim", base_url=f"{simulator.url}/v1"), KEY)


def test_a_good_key_lists_the_models(account: Account) -> None:
    result = account_test_now(account)
    assert (result.ok, result.status, result.models) == (True, 200, 2)
    assert "sim/sim: ok" in result.line()


def test_a_refused_key_fails_with_its_status_and_without_the_key(account: Account) -> None:
    bad = account_add("bad", account.backend, "sk-real-wrong-9876543210")
    result = account_test_now(bad)
    assert (result.ok, result.status) == (False, 401)
    assert "wrong-98" not in result.line()


def test_a_paused_account_and_a_disabled_backend_can_be_tested(account: Account) -> None:
    account_pause("sim")
    account.backend.is_enabled = False
    account.backend.save()
    assert account_test_now(Account.objects.get()).ok


def test_every_account_of_a_backend_is_tested(account: Account) -> None:
    account_add("bad", account.backend, "sk-real-wrong-9876543210")
    assert {result.account: result.ok for result in backend_test_now("SIM")} == {"bad": False, "sim": True}


def test_nothing_listening_is_said_plainly(account: Account, simulator: SimulatorThread) -> None:
    simulator.stop_listening()
    result = account_test_now(account)
    assert (result.ok, result.status) == (False, None)
    assert "listens" in result.message


def test_a_moved_backend_does_not_get_the_stored_key(account: Account, simulator: SimulatorThread) -> None:
    with SimulatorThread() as other:
        account.backend.base_url = f"{other.url}/v1"
        account.backend.save()
        result = account_test_now(Account.objects.get())
        assert not result.ok
        assert "set the account's key again" in result.message
        assert other.journal.entries == []


def test_the_live_list_becomes_the_catalog(account: Account) -> None:
    assert [entry.model for entry in backend_models_now("sim")] == ["alpha", "beta"]
    assert list(CatalogModel.objects.values_list("model_id", flat=True)) == ["alpha", "beta"]


def test_a_list_that_cannot_be_had_keeps_the_old_one(account: Account, simulator: SimulatorThread) -> None:
    backend_models_now("sim")
    simulator.stop_listening()
    with pytest.raises(ServiceError):
        backend_models_now("sim")
    assert CatalogModel.objects.count() == 2
