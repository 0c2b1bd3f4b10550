from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from accounts.models import Account
from accounts.setup import backend_add_with_account
from backends.services import NewBackend, backend_add
from tests.servers import SimulatorThread

pytestmark = pytest.mark.django_db(databases=["default", "history"])
KEY = "sk-canary-0123456789abcdef"
LIST = "/admin/accounts/account/"


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(models=["alpha"]) as running:
        yield running


@pytest.fixture
def account(simulator: SimulatorThread) -> Account:
    return backend_add_with_account(NewBackend("sim", base_url=f"{simulator.url}/v1"), KEY)


def change(account: Account) -> str:
    return reverse("admin:accounts_account_change", args=[account.pk])


def form(account: Account, **values: object) -> dict[str, object]:
    return {
        "alias": account.alias,
        "backend": account.backend.pk,
        "kind": account.kind,
        "secret": "",
        **values,
    }


def opened(account: Account) -> str:
    secret = Account.objects.get(pk=account.pk).open_secret()
    assert secret is not None
    return secret.reveal()


def test_no_page_holds_the_key_or_its_ciphertext(admin_client: Client, account: Account) -> None:
    pages = [LIST, change(account), "/admin/", f"/admin/backends/backend/{account.backend.pk}/change/"]
    html = "".join(admin_client.get(page).content.decode() for page in pages)
    assert "…cdef" in html
    assert "canary" not in html
    assert account.sealed_secret not in html


def test_a_key_that_was_typed_into_a_refused_form_does_not_come_back(
    admin_client: Client, account: Account
) -> None:
    answer = admin_client.post(
        change(account), form(account, alias="a b", secret="sk-typed-canary-0123456789")
    )
    assert answer.status_code == 200
    assert b"errorlist" in answer.content
    assert b"typed-canary" not in answer.content


def test_an_empty_key_field_keeps_the_key(admin_client: Client, account: Account) -> None:
    before = account.sealed_secret
    assert admin_client.post(change(account), form(account, alias="renamed")).status_code == 302
    account.refresh_from_db()
    assert (account.alias, account.sealed_secret) == ("renamed", before)
    assert opened(account) == KEY


def test_a_new_key_replaces_the_old_one(admin_client: Client, account: Account) -> None:
    admin_client.post(change(account), form(account, secret=" sk-fresh-0123456789zzzz "))
    assert opened(account) == "sk-fresh-0123456789zzzz"


def test_moving_an_account_to_another_host_asks_for_the_key_again(
    admin_client: Client, account: Account
) -> None:
    other = backend_add(NewBackend("openai"))
    refused = admin_client.post(change(account), form(account, backend=other.pk))
    assert b"Enter the key again" in refused.content
    assert Account.objects.get().backend.name == "sim"
    assert admin_client.post(change(account), form(account, backend=other.pk, secret=KEY)).status_code == 302
    assert Account.objects.get().backend.name == "openai"


def test_the_kind_none_forgets_the_key(admin_client: Client, account: Account) -> None:
    admin_client.post(change(account), form(account, kind="none"))
    row = Account.objects.get()
    assert (row.kind, row.sealed_secret, row.secret_hint) == ("none", "", "")


def test_an_api_key_account_is_not_made_without_a_key(admin_client: Client, account: Account) -> None:
    answer = admin_client.post(f"{LIST}add/", form(account, alias="second"))
    assert b"needs its key" in answer.content
    admin_client.post(f"{LIST}add/", form(account, alias="second", secret=KEY))
    assert Account.objects.get(alias="second").secret_hint == "…cdef"


def test_buttons_pause_and_resume_and_leave_a_line_in_the_history(
    admin_client: Client, account: Account
) -> None:
    page = admin_client.get(change(account)).content.decode()
    assert "/do/pause/" in page
    assert "/do/resume/" not in page
    answer = admin_client.post(f"{LIST}{account.pk}/do/pause/", follow=True)
    assert "Account sim is paused." in answer.content.decode()
    assert Account.objects.get().is_paused
    assert "paused" in LogEntry.objects.get().change_message
    admin_client.post(f"{LIST}{account.pk}/do/resume/")
    assert not Account.objects.get().is_paused


def test_the_test_button_asks_the_backend(
    admin_client: Client, account: Account, simulator: SimulatorThread
) -> None:
    answer = admin_client.post(f"{LIST}{account.pk}/do/test/", follow=True).content.decode()
    assert "sim/sim: ok" in answer
    simulator.stop_listening()
    assert "FAILED" in admin_client.post(f"{LIST}{account.pk}/do/test/", follow=True).content.decode()


def test_a_link_never_acts(admin_client: Client, account: Account) -> None:
    assert admin_client.get(f"{LIST}{account.pk}/do/pause/").status_code == 405
    assert not Account.objects.get().is_paused


def test_buttons_need_the_csrf_token(admin_client: Client, account: Account) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="ann"))
    assert strict.post(f"{LIST}{account.pk}/do/pause/").status_code == 403
    assert not Account.objects.get().is_paused


def test_unknown_buttons_and_rows_are_404(admin_client: Client, account: Account) -> None:
    assert admin_client.post(f"{LIST}{account.pk}/do/explode/").status_code == 404
    assert admin_client.post(f"{LIST}999/do/pause/").status_code == 404


def test_bulk_actions(admin_client: Client, account: Account) -> None:
    for action, paused in (("pause_selected", True), ("resume_selected", False), ("test_selected", False)):
        answer = admin_client.post(LIST, {"action": action, "_selected_action": [account.pk]}, follow=True)
        assert answer.status_code == 200
        assert Account.objects.get().is_paused is paused
    assert "sim/sim: ok" in answer.content.decode()


def test_a_viewer_sees_no_secret_and_presses_no_button(account: Account) -> None:
    viewer = User.objects.create_user("eve", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(viewer)
    page = client.get(change(account)).content.decode()
    assert "sim" in page
    assert "canary" not in page
    assert account.sealed_secret not in page
    assert "/do/" not in page
    assert client.post(f"{LIST}{account.pk}/do/pause/").status_code == 403


@pytest.mark.parametrize("column", ["sealed_secret", "secret_hint", "uid"])
def test_no_list_is_filtered_by_a_secrets_column(admin_client: Client, account: Account, column: str) -> None:
    assert admin_client.get(f"{LIST}?{column}__startswith=x").status_code == 400
    assert admin_client.get(f"/admin/backends/backend/?accounts__{column}__startswith=x").status_code == 400


def test_the_list_needs_few_queries(
    admin_client: Client, account: Account, django_assert_max_num_queries: object
) -> None:
    for number in range(20):
        row = Account(alias=f"a{number}", backend=account.backend, kind="none")
        row.save()
    with django_assert_max_num_queries(10):  # type: ignore[operator]
        assert admin_client.get(LIST).status_code == 200
