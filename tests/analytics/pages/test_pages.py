"""The dashboard's pages over HTTP: who sees them, what they say, what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account
from accounts.services import account_pause
from accounts.setup import backend_add_with_account
from accounts.snapshot import keeper
from analytics.bodies.store import KeptBody, write_body
from analytics.drafts import Outcome, RecordDraft
from analytics.models import Body, SessionRow, WindowSample
from analytics.recorder import Recorder
from backends.services import NewBackend, route_add
from backends.wire.usage import Usage
from tests.analytics.ledgers import draft

pytestmark = pytest.mark.django_db(databases=["default", "history"])
PAGES = (
    "/dashboard/",
    "/dashboard/sessions/",
    "/dashboard/sessions/s1/",
    "/dashboard/accounts/",
    "/dashboard/routes/",
)
NASTY = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
INERT = "&lt;script&gt;alert(1)"


@pytest.fixture
def ann() -> Iterator[Client]:
    """An operator, with a backend, an account and a route."""
    backend_add_with_account(
        NewBackend("openai", base_url="http://127.0.0.1:9/v1"), "sk-canary-0123456789abcdef"
    )
    route_add("fast", ["openai:gpt-4o"])
    keeper.reload()
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    yield client
    keeper.reload()


def store(*drafts: RecordDraft) -> None:
    recorder = Recorder()
    for one in drafts:
        recorder.record(one)
    assert recorder.flush()


def ended(outcome: Outcome = Outcome.OK, *, age_s: float = 60, **fields: Any) -> RecordDraft:
    return draft(outcome, at=timezone.now() - timedelta(seconds=age_s), **fields)


def text_of(client: Client, path: str, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


# --- who ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_for_staff_who_may_see_the_history(path: str, ann: Client) -> None:
    store(ended())
    stranger = Client().get(path)
    assert (stranger.status_code, stranger["location"]) == (302, f"/admin/login/?next={quote(path)}")
    eve = Client()
    eve.force_login(User.objects.create_user("eve", is_staff=True))
    assert eve.get(path).status_code == 403
    answer = ann.get(path)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer["content-security-policy"]
    assert answer["cache-control"] == "no-store"


def test_a_part_asked_for_after_the_login_has_ended_loads_the_page_again() -> None:
    answer = Client().get("/dashboard/", headers={"hx-request": "true"})
    assert (answer.status_code, answer["hx-refresh"]) == (204, "true")


def test_accounts_need_a_permission_of_their_own(ann: Client) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_requestrecord"))
    client = Client()
    client.force_login(user)
    assert client.get("/dashboard/").status_code == 200
    assert client.get("/dashboard/accounts/").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_account"))
    page = text_of(client, "/dashboard/accounts/")
    assert "openai" in page
    assert "Pause" not in page
    assert client.post("/dashboard/accounts/openai/pause/").status_code == 403


# --- the overview -------------------------------------------------------------------------------------------------


def figures(page: str) -> dict[str, str]:
    """The row of figures: what stands under each word."""
    found = {}
    for part in page.split("<dt>")[1:9]:
        word, _, rest = part.partition("</dt>")
        found[word] = rest.partition("<dd")[2].partition(">")[2].partition("</dd>")[0]
    return found


def test_the_overviews_numbers(ann: Client) -> None:
    store(
        ended(ttft_ms=40.0),
        ended(),
        ended(Outcome.ERROR, error="the upstream left", usage=None),
        ended(Outcome.REJECTED),
        ended(model_used="nobody-knows-it", session="s2"),
        ended(age_s=40 * 86_400),
    )
    page = text_of(ann, "/dashboard/")
    found = figures(page)
    assert found["Requests"] == "5"
    assert found["Errors"] == "1"
    assert found["Cost in 24 hours"].startswith("$0.0")
    assert "+ 1 unpriced" in page
    assert "the upstream left" in page
    assert "1 requests have no known price" in page
    data = json.loads(
        page.partition('id="data-requests" type="application/json">')[2].partition("</script>")[0]
    )
    assert len(data["data"][0]) == 24
    assert data["series"] == ["answered", "rejected", "failed"]
    assert [sum(column) for column in data["data"][1:]] == [3, 1, 1]
    assert figures(text_of(ann, "/dashboard/?period=30d"))["Requests"] == "5"


def test_what_nobody_can_price_is_never_zero_dollars(ann: Client) -> None:
    store(ended(model_used="nobody-knows-it"))
    page = text_of(ann, "/dashboard/")
    assert figures(page)["Cost today (UTC)"] == "unpriced"
    assert "$0.00" not in page
    data = json.loads(page.partition('id="data-cost" type="application/json">')[2].partition("</script>")[0])
    assert None in data["data"][1]


def test_the_overview_without_requests_says_what_to_do(ann: Client) -> None:
    page = text_of(ann, "/dashboard/")
    assert "No requests in this time" in page
    assert "manage.py ask" in page
    assert "Nothing failed" in page


def test_a_script_gets_the_part_alone(ann: Client) -> None:
    page = text_of(ann, "/dashboard/", **{"hx-request": "true"})
    assert page.lstrip().startswith("<dl")
    assert "<html" not in page


# --- sessions -----------------------------------------------------------------------------------------------------


def test_sessions_are_read_page_by_page(ann: Client) -> None:
    now = timezone.now()
    SessionRow.objects.bulk_create(
        SessionRow(
            id=f"sess-{number:03d}", key="ci", first_at=now, last_at=now - timedelta(minutes=number // 2)
        )
        for number in range(120)
    )
    seen: list[str] = []
    path = "/dashboard/sessions/?q=sess"
    while path:
        page = text_of(ann, path)
        seen += [part.partition('"')[0] for part in page.split('href="/dashboard/sessions/sess-')[1:]]
        link = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        path = link and f"/dashboard/sessions/{link}"
    assert len(seen) == len(set(seen)) == 120
    assert "No session matches" in text_of(ann, "/dashboard/sessions/?q=other")
    assert "No session matches" in text_of(ann, "/dashboard/sessions/?key=laptop")


@pytest.mark.parametrize(
    "place", ["x", "2026-01-01", "~~", "2026-01-01T00:00:00+00:00~s", "\x00", "9" * 5000]
)
def test_odd_places_break_nothing(place: str, ann: Client) -> None:
    store(ended())
    for path in ("/dashboard/sessions/", "/dashboard/sessions/s1/"):
        assert ann.get(path, {"before": place}).status_code == 200


def test_a_session_shows_its_agents_and_the_turn_that_missed_the_cache(ann: Client) -> None:
    cached, missed = (Usage(10, read, write, 0, 50, 0, b"") for read, write in ((0, 9000), (0, 9100)))
    turns = [
        ended(age_s=90, usage=cached),
        ended(age_s=80, usage=missed),
        ended(age_s=70, agent="explorer"),
    ]
    store(*turns)
    for turn, system in zip(turns, ("It is Monday.", "It is Tuesday."), strict=False):
        content = json.dumps({"model": "m", "system": system, "messages": []}).encode()
        write_body(KeptBody(turn.id, Body.REQUEST, [content], len(content), "application/json"))
    page = text_of(ann, "/dashboard/sessions/s1/")
    assert "explorer" in page
    assert page.count('class="bar ok"') == 3
    offset = content.index(b"Tuesday")
    assert f"<code>system</code> changed at byte {offset}" in page
    assert ann.get("/dashboard/sessions/none/").status_code == 404


def test_without_bodies_the_page_says_how_to_learn_more(ann: Client) -> None:
    cached = Usage(10, 0, 9000, 0, 50, 0, b"")
    store(ended(age_s=90, usage=cached), ended(age_s=80, usage=cached))
    assert "Keep the bodies" in text_of(ann, "/dashboard/sessions/s1/")


# --- accounts -----------------------------------------------------------------------------------------------------


def test_an_account_says_what_is_in_its_way_and_what_it_cost(ann: Client) -> None:
    store(ended(account="openai"), ended(Outcome.ERROR, account="openai", usage=None))
    page = text_of(ann, "/dashboard/accounts/")
    assert "2 requests, $0.0" in page
    assert "1 failed" in page
    assert "canary" not in page
    account_pause("openai")
    keeper.reload()
    page = text_of(ann, "/dashboard/accounts/")
    assert ">paused<" in page
    assert "Resume and probe" in page


def test_a_button_acts_by_post_alone_and_leaves_a_line_in_the_admins_history(ann: Client) -> None:
    path = "/dashboard/accounts/openai/pause/"
    assert ann.get(path).status_code == 405
    assert Client(enforce_csrf_checks=True).post(path).status_code == 403
    answer = ann.post(path)
    assert (answer.status_code, answer["location"]) == (302, "/dashboard/accounts/#openai")
    assert Account.objects.get().is_paused
    assert LogEntry.objects.get().change_message == "Account openai is paused."
    assert "Account openai is paused." in text_of(ann, "/dashboard/accounts/")
    ann.post("/dashboard/accounts/openai/resume/")
    assert not Account.objects.get().is_paused
    for odd in ("openai/logout", "openai/delete", "nobody/pause"):
        assert ann.post(f"/dashboard/accounts/{odd}/").status_code == 404


def test_a_test_tells_what_it_found(ann: Client) -> None:
    ann.post("/dashboard/accounts/openai/test/")
    page = text_of(ann, "/dashboard/accounts/")
    assert "Test of openai/openai: FAILED" in page
    assert "Nothing listens on 127.0.0.1:9" in page


def test_the_chart_of_an_accounts_windows(ann: Client) -> None:
    now = timezone.now()
    for hours, used in ((30, 0.9), (2, 0.25), (1, 0.5)):
        WindowSample.objects.create(
            at=now - timedelta(hours=hours), backend="openai", account="openai", window="5h", used=used
        )
    told = ann.get("/dashboard/accounts/openai/windows.json?days=1").json()
    assert told["series"] == ["5h"]
    times, used = told["data"]
    assert len(times) == len(used)
    assert (used[0], used[-1]) == (0.9, 0.5)
    assert ann.get("/dashboard/accounts/nobody/windows.json").json()["series"] == []


# --- routes -------------------------------------------------------------------------------------------------------


def test_the_rules_stand_in_the_order_in_which_they_match(ann: Client) -> None:
    route_add("*", ["openai"])
    route_add("claude-*", ["openai:gpt-4o"])
    keeper.reload()
    page = text_of(ann, "/dashboard/routes/").partition('id="h-table"')[2]
    places = [page.index(f">{kind}</span>") for kind in ("prefix", "alias", "pattern", "family", "default")]
    assert places == sorted(places)


def test_an_imagined_request_is_explained(ann: Client) -> None:
    page = text_of(ann, "/dashboard/routes/?model=fast&protocol=openai")
    assert "alias fast" in page
    assert "would be taken, by headroom" in page
    assert "did you mean" not in page.lower()
    assert "There is no client key" in text_of(ann, "/dashboard/routes/?model=fast&protocol=&key=nope")
    assert "No backend" in text_of(ann, "/dashboard/routes/?model=zzz&protocol=")
    assert "at least" not in text_of(ann, "/dashboard/routes/?model=")


# --- all of them --------------------------------------------------------------------------------------------------


def test_what_clients_and_upstreams_sent_is_inert(ann: Client) -> None:
    session = "s<'\"&"
    store(
        ended(
            Outcome.ERROR,
            error=NASTY,
            model_asked=NASTY,
            model_used=NASTY,
            client=NASTY,
            key=NASTY,
            session=session,
        ),
        ended(model_used=NASTY, client=NASTY, agent=NASTY, session=session, key=NASTY),
    )
    paths = ("/dashboard/", "/dashboard/sessions/", f"/dashboard/sessions/{quote(session)}/")
    for path in (*paths, f"/dashboard/routes/?model={quote(NASTY)}&protocol="):
        page = text_of(ann, path)
        assert INERT in page, path
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page


@pytest.mark.parametrize("path", [*PAGES, "/dashboard/routes/?model=fast&protocol=", "/admin/"])
def test_a_page_needs_few_queries(path: str, ann: Client) -> None:
    store(
        *(
            ended(age_s=30 * number, agent=f"a{number % 3}", model_used=f"m{number % 9}")
            for number in range(60)
        )
    )
    ann.get(path)
    with (
        CaptureQueriesContext(connections["default"]) as config,
        CaptureQueriesContext(connections["history"]) as history,
    ):
        assert ann.get(path).status_code == 200
    assert 0 < len(config) + len(history) <= 10, [query["sql"] for query in (*config, *history)]


def test_the_admin_leads_to_the_dashboard_and_shows_its_essentials(ann: Client) -> None:
    store(ended())
    page = text_of(ann, "/admin/")
    assert page.count('href="/dashboard/"') == 2
    assert "cost this month" in page
    assert "<strong>openai</strong> ready" in page
    assert 'href="/dashboard/"' in text_of(ann, "/admin/accounts/account/")
