"""The admin's pages for redaction rules, and the box on a backend's page."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from backends.models import Backend, ConfigVersion, RedactionRule
from backends.redaction_services import rule_add
from backends.services import NewBackend, backend_add
from proxyapp.page_headers import CONTENT_POLICY
from tests.backends.wire.redacting import CANARIES

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/admin/backends/redactionrule/"
MAIL = CANARIES[0]


@pytest.fixture
def ann() -> Client:
    client = Client(enforce_csrf_checks=False)
    client.force_login(User.objects.create_superuser("ann", password=None))
    return client


@pytest.fixture
def reader() -> Client:
    """Somebody who may look, and nothing else."""
    user = User.objects.create_user("bob", password=None, is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_redactionrule"))
    client = Client()
    client.force_login(user)
    return client


def test_the_list_shows_own_and_built_in_rules_and_what_is_wrong(ann: Client) -> None:
    rule_add("ticket", "TICKET", "ACME-[0-9]+")
    RedactionRule.objects.create(name="broken", label="X1", pattern="(")
    page = ann.get(LIST).content.decode()
    assert "ACME-[0-9]+" in page
    assert "email-address" in page
    assert "Turn on ipv4-address" in page
    assert "Turn off email-address" in page
    assert "broken cannot be used" in page
    assert not re.search(r"<(?:script|style)>|\son\w+=|\sstyle=", page)  # the policy would block it
    assert "'unsafe" not in CONTENT_POLICY


def test_a_built_in_rule_is_switched_by_post(ann: Client) -> None:
    version = ConfigVersion.current()
    page = ann.post(f"{LIST}switch/email-address/", {"to": "off"}, follow=True).content.decode()
    assert "Rule email-address is off." in page
    assert "Turn on email-address" in page
    assert ConfigVersion.current() > version
    assert RedactionRule.objects.get().is_enabled is False
    rows = ann.get(LIST).context["cl"].queryset
    assert not rows.exists()  # a switch is no rule of one's own
    assert ann.get(f"{LIST}switch/email-address/").status_code == 405
    assert ann.post(f"{LIST}switch/email-address/", {"to": "sideways"}).status_code == 405
    assert (
        "There is no redaction rule"
        in ann.post(f"{LIST}switch/nobody/", {"to": "on"}, follow=True).content.decode()
    )


@pytest.mark.parametrize("address", [f"{LIST}switch/jwt/", f"{LIST}try/"])
def test_a_post_needs_its_token(address: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("ann", password=None))
    assert client.post(address, {"to": "off", "sample": MAIL}).status_code == 403
    assert not RedactionRule.objects.exists()


def test_who_may_only_look_may_try_but_not_switch(reader: Client) -> None:
    page = reader.get(LIST).content.decode()
    assert "email-address" in page
    assert "Turn off email-address" not in page
    assert reader.post(f"{LIST}switch/jwt/", {"to": "off"}).status_code == 403
    assert reader.post(f"{LIST}try/", {"sample": MAIL}).status_code == 200
    stranger = Client()
    stranger.force_login(User.objects.create_user("eve", password=None, is_staff=True))
    assert stranger.post(f"{LIST}try/", {"sample": MAIL}).status_code == 403
    assert Client().post(f"{LIST}try/", {"sample": MAIL}).status_code == 302


def test_a_rule_is_checked_before_it_is_saved(ann: Client) -> None:
    given = {"name": "ticket", "label": "TICKET", "pattern": "(?=ACME)x", "is_enabled": "on"}
    page = ann.post(f"{LIST}add/", given).content.decode()
    assert "Look-around cannot be matched in linear time" in page
    assert not RedactionRule.objects.exists()
    ann.post(f"{LIST}add/", {**given, "pattern": "ACME-[0-9]+"})
    row = RedactionRule.objects.get()
    assert (row.name, row.pattern, row.is_enabled) == ("ticket", "ACME-[0-9]+", True)
    address = f"{LIST}{row.pk}/change/"
    page = ann.post(address, {**given, "pattern": "(a{1000}){1000}"}).content.decode()
    assert "Repeat at most 1000 times" in page
    row.refresh_from_db()
    assert row.pattern == "ACME-[0-9]+"
    page = ann.post(f"{LIST}add/", {**given, "name": "jwt", "pattern": "a"}).content.decode()
    assert "jwt is a built-in rule" in page


def test_a_text_is_tried_and_nothing_is_stored(ann: Client) -> None:
    assert "nothing is stored" in ann.get(f"{LIST}try/").content.decode()
    answer = ann.post(f"{LIST}try/", {"kind": "", "sample": f"to {MAIL} and {MAIL}, <b>"})
    page = answer.content.decode()
    marked = re.findall(r"<mark>(PB_EMAIL_[a-z2-7]{10})</mark>", page)
    assert len(marked) == 2
    assert marked[0] == marked[1]
    assert "<dt>EMAIL</dt><dd>2</dd>" in page
    assert "&lt;b&gt;" in page
    assert page.count(MAIL) == 2  # only in the box that was sent
    assert not RedactionRule.objects.exists()
    assert "it would leave as it is" in ann.post(f"{LIST}try/", {"sample": "nothing"}).content.decode()


def test_a_request_body_is_tried(ann: Client) -> None:
    body = json.dumps({"model": "m", "max_tokens": 1, "system": MAIL, "messages": []})
    page = ann.post(f"{LIST}try/", {"kind": "messages", "sample": body}).content.decode()
    assert "<td>$.system</td>" in page
    page = ann.post(f"{LIST}try/", {"kind": "messages", "sample": "{"}).content.decode()
    assert "not valid JSON" in page
    assert "<mark>" not in page


def test_a_backend_gets_its_box_and_a_server_of_ones_own_is_refused_it(ann: Client) -> None:
    openai, ollama = backend_add(NewBackend("openai")), backend_add(NewBackend("ollama"))
    shared = {
        "strategy": "headroom",
        "responses": "unknown",
        "capabilities": "{}",
        "redacts": "on",
        "is_enabled": "on",
    }
    inline = {"oauth_provider-TOTAL_FORMS": 0, "oauth_provider-INITIAL_FORMS": 0}
    for row in (openai, ollama):
        given = {"name": row.name, "base_url": row.base_url, "protocol": row.protocol, **shared, **inline}
        answer = ann.post(f"/admin/backends/backend/{row.pk}/change/", given)
        told = answer.content.decode()
        assert ("gets its requests as they are, since they go nowhere else" in told) is (row is ollama)
    assert list(Backend.objects.filter(redacts=True)) == [openai]
