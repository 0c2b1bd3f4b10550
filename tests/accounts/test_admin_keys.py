from __future__ import annotations

import html
import re
from decimal import Decimal

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.client_auth import digest_of
from accounts.key_services import key_add
from accounts.models import ClientKey, KeySpend

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/admin/accounts/clientkey/"


def make(client: Client, **values: str) -> str:
    answer = client.post(f"{LIST}add/", {"name": "laptop", "model_globs": "", **values})
    assert answer.status_code == 200
    found = re.search(r"<code class=\"pb-key\">(pb-[^<]+)<", answer.content.decode())
    assert found is not None
    return html.unescape(found[1])


def test_the_key_is_on_the_answering_page_and_nowhere_else(admin_client: Client) -> None:
    key = make(admin_client, model_globs="gpt-*\ndemo")
    row = ClientKey.objects.get(digest=digest_of(key))
    assert row.model_globs == ["gpt-*", "demo"]
    later = (
        admin_client.get(LIST).content.decode() + admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    )
    assert key not in later
    assert key not in "".join(cookie.value for cookie in admin_client.cookies.values())
    assert key not in str([session.get_decoded() for session in Session.objects.all()])


def test_the_page_with_the_key_is_not_stored_by_the_browser(admin_client: Client) -> None:
    answer = admin_client.post(f"{LIST}add/", {"name": "laptop", "model_globs": ""})
    assert "no-store" in answer["Cache-Control"]


def test_neither_the_name_nor_the_digest_can_be_edited(admin_client: Client) -> None:
    key = make(admin_client)
    row = ClientKey.objects.get()
    values = {"name": "other", "digest": "0" * 64, "prefix": "pb-xxxx", "model_globs": "o3"}
    assert admin_client.post(f"{LIST}{row.pk}/change/", values).status_code == 302
    changed = ClientKey.objects.get()
    assert (changed.name, changed.digest, changed.model_globs) == ("laptop", digest_of(key), ["o3"])


def test_revoke_is_a_button(admin_client: Client) -> None:
    make(admin_client)
    row = ClientKey.objects.get()
    assert "/do/revoke/" in admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "is revoked" in admin_client.post(f"{LIST}{row.pk}/do/revoke/", follow=True).content.decode()
    assert ClientKey.objects.get().revoked_at is not None
    assert "/do/revoke/" not in admin_client.get(f"{LIST}{row.pk}/change/").content.decode()


def test_a_refused_form_makes_no_key(admin_client: Client) -> None:
    answer = admin_client.post(f"{LIST}add/", {"name": "a b", "model_globs": ""})
    assert b"errorlist" in answer.content
    assert not ClientKey.objects.exists()


def test_no_list_is_filtered_by_the_digest(admin_client: Client) -> None:
    make(admin_client)
    assert admin_client.get(f"{LIST}?digest__startswith=a").status_code == 400


def test_limits_are_set_and_shown_with_what_was_spent(admin_client: Client) -> None:
    make(admin_client, requests_per_minute="60", budget="20", budget_period="week")
    row = ClientKey.objects.get()
    assert (row.requests_per_minute, row.tokens_per_minute) == (60, None)
    assert (row.budget, row.budget_period) == (Decimal(20), "week")
    KeySpend.objects.create(key=row, period=f"{timezone.now():%Y-%m-%d}", amount=Decimal("3.2"))
    page = admin_client.get(LIST).content.decode()
    assert "60 requests/min, $20.00/week" in page
    assert "$3.20 of $20.00 this week" in page
    values = {"model_globs": "", "tokens_per_minute": "1000", "budget": "", "budget_period": "week"}
    assert admin_client.post(f"{LIST}{row.pk}/change/", values).status_code == 302
    row.refresh_from_db()
    assert (row.requests_per_minute, row.tokens_per_minute, row.budget) == (None, 1000, None)


@pytest.mark.parametrize("field", ["requests_per_minute", "tokens_per_minute", "budget"])
@pytest.mark.parametrize("value", ["0", "-5", "x"])
def test_a_limit_that_makes_no_sense_makes_no_key(admin_client: Client, field: str, value: str) -> None:
    answer = admin_client.post(f"{LIST}add/", {"name": "laptop", "model_globs": "", field: value})
    assert b"errorlist" in answer.content
    assert not ClientKey.objects.exists()


def test_the_list_asks_for_the_spending_of_all_keys_at_once(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        key_add(f"k{number}", budget="5/day")
    with django_assert_max_num_queries(9):
        assert admin_client.get(LIST).status_code == 200
