from __future__ import annotations

import html
import re

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.client_auth import digest_of
from accounts.models import ClientKey

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
