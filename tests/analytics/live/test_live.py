"""The live feed, its page's socket, stopping requests and the playground, against a running Patchbay."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.analytics.live.feeds import EventStream, LivePage, NewsPage
from tests.operator import Operator
from tests.patchbay import Answer, Patchbay

NASTY = "<script>alert(1)</script>\n2026 ERROR patchbay: forged\x1b[2J"
ENDLESS = "demo:demo+endless,gap=20ms"
SLOW = "demo:demo+ttfb=60"
NEWS_SECONDS = 1.0


@pytest.fixture(scope="module")
def patchbay() -> Iterator[Patchbay]:
    with Patchbay({"PATCHBAY_LOG_BODIES": "on", "PATCHBAY_VERBOSE": "on"}, flags=("--demo",)) as running:
        yield running


@pytest.fixture(scope="module")
def operator(patchbay: Patchbay) -> Operator:
    return Operator(patchbay)


def chat(model: str = "demo", **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "ping"}], **fields}


def ask(patchbay: Patchbay, **fields: Any) -> str:
    """One chat request; its id."""
    return patchbay.post("/v1/chat/completions", chat(**fields)).headers["x-patchbay-request-id"]


def running(page: LivePage, model: str) -> dict[str, Any]:
    """Wait until a request for this model has its account."""

    def fits(message: dict[str, Any]) -> bool:
        request = message["request"]
        return bool(request["modelAsked"] == model and request["account"])

    request: dict[str, Any] = page.wait_for("progress", fits)["request"]
    return request


# --- server-sent events ---------------------------------------------------------------------------------------------


def test_the_stream_begins_with_what_ended_before_and_goes_on(patchbay: Patchbay) -> None:
    before = ask(patchbay)
    with EventStream(patchbay) as stream:
        assert stream.response.status == 200
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.record(before)["outcome"] == "ok"
        after = ask(patchbay, stream=True)
        told = stream.record(after)
    [kept] = [row for row in patchbay.history(2) if row["id"] == after]
    assert told == kept


def test_a_reader_that_comes_back_hears_only_what_it_missed(patchbay: Patchbay) -> None:
    seen, missed = ask(patchbay), ask(patchbay)
    with EventStream(patchbay, {"last-event-id": seen}) as stream:
        assert next(stream.parts())["id"] == missed


def test_readers_that_leave_leave_nothing_behind(patchbay: Patchbay) -> None:
    for _ in range(120):  # more than there may be at a time
        with EventStream(patchbay) as stream:
            assert stream.response.status == 200
            next(stream.parts())


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_pages_of_others_read_nothing(patchbay: Patchbay, headers: dict[str, str]) -> None:
    assert patchbay.get("/analytics/stream", headers).status == 403


# --- the socket -----------------------------------------------------------------------------------------------------


def test_a_live_page_sees_a_request_from_its_beginning_to_its_end(
    patchbay: Patchbay, operator: Operator
) -> None:
    with LivePage(operator) as page:
        id_ = ask(patchbay, stream=True)
        began = page.wait_for("began", lambda message: message["request"]["id"] == id_)["request"]
        record = page.ended(id_)
    assert (began["modelAsked"], began["phase"], began["stream"]) == ("demo", "choosing", True)
    assert (record["outcome"], record["status"], record["backend"]) == ("ok", 200, "demo")
    with LivePage(operator) as page:
        assert page.snapshot["recent"][-1] == record


def test_the_server_filters(patchbay: Patchbay, operator: Operator) -> None:
    with LivePage(operator) as page:
        page.wish(do="filter", filter={"outcome": "rejected"})
        assert {request["outcome"] for request in page.wait_for("snapshot")["recent"]} <= {"rejected"}
        good, refused = ask(patchbay), ask(patchbay, model="nobody-has-this")
        assert page.wait_for("gone")["request"]["id"] == good
        assert page.ended(refused)["status"] == 404


def test_a_paused_page_hears_nothing_until_it_goes_on(patchbay: Patchbay, operator: Operator) -> None:
    with LivePage(operator) as page:
        page.wish(do="pause")
        page.wish(do="resume")
        assert page.heard()["type"] == "snapshot"
        page.wish(do="pause")
        time.sleep(0.1)  # nothing tells that the server has heard it
        id_ = ask(patchbay)
        page.wish(do="resume")
        message = page.heard()
        assert message["type"] == "snapshot"
        assert message["recent"][-1]["id"] == id_


@pytest.mark.parametrize("wish", ['{"do":"dance"}', "[]", "not json", '{"do":"filter","filter":{"x":"y"}}'])
def test_a_wish_that_nobody_understands_ends_the_connection(operator: Operator, wish: str) -> None:
    with LivePage(operator) as page:
        page.socket.send(wish)
        with pytest.raises(ConnectionClosed) as raised:
            page.wait_for("never")
    assert raised.value.rcvd is not None
    assert raised.value.rcvd.code == 4400


def test_a_page_of_sums_hears_that_there_are_news_once_the_history_has_them(
    patchbay: Patchbay, operator: Operator
) -> None:
    with NewsPage(operator) as page:
        asked = ask(patchbay)
        page.news()
        assert operator.get(f"/dashboard/requests/{asked}/").status == 200


def test_a_page_of_sums_hears_of_many_requests_at_most_once_a_second(
    patchbay: Patchbay, operator: Operator
) -> None:
    with NewsPage(operator) as page, ThreadPoolExecutor() as pool:
        heard = [time.monotonic()]
        answers = pool.map(lambda _: ask(patchbay), range(60))
        heard.append(page.news())
        assert len(set(answers)) == 60
        while (at := page.more_news(2 * NEWS_SECONDS)) is not None:
            heard.append(at)
    assert all(later - earlier > NEWS_SECONDS - 0.2 for earlier, later in pairwise(heard))


@pytest.mark.parametrize("page_class", [LivePage, NewsPage])
def test_strangers_are_refused_before_they_are_let_in(
    patchbay: Patchbay, operator: Operator, page_class: type[LivePage]
) -> None:
    strangers: list[dict[str, str]] = [
        {"cookie": ""},
        {"cookie": "patchbay_session=0123456789abcdef0123456789abcdef"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ]
    for headers in strangers:
        with pytest.raises(InvalidStatus) as raised, page_class(operator, headers):
            pass
        assert raised.value.response.status_code == 403, headers


NAVIGATION = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def test_a_link_on_another_site_may_open_a_page_and_nothing_more(patchbay: Patchbay) -> None:
    for path in ("/dashboard/live/", "/dashboard/requests/req_none/"):
        assert patchbay.get(path, NAVIGATION).status == 302  # to the login: the cookies stay at home
        assert patchbay.get(path, {**NAVIGATION, "sec-fetch-dest": "iframe"}).status == 403
    assert patchbay.post("/dashboard/live/req_none/stop", {}, NAVIGATION).status == 403


# --- stopping -------------------------------------------------------------------------------------------------------


STREAMS = {
    "/v1/chat/completions": chat(ENDLESS, stream=True),
    "/v1/messages": {**chat(ENDLESS, stream=True), "max_tokens": 100},
    "/v1/responses": {"model": ENDLESS, "input": "ping", "stream": True},
}


@pytest.mark.parametrize("path", STREAMS)
def test_a_running_stream_is_stopped(patchbay: Patchbay, operator: Operator, path: str) -> None:
    with LivePage(operator) as page, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(patchbay.post, path, STREAMS[path])
        request = page.wait_for("progress", lambda message: message["request"]["phase"] == "streaming")[
            "request"
        ]
        assert operator.post(f"/dashboard/live/{request['id']}/stop").json() == {"stopped": True}
        answer, record = waiting.result(10), page.ended(request["id"])
    assert answer.status == 200
    last = [line for line in answer.body.decode().splitlines() if line.startswith("data:")][-1]
    assert "stopped by the operator" in last
    assert '"error"' in last
    assert (record["outcome"], record["error"]) == ("cancelled", "stopped by the operator")
    accounts = patchbay.get("/accounts").json()["accounts"]
    assert [account["inFlight"] for account in accounts] == [0, 0, 0]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_request_without_an_answer_is_stopped(
    patchbay: Patchbay, operator: Operator, is_stream: bool
) -> None:
    with LivePage(operator) as page, ThreadPoolExecutor(1) as threads:
        body = {**chat(SLOW, stream=is_stream), "max_tokens": 5}
        waiting = threads.submit(patchbay.post, "/v1/messages", body)
        request = running(page, SLOW)
        assert operator.post(f"/dashboard/live/{request['id']}/stop").status == 200
        answer: Answer = waiting.result(10)
        record = page.ended(request["id"])
    assert (answer.status, answer.headers["x-should-retry"]) == (503, "false")
    assert answer.json()["error"]["message"] == "This request was stopped by the operator of Patchbay."
    assert answer.json()["error"]["details"] == {"error_code": "stopped_by_operator"}
    assert (record["outcome"], record["status"], record["error"]) == (
        "cancelled",
        503,
        "stopped by the operator",
    )


def test_what_does_not_run_cannot_be_stopped(patchbay: Patchbay, operator: Operator) -> None:
    for id_ in (ask(patchbay), "req_none"):
        answer = operator.post(f"/dashboard/live/{id_}/stop")
        assert (answer.status, answer.json()["stopped"]) == (409, False)


def test_only_the_operator_stops(patchbay: Patchbay, operator: Operator) -> None:
    path = "/dashboard/live/req_none/stop"
    assert patchbay.post(path, {}).status == 403  # no token, no login
    assert operator.post(path, headers={"x-csrftoken": "x" * 64}).status == 403
    assert operator.get(path).status == 405
    assert operator.post(path, headers={"origin": "http://evil.example"}).status == 403


# --- hostile texts --------------------------------------------------------------------------------------------------


HOSTILE = {
    "a name": ("<script>alert(1)</script>", "modelAsked", "<script>alert(1)</script>"),
    "an upstream": (f"demo:demo+error@1:api_error,msg={quote(NASTY)}", "error", NASTY),
}


@pytest.mark.parametrize("whose", HOSTILE)
def test_hostile_texts_are_inert_in_pages_feeds_and_the_log(
    patchbay: Patchbay, operator: Operator, whose: str
) -> None:
    model, field, said = HOSTILE[whose]
    with EventStream(patchbay) as stream:
        headers = {"user-agent": "<img src=x onerror=alert(1)>"}
        answer = patchbay.post("/v1/chat/completions", chat(model, stream=True), headers)
        id_ = answer.headers["x-patchbay-request-id"]
        assert said in stream.record(id_)[field]
    patchbay.history(1)
    for path in ("live/", "requests/", f"requests/{id_}/", "playground/", ""):
        page = operator.get(f"/dashboard/{path}")
        assert page.status == 200, path
        assert b"<script>alert" not in page.body, path
        assert b"<img src=x" not in page.body, path
    assert not any(line.startswith("2026 ERROR patchbay: forged") for line in patchbay.log.splitlines())
    assert "\x1b" not in patchbay.log


def test_hostile_filters_are_inert(operator: Operator) -> None:
    nasty = quote('"><script>alert(1)</script><img src=x onerror=alert(1)>')
    names = ("text", "model", "backend", "outcome", "status", "since", "before", "session", "client")
    for query in (*(f"?{name}={nasty}" for name in names), f"?replay={nasty}"):
        path = "/dashboard/playground/" if "replay" in query else "/dashboard/requests/"
        page = operator.get(path + query)
        assert page.status == 200, query
        assert b"<script>alert" not in page.body, query
        assert b"<img src=x" not in page.body, query


# --- the playground -------------------------------------------------------------------------------------------------

RUN = "/dashboard/playground/run"


def events(answer: Answer) -> list[tuple[str, Any]]:
    found = []
    for part in answer.body.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.split("\n"))
        data = fields["data"]
        found.append((fields.get("event", ""), None if data == "[DONE]" else json.loads(data)))
    return found


@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_the_playground_streams_an_answer_and_its_record(operator: Operator, kind: str) -> None:
    answer = operator.post(f"{RUN}?kind={kind}", chat("demo", stream=True, max_tokens=50))
    assert answer.status == 200
    name, record = events(answer)[-1]
    assert name == "patchbay.record"
    assert (record["kind"], record["outcome"], record["key"]) == (kind, "ok", None)
    assert record["id"] == answer.headers["x-patchbay-request-id"]
    assert record["outputTokens"] > 0


@pytest.mark.parametrize("alias", ["demo-1", "demo-2", "demo-3"])
def test_the_operator_chooses_the_account(operator: Operator, alias: str) -> None:
    answer = operator.post(f"{RUN}?kind=chat&account={alias}", chat("demo", stream=True))
    assert answer.headers["x-patchbay-account"] == alias


def test_an_account_that_is_none_of_the_backends_serves_nobody(operator: Operator) -> None:
    answer = operator.post(f"{RUN}?kind=chat&account=nobody", chat("demo", stream=True))
    assert answer.status == 503


def test_the_playground_is_for_the_operator_alone(patchbay: Patchbay, operator: Operator) -> None:
    body, path = chat("demo", stream=True), f"{RUN}?kind=chat"
    assert patchbay.post(path, body).status == 403
    assert operator.post(path, body, {"x-csrftoken": ""}).status == 403
    assert operator.post(path, body, {"origin": "http://evil.example"}).status == 403
    assert operator.get(path).status == 405
    assert operator.post(f"{RUN}?kind=embeddings", body).status == 400


def test_a_past_request_can_be_sent_again(patchbay: Patchbay, operator: Operator) -> None:
    id_ = ask(patchbay)
    deadline = time.monotonic() + 10
    while (
        b"Bodies were not kept" in (page := operator.get(f"/dashboard/requests/{id_}/").body)
        or b"No such" in page
    ):
        assert time.monotonic() < deadline, page
        time.sleep(0.05)
    assert f"/dashboard/playground/?replay={id_}".encode() in page
    again = operator.get(f"/dashboard/playground/?replay={id_}").body
    assert b'"content": "ping"' in again
    assert b"cannot be sent again" in operator.get("/dashboard/playground/?replay=req_none").body


def test_leaving_the_playground_closes_the_upstream(patchbay: Patchbay, operator: Operator) -> None:
    with LivePage(operator) as page:
        connection = http.client.HTTPConnection("127.0.0.1", patchbay.port, timeout=10)
        headers = {**operator.headers, "x-csrftoken": operator.token, "content-type": "application/json"}
        connection.request("POST", f"{RUN}?kind=chat", json.dumps(chat(ENDLESS, stream=True)), headers)
        response = connection.getresponse()
        response.read(100)
        response.close()
        connection.close()
        record = page.ended(response.headers["x-patchbay-request-id"])
    assert record["outcome"] == "cancelled"


# --- the end --------------------------------------------------------------------------------------------------------


def test_a_drain_waits_for_no_reader() -> None:
    with Patchbay({"PATCHBAY_DRAIN_SECONDS": "60"}, flags=("--demo",)) as leaving:
        with EventStream(leaving) as stream, LivePage(Operator(leaving)) as page:
            told = stream.parts()
            next(told)
            stopping = threading.Thread(target=leaving.stop)
            stopping.start()
            assert list(told) == []  # the stream ends as a stream should
            with pytest.raises(ConnectionClosed):
                page.wait_for("never")
            stopping.join(15)
            assert not stopping.is_alive()
        assert "Traceback" not in leaving.log


def test_the_end_of_the_login_ends_the_socket(patchbay: Patchbay, operator: Operator) -> None:
    """The last test of this server: its operator has left."""
    with LivePage(operator) as page:
        assert operator.post("/admin/logout/").status == 200
        page.wish(do="resume")
        with pytest.raises(ConnectionClosed) as raised:
            page.wait_for("never")
    assert raised.value.rcvd is not None
    assert raised.value.rcvd.code == 4401
    assert "Traceback" not in patchbay.log
