"""OAuth in the admin: the login page, a refresh and a logout, against a real provider."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.login_services import LoginLater, credential_set
from accounts.models import Account, OAuthProvider, OAuthToken
from accounts.oauth import Grant
from accounts.services import account_add, get_account
from accounts.vault import Secret
from backends.models import Backend
from backends.services import NewBackend, backend_add
from tests.servers import SimulatorThread

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/admin/accounts/account/"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(models=["alpha"]) as running:
        yield running


@pytest.fixture
def backend(db: None, simulator: SimulatorThread) -> Backend:
    return backend_add(NewBackend("sim", base_url=simulator.url, protocol="anthropic"))


@pytest.fixture
def account(backend: Backend) -> Account:
    return account_add("plan", backend, LoginLater())


@pytest.fixture
def provider(backend: Backend, simulator: SimulatorThread) -> OAuthProvider:
    return OAuthProvider.objects.create(backend=backend, client_id="tests", issuer=simulator.url)


def login_page(account: Account) -> str:
    return f"{LIST}{account.pk}/login/"


def begin(client: Client, account: Account) -> str:
    """Begin a login; the address of the provider's page."""
    answer = client.post(login_page(account), follow=True)
    begun = answer.context["begun"]
    assert begun is not None
    return str(begun.url)


def last_page(url: str) -> str:
    """What the browser's address bar shows after the provider's page."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request("GET", f"{where.path}?{where.query}")
        return connection.getresponse().headers["location"]
    finally:
        connection.close()


def test_without_a_client_the_page_says_what_to_configure(admin_client: Client, account: Account) -> None:
    page = admin_client.get(login_page(account)).content.decode()
    assert "PATCHBAY_OAUTH_SIM_CLIENT_ID" in page
    assert "nobody&#x27;s client id" in page
    assert f"/admin/backends/backend/{account.backend.pk}/change/" in page
    assert "login of a plan" in page


def test_a_login_through_the_browser(
    admin_client: Client, account: Account, provider: OAuthProvider, simulator: SimulatorThread
) -> None:
    assert f"{account.pk}/login/" in admin_client.get(f"{LIST}{account.pk}/change/").content.decode()
    pasted = last_page(begin(admin_client, account))
    done = admin_client.post(login_page(account), {"paste": pasted}, follow=True).content.decode()
    assert "Account plan is logged in." in done
    token = OAuthToken.objects.get()
    assert token.sealed_refresh
    tested = admin_client.post(f"{LIST}{account.pk}/do/test/", follow=True).content.decode()
    assert "sim/plan: ok" in tested
    assert "sim-oat-" not in done + tested + token.sealed_access


def test_the_pending_login_is_sealed_in_the_session(
    admin_client: Client, account: Account, provider: OAuthProvider
) -> None:
    state = begin(admin_client, account).partition("state=")[2][:20]
    assert len(state) == 20
    sessions = [str(session.get_decoded()) for session in Session.objects.all()]
    assert "oauth_login" in "".join(sessions)
    assert state not in "".join(sessions)


def test_a_code_is_good_once_for_its_own_session_and_account(
    admin_client: Client, account: Account, provider: OAuthProvider, backend: Backend
) -> None:
    pasted = last_page(begin(admin_client, account))
    stranger = Client()
    stranger.force_login(User.objects.create_superuser("bob", password=None))
    other = account_add("other", backend, LoginLater())
    for client, where in ((stranger, account), (admin_client, other)):
        refused = client.post(login_page(where), {"paste": pasted}, follow=True).content.decode()
        assert "not begun here" in refused
    assert not OAuthToken.objects.exists()
    admin_client.post(login_page(account), {"paste": pasted})
    assert OAuthToken.objects.count() == 1
    again = admin_client.post(login_page(account), {"paste": pasted}, follow=True).content.decode()
    assert "not begun here" in again


def test_a_wrong_paste_can_be_put_right(
    admin_client: Client, account: Account, provider: OAuthProvider
) -> None:
    pasted = last_page(begin(admin_client, account))
    foreign = pasted.replace("state=", "state=x")
    refused = admin_client.post(login_page(account), {"paste": foreign}, follow=True).content.decode()
    assert "does not carry the state" in refused
    admin_client.post(login_page(account), {"paste": pasted})
    assert OAuthToken.objects.exists()


def test_only_oauth_accounts_have_the_page_and_only_for_those_who_may_change(
    admin_client: Client, account: Account, backend: Backend
) -> None:
    key = account_add("key", backend, "sk-0123456789abcdef")
    assert admin_client.get(login_page(key)).status_code == 404
    viewer = Client()
    viewer.force_login(User.objects.create_user("eve", is_staff=True))
    assert viewer.get(login_page(account)).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="ann"))
    assert strict.post(login_page(account)).status_code == 403


def test_the_logout_button_deletes_the_tokens(admin_client: Client, account: Account) -> None:
    assert "/do/logout/" not in admin_client.get(f"{LIST}{account.pk}/change/").content.decode()
    credential_set(account, Grant(Secret("tok-canary-0123456789")))
    assert "/do/logout/" in admin_client.get(f"{LIST}{account.pk}/change/").content.decode()
    admin_client.post(f"{LIST}{account.pk}/do/logout/")
    assert not OAuthToken.objects.exists()
    assert Account.objects.get().kind == "oauth"


@pytest.mark.django_db(transaction=True, databases=["default", "history"])
def test_the_refresh_button_gets_a_new_token(
    admin_client: Client, account: Account, provider: OAuthProvider, simulator: SimulatorThread
) -> None:
    page = f"{LIST}{account.pk}/"
    credential_set(account, Grant(Secret("tok-canary-0123456789")))
    assert "/do/refresh/" not in admin_client.get(f"{page}change/").content.decode()
    given = simulator.simulator.logins.grant("plan")
    credential_set(
        account, Grant(Secret(str(given["access_token"])), Secret(str(given["refresh_token"])), 3600.0)
    )
    assert "/do/refresh/" in admin_client.get(f"{page}change/").content.decode()
    done = admin_client.post(f"{page}do/refresh/", follow=True).content.decode()
    assert "was refreshed: healthy, expires in 59m." in done
    assert simulator.simulator.logins.refreshes["plan"] == 1
    simulator.simulator.logins.revoke("plan")
    refused = admin_client.post(f"{page}do/refresh/", follow=True).content.decode()
    assert "was not refreshed" in refused
    assert get_account("plan").token.needs_login
