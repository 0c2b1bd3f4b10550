"""The pages of the history: what they find, what they cost, and that nothing in them comes alive."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analytics.decision import CandidateNote, ChoiceNote, DecisionNote
from analytics.models import Attempt, Facet, RequestRecord
from analytics.templatetags.requests import cause
from tests.analytics.history import add_record

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/dashboard/requests/"
NASTY = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


@pytest.fixture
def client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="ann", is_staff=True, is_superuser=True))
    return client


def ids(page: str) -> list[str]:
    """The requests of a list, in its order."""
    return re.findall(r'/dashboard/requests/([^/"]+)/"', page)


@pytest.fixture
def rows() -> list[RequestRecord]:
    return [
        add_record(age_s=3, outcome="error", status=502, error="it broke", backend="openai", kind="messages"),
        add_record(age_s=2, stream=True, session="s-1", key="work", duration_ms=9000, client="tool/2 (x)"),
        add_record(age_s=1, lane="translated", alarm="zero_usage", agent="scout"),
    ]


FILTERS = {
    "": [2, 1, 0],
    "outcome=error": [0],
    "status=5xx": [0],
    "text=broke": [0],
    "backend=openai&kind=messages": [0],
    "session=s-1": [1],
    "key=work": [1],
    "stream=yes": [1],
    "stream=no": [2, 0],
    "min_ms=5000": [1],
    "client=tool/2": [1],
    "lane=translated": [2],
    "alarm=any": [2],
    "agent=scout": [2],
    "model=FAST&span=1h": [2, 1, 0],
    "until=2020-01-31T12:00": [],
}


@pytest.mark.parametrize("query", FILTERS)
def test_every_filter_finds_its_rows(client: Client, rows: list[RequestRecord], query: str) -> None:
    Facet.objects.create(column="model_asked", value="fast", last_seen=timezone.now())
    with CaptureQueriesContext(connections["history"]) as asked:
        page = client.get(f"{LIST}?{query}").content.decode()
    assert ids(page) == [rows[index].pk for index in FILTERS[query]]
    assert len(asked) <= 10


@pytest.mark.parametrize("query", ["status=9", "min_ms=x", "since=yesterday", "until=2020-99-99", "before=x"])
def test_a_filter_that_cannot_match_says_what_it_takes(client: Client, query: str) -> None:
    page = client.get(f"{LIST}?{query}")
    assert page.status_code == 200
    assert "This filter cannot match anything" in page.content.decode()


def test_pages_follow_each_other_without_a_gap(client: Client) -> None:
    added = [add_record(age_s=age).pk for age in range(120)]
    found: list[str] = []
    address = LIST
    while address:
        page = client.get(address).content.decode()
        found += ids(page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        address = following[1].replace("&amp;", "&") if following else ""
    assert found == added


def test_a_script_gets_the_rows_alone(client: Client, rows: list[RequestRecord]) -> None:
    answer = client.get(f"{LIST}?model=fast&key=&status=200", headers={"HX-Request": "true"})
    part = answer.content.decode()
    assert "<html" not in part
    assert ids(part) == [row.pk for row in reversed(rows[1:])]
    assert answer.headers["HX-Push-Url"] == f"{LIST}?model=fast&status=200"
    back = client.get(LIST, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in back.content.decode()


def full_record() -> RequestRecord:
    choice = ChoiceNote(
        *("ollama", "llama3", "headroom", "b", NASTY),
        candidates=(CandidateNote("a", 0.9, 0.5, f"limited {NASTY}"), CandidateNote("b", 0.1, None)),
    )
    row = add_record(
        **dict.fromkeys(("model_asked", "model_used", "error", "client", "session", "agent", "path"), NASTY),
        key=NASTY[:60],
        mutations=f"$.model=alias, {NASTY}",
        lost=NASTY,
        outcome="error",
        fresh_input_tokens=10,
        cache_read_tokens=1200,
        output_tokens=5,
        raw_usage=json.dumps(NASTY),
        decision=DecisionNote("alias", NASTY, (choice,)).as_json(),
        ttfb_ms=4.0,
        queued_ms=1.0,
    )
    Attempt.objects.create(
        request_id=row.pk,
        number=1,
        started_at=row.started_at,
        duration_ms=3,
        outcome="ok",
        backend="ollama",
        account="b",
        model=NASTY,
        verdict="go_on",
        error=NASTY,
    )
    return row


def test_one_request_shows_all_of_it_and_nothing_comes_alive(client: Client) -> None:
    row = full_record()
    with CaptureQueriesContext(connections["history"]) as asked:
        page = client.get(f"{LIST}{row.pk}/").content.decode()
    assert len(asked) <= 10
    for part in (
        "1,200",
        "until the first byte",
        "limited",
        "Would have gone to a",
        "As curl",
        row.pk,
    ):
        assert part in page
    for address in (LIST, f"{LIST}{row.pk}/", "/dashboard/live/"):
        page = client.get(address).content.decode()
        assert "<script>alert" not in page
        assert "<img" not in page


def test_the_admin_leads_to_it(client: Client) -> None:
    row = add_record()
    page = client.get(f"/admin/analytics/requestrecord/{row.pk}/change/", follow=True).content.decode()
    assert f'href="{LIST}{row.pk}/"' in page


def test_what_is_not_there_says_so(client: Client) -> None:
    answer = client.get(f"{LIST}req_none/")
    assert answer.status_code == 404
    assert "is not in the history" in answer.content.decode()


PAGES = (LIST, f"{LIST}req_none/", "/dashboard/live/", "/dashboard/playground/")


@pytest.mark.parametrize("address", PAGES)
def test_strangers_are_sent_to_the_login(address: str) -> None:
    answer = Client().get(address)
    assert (answer.status_code, answer.headers["location"][:13]) == (302, "/admin/login/")


def test_staff_who_may_only_look_cannot_act(db: None) -> None:
    user = User.objects.create(username="bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_requestrecord"))
    client = Client()
    client.force_login(user)
    assert client.get("/dashboard/live/").status_code == 200
    assert "data-may-stop" not in client.get("/dashboard/live/").content.decode()
    assert client.get("/dashboard/playground/").status_code == 403
    assert client.post("/dashboard/live/req_x/stop").status_code == 403


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ('{"error":{"message":"too long"}}', "too long"),
        ('{"error":"no"}', "no"),
        ('{"message":"m"}', "m"),
        ('{"error":{}}', '{"error":{}}'),
        ('{"error":{"message":"cut he', '{"error":{"message":"cut he'),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_an_error_is_told_by_its_message(error: str, told: str) -> None:
    assert cause(error) == told


def test_moments_are_those_of_the_operator(client: Client) -> None:
    row = add_record()
    RequestRecord.objects.filter(pk=row.pk).update(started_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert ids(client.get(f"{LIST}?since=2026-01-31T11:59&until=2026-01-31T12:01").content.decode()) == [
        row.pk
    ]
