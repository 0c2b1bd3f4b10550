from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.listing import list_account
from accounts.models import Account, Bench, OAuthToken, Spend, Window
from accounts.setup import backend_add_with_account
from backends.services import NewBackend, backend_add
from tests.servers import SimulatorThread

pytestmark = pytest.mark.django_db(databases=["default", "history"])
KEY = "sk-canary-0123456789abcdef"
LIST = "/admin/accounts/account/"
HOUR = timedelta(hours=1)


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
        "token_file": "",
        "token_path": "",
        "position": 0,
        "weight": 1,
        "reserve_percent": 2,
        "reserves": "",
        "allowed_claims": "",
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
    answer = admin_client.post(f"{LIST}{account.pk}/do/pause/", follow=True).content.decode()
    assert "Account sim is paused." in answer
    assert "Resume and probe now" in answer
    assert Account.objects.get().is_paused
    assert "paused" in LogEntry.objects.get().change_message
    admin_client.post(f"{LIST}{account.pk}/do/resume/")
    assert not Account.objects.get().is_paused


def test_resuming_probes_a_benched_account_now(admin_client: Client, account: Account) -> None:
    now = timezone.now()
    Bench.objects.create(account=account, kind="fault", reason="HTTP 500", since=now, until=now + HOUR)
    assert "/do/resume/" in admin_client.get(change(account)).content.decode()
    admin_client.post(f"{LIST}{account.pk}/do/resume/")
    assert not Bench.objects.exists()
    assert Account.objects.get().resumed_at is not None


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


@pytest.mark.parametrize("column", ["sealed_secret", "secret_hint", "uid", "token__sealed_access"])
def test_no_list_is_filtered_by_a_secrets_column(admin_client: Client, account: Account, column: str) -> None:
    assert admin_client.get(f"{LIST}?{column}__startswith=x").status_code == 400
    assert admin_client.get(f"/admin/backends/backend/?accounts__{column}__startswith=x").status_code == 400


@pytest.mark.parametrize(
    ("kind", "values", "found"),
    [
        ("oauth", {"secret": "tok-canary-0123456789"}, ("oauth", "healthy")),
        ("oauth", {}, ("oauth", "needs-login")),
        ("caller", {}, ("caller", "none")),
        ("token_file", {"token_file": "tokens.json"}, ("token_file", "healthy")),
    ],
)
def test_an_account_becomes_another_kind(
    admin_client: Client,
    account: Account,
    tmp_path: Path,
    kind: str,
    values: dict[str, str],
    found: tuple[str, str],
) -> None:
    if "token_file" in values:
        values = {"token_file": str(tmp_path / "tokens.json")}
        Path(values["token_file"]).write_text('{"a": {"b": "tok-canary-0123456789"}}')
        values["token_path"] = "a.b"
    answer = admin_client.post(change(account), form(account, kind=kind, **values), follow=True)
    page = answer.content.decode()
    assert "errorlist" not in page
    assert "canary" not in page
    row = Account.objects.get()
    assert (row.kind, list_account(row, time.time()).credential.status) == found
    assert row.sealed_secret == ""
    assert ("login of a plan" in " ".join(str(m) for m in answer.context["messages"])) is (kind != "caller")


def test_a_pasted_token_of_a_plan_becomes_a_login(admin_client: Client) -> None:
    claude = backend_add_with_account(NewBackend("anthropic"), KEY)
    admin_client.post(change(claude), form(claude, secret="sk-ant-oat01-canary-0123456789"))
    assert Account.objects.get().kind == "oauth"
    assert OAuthToken.objects.get().expires_at is not None


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("token_file", {}),
        ("token_file", {"token_file": "/nowhere/at/all"}),
        ("caller", {"secret": "sk-0123456789"}),
        ("api_key", {"secret": "two words"}),
        ("oauth", {"secret": "two words"}),
        ("api_key", {"reserves": "5h: lots"}),
        ("api_key", {"reserves": "5h = 101"}),
        ("api_key", {"weight": 0}),
        ("api_key", {"daily_limit": "much"}),
    ],
)
def test_a_refused_form_changes_nothing(
    admin_client: Client, account: Account, kind: str, values: dict[str, object]
) -> None:
    answer = admin_client.post(change(account), form(account, kind=kind, **values))
    assert answer.status_code == 200
    assert b"errorlist" in answer.content
    assert (Account.objects.get().kind, opened(account)) == ("api_key", KEY)


def test_the_pools_fields(admin_client: Client, account: Account) -> None:
    given = {
        "position": 3,
        "weight": 5,
        "min_interval_ms": 250,
        "reserve_percent": 1.5,
        "reserves": "5h = 10\n7d: 5.5%",
        "allowed_claims": "5h, 7d",
        "daily_limit": "2.50",
    }
    assert admin_client.post(change(account), form(account, **given)).status_code == 302
    row = Account.objects.get()
    assert (row.position, row.weight, row.min_interval_ms, row.reserve_percent) == (3, 5, 250, 1.5)
    assert (row.reserves, row.allowed_claims, str(row.daily_limit)) == (
        {"5h": 10, "7d": 5.5},
        ["5h", "7d"],
        "2.5000",
    )
    assert "5h = 10\n7d = 5.5" in admin_client.get(change(account)).content.decode()
    assert opened(account) == KEY


def test_the_page_shows_what_the_pool_noted(admin_client: Client, account: Account) -> None:
    now = timezone.now()
    Window.objects.create(
        account=account,
        name="7d_opus",
        model_class="opus",
        utilization=0.83,
        resets_at=now + HOUR,
        observed_at=now,
    )
    Window.objects.create(
        account=account,
        name="requests",
        utilization=1,
        remaining=0,
        limit=50,
        is_rejected=True,
        observed_at=now,
    )
    Bench.objects.create(
        account=account, kind="auth", reason="<b>401</b>", strikes=2, since=now, until=now + HOUR
    )
    Spend.objects.create(account=account, period=f"{now:%Y-%m-%d}", amount="1.25")
    page = admin_client.get(change(account)).content.decode()
    for text in ("7d_opus", "83%", "in 59m", "0 of 50", "&lt;b&gt;401", "$1.25 today", "needs-login"):
        assert text in page
    assert "<b>401" not in page


def test_the_list_needs_few_queries(
    admin_client: Client, account: Account, django_assert_max_num_queries: object
) -> None:
    for number in range(20):
        row = Account(alias=f"a{number}", backend=account.backend, kind="none")
        row.save()
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        assert admin_client.get(LIST).status_code == 200
