from __future__ import annotations

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from analytics.admin import CappedPaginator
from analytics.models import Attempt, RequestRecord
from tests.analytics.history import add_record

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/admin/analytics/requestrecord/"


@pytest.fixture
def admin_client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password=None))
    return client


def test_history_can_be_read_and_nothing_else(admin_client: Client) -> None:
    row = add_record()
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.get(f"{LIST}{quote(row.id)}/delete/").status_code == 403
    assert admin_client.post(f"{LIST}{quote(row.id)}/change/", {"outcome": "error"}).status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": [row.id], "post": "yes"}
    admin_client.post(LIST, deletion)
    assert RequestRecord.objects.get().outcome == "ok"


def test_a_record_shows_its_attempts(admin_client: Client) -> None:
    row = add_record(attempts=2, raw_usage='{"a":1}', fresh_input_tokens=1200, ttft_ms=3.14159)
    for number, outcome in ((1, "connect_refused"), (2, "ok")):
        Attempt.objects.create(
            request_id=row.id,
            number=number,
            started_at=timezone.now(),
            duration_ms=5,
            backend="ollama",
            account="a",
            model="llama3",
            outcome=outcome,
            verdict="",
        )
    page = admin_client.get(f"{LIST}{quote(row.id)}/change/").content.decode()
    for part in ("connect_refused", "1,200", "3.1 ms", row.id):
        assert part in page


def test_what_clients_and_upstreams_sent_is_inert(admin_client: Client) -> None:
    nasty = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    row = add_record(
        model_asked=nasty, error=nasty, client=nasty, backend="b", outcome="error", mutations=nasty
    )
    for path in (LIST, f"{LIST}{quote(row.id)}/change/", "/admin/"):
        page = admin_client.get(path).content.decode()
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page


@pytest.mark.parametrize(
    "query",
    [
        "outcome=error",
        "status=5xx",
        "status=zzz",
        "kind=chat",
        "backend=ollama",
        "started_at__gte=2020-01-01T00:00:00Z",
    ],
)
def test_filters(admin_client: Client, query: str) -> None:
    add_record(outcome="error", status=503)
    answer = admin_client.get(f"{LIST}?{query}")
    assert answer.status_code == 200
    assert "1 request" in answer.content.decode()


@pytest.mark.parametrize("text", ["%%%%", "_", "x" * 10_000, "(a+)+$", "'; DROP TABLE x;--"])
def test_odd_searches_find_nothing_and_break_nothing(admin_client: Client, text: str) -> None:
    add_record()
    answer = admin_client.get(LIST, {"q": text})
    assert answer.status_code == 200
    assert "0 requests" in answer.content.decode()


def test_search_by_id_model_account_and_key(admin_client: Client) -> None:
    row = add_record(key="laptop")
    for text in (row.id, "fast", "llama3", "ollama", "laptop"):
        assert quote(row.id) in admin_client.get(LIST, {"q": text}).content.decode()


def test_the_list_needs_few_queries(admin_client: Client, django_assert_max_num_queries: object) -> None:
    for _ in range(60):
        add_record()
    with django_assert_max_num_queries(10):  # type: ignore[operator]
        admin_client.get(LIST)
    with django_assert_max_num_queries(4, using="history"):  # type: ignore[operator]
        admin_client.get(LIST)


def test_the_first_page_has_todays_numbers_and_the_last_failures(admin_client: Client) -> None:
    add_record()
    failed = add_record(outcome="error", status=502, error="the upstream left")
    page = admin_client.get("/admin/").content.decode()
    assert "50.0 %" in page
    assert f"{LIST}{quote(failed.id)}/change/" in page
    assert "the upstream left" in page


def test_links_survive_ids_that_look_like_escapes(admin_client: Client) -> None:
    failed = add_record(id="req_40236", outcome="error")
    link = f"{LIST}{quote(failed.id)}/change/"
    assert link in admin_client.get("/admin/").content.decode()
    assert admin_client.get(link).status_code == 200


def test_the_first_page_without_requests(admin_client: Client) -> None:
    assert "None in the last seven days" in admin_client.get("/admin/").content.decode()


def test_who_may_not_see_the_history_sees_no_numbers() -> None:
    client = Client()
    client.force_login(User.objects.create_user("eve", is_staff=True))
    add_record(outcome="error", error="the upstream left")
    page = client.get("/admin/").content.decode()
    assert "the upstream left" not in page


class SmallPaginator(CappedPaginator):
    cap = 3


def test_counting_stops_at_the_cap() -> None:
    for _ in range(5):
        add_record()
    assert SmallPaginator(RequestRecord.objects.all(), 2).count == 3
