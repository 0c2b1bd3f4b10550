"""The operator's pages, feeds and listings, while strangers send what they like."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import time
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import pytest
from websockets.exceptions import ConnectionClosed

from proxyapp.page_headers import CONTENT_POLICY
from tests.analytics.live.feeds import EventStream, LivePage
from tests.hardening.doors import CONTROLS, Door, chat, message
from tests.operator import Operator
from tests.patchbay import Answer, Patchbay

MOST_READERS = 100
SCRIPT = "<script>alert(1)</script>"
NASTY = (
    f"\x1b]0;x\x07\x1b[2J{SCRIPT}<img src=x onerror=alert(1)>\u202ex\u2066\u2028\r\nSet-Cookie: a=b\"'\x9b31m"
)
# As a header carries it: no control of ASCII, but one of Latin-1, and what UTF-8 readers take for a turn.
NASTY_HEADER = "=cmd|' /C calc'!A0<img src=x onerror=alert(1)>\"'\x9b31m" + "\u202e".encode().decode(
    "latin-1"
)
WORDS = f"error@0:{quote('<b>')},msg={quote(NASTY)}"
PAGES = [
    *(f"/dashboard/{name}" for name in ("", "live/", "requests/", "sessions/", "accounts/", "routes/")),
    *("/dashboard/playground/", "/dashboard/accounts/demo-1/windows.json", "/admin/"),
    *("/admin/accounts/account/", "/admin/accounts/clientkey/", "/admin/backends/backend/"),
    *("/admin/analytics/requestrecord/", "/admin/backends/route/", "/admin/backends/redactionrule/"),
    *("/admin/backends/requesttemplate/add/", "/admin/backends/redactionrule/try/"),
]


@pytest.fixture(scope="module")
def patchbay() -> Iterator[Patchbay]:
    settings = {"PATCHBAY_LOG_BODIES": "on", "PATCHBAY_VERBOSE": "on", "PATCHBAY_QUEUE_SECONDS": "0"}
    with Patchbay(settings, flags=("--demo",)) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def operator(patchbay: Patchbay) -> Operator:
    return Operator(patchbay)


@pytest.fixture(scope="module")
def requests(patchbay: Patchbay, operator: Operator) -> list[str]:
    """Requests of a stranger who writes hostile texts wherever a text is taken: their ids."""
    door = Door(patchbay)
    headers = [f"{name}: {NASTY_HEADER}" for name in ("User-Agent", "session_id", "X-Claude-Code-Session-Id")]
    answers = [
        door.post("/v1/chat/completions", chat(f"demo:{SCRIPT}\"'=1+1", user=NASTY), *headers),
        door.post("/v1/chat/completions", chat(f"=1+1{SCRIPT}"), *headers),
        door.post("/v1/messages", message(f"demo:demo+{WORDS}", metadata={"user_id": NASTY}), *headers),
        door.post("/v1/chat/completions", chat(f"demo:demo+{WORDS}", stream=True), *headers),
        door.post("/v1/responses", {"model": "demo", "input": NASTY, "user": NASTY}, *headers),
        door.get(f"/v1/{quote(NASTY)}", *headers),
    ]
    for answer in answers:
        assert "set-cookie" not in answer.headers
        assert not CONTROLS.search(str(answer.headers))
    ids = [answer.headers["x-patchbay-request-id"] for answer in answers]
    deadline = time.monotonic() + 10
    while operator.get(f"/dashboard/requests/{ids[-1]}/").status != 200:
        assert time.monotonic() < deadline
    return ids


def inert(page: Answer) -> str:
    """The text of a page, if nothing of a stranger's in it could act."""
    text = page.body.decode()
    assert not CONTROLS.search(text)
    acting = Acting()
    acting.feed(text)
    acting.close()
    assert acting.found == []
    return text


class Acting(HTMLParser):
    """Finds what a browser would run or fetch from elsewhere, as a parser sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        source = (names.get("src") or names.get("href") or "").strip().lower()
        is_foreign = source.startswith(("javascript:", "data:text", "http:", "https:", "//"))
        is_inline = tag == "script" and not source and names.get("type") != "application/json"
        if is_inline or is_foreign or [name for name in names if name.startswith("on")]:
            self.found.append((tag, attrs))


# --- every page -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_every_page_forbids_frames_scripts_and_copies(operator: Operator, path: str) -> None:
    page = operator.get(path)
    assert page.status == 200
    assert page.headers["content-security-policy"] == CONTENT_POLICY
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    inert(page)


def test_what_strangers_sent_is_inert_on_every_page(operator: Operator, requests: list[str]) -> None:
    seen = ""
    for path in (*PAGES, *(f"/dashboard/requests/{id_}/" for id_ in requests)):
        seen += inert(operator.get(path))
    for session in set(re.findall(r'href="(/dashboard/sessions/[^"?]+/)"', seen)):
        seen += inert(operator.get(unescape(session)))
    inert(operator.get(f"/dashboard/playground/?replay={requests[0]}"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in seen
    assert "\\x1b[2J" in seen  # shown, where a terminal would have obeyed


def test_what_strangers_sent_is_inert_in_listings(patchbay: Patchbay, requests: list[str]) -> None:
    done = patchbay.manage("why", requests[3])
    assert not CONTROLS.search(done.stdout + done.stderr)
    done = patchbay.manage("history", "--export", "csv")
    assert not CONTROLS.search(done.stdout)
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert {"'=1+1" + SCRIPT} == {row["modelAsked"] for row in rows if "=1+1" in row["modelAsked"][:6]}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "@", "\t", "\r"))]


def test_what_strangers_sent_is_inert_in_figures_and_the_log(patchbay: Patchbay, requests: list[str]) -> None:
    for path in ("/metrics", "/analytics", "/accounts", "/status", "/health"):
        assert not CONTROLS.search(patchbay.get(path).body.decode()), path
    for line in patchbay.get("/metrics").body.decode().splitlines():
        assert re.fullmatch(r'#.*|[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? \S+', line), line
    assert not CONTROLS.search(patchbay.log)
    for line in patchbay.log.splitlines():
        assert not line.startswith("Set-Cookie")


def test_pasted_texts_are_inert_in_the_admins_trials(operator: Operator) -> None:
    spec = json.dumps({"system": {"append": NASTY}})
    for path, fields in (
        ("/admin/backends/redactionrule/try/", {"sample": NASTY, "kind": ""}),
        ("/admin/backends/redactionrule/try/", {"sample": json.dumps(chat(NASTY)), "kind": "chat"}),
        ("/admin/backends/requesttemplate/preview/", {"spec": spec, "kind": "chat", "body": ""}),
        ("/admin/backends/requesttemplate/preview/", {"spec": NASTY, "kind": "chat", "body": NASTY}),
        ("/admin/backends/route/preview/", {"model": NASTY}),
    ):
        page = send_form(operator, path, fields)
        assert page.status in (200, 405), path
        inert(page)
        inert(operator.get(f"{path}?{urlencode(fields)}"))


def send_form(operator: Operator, path: str, fields: dict[str, str], **headers: str) -> Answer:
    body = urlencode({"csrfmiddlewaretoken": operator.token, **fields}).encode()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return operator.patchbay.request("POST", path, body, {**operator.headers, **kind, **headers})


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "'",
        "*",
        "(",
        "-",
        ":",
        "^",
        "NEAR(",
        "a AND",
        "col:x",
        '"a" OR',
        "%" * 500,
        "_",
        "(a+)+$",
        "\x00",
        "x" * 9000,
    ],
    ids=repr,
)
def test_a_search_for_signs_is_a_search(operator: Operator, requests: list[str], text: str) -> None:
    for name in ("text", "model", "session", "client", "error"):
        page = operator.get(f"/dashboard/requests/?{name}={quote(text, safe='')}")
        assert page.status == 200, name
        inert(page)


# --- forged clicks ----------------------------------------------------------------------------------------


ACTIONS = [
    "/admin/accounts/account/add/",
    "/admin/accounts/clientkey/add/",
    "/admin/backends/redactionrule/switch/jwt/",
    "/admin/logout/",
    "/admin/password_change/",
    "/dashboard/accounts/demo-1/pause/",
    "/dashboard/live/req_none/stop",
    "/dashboard/playground/run?kind=chat",
]


@pytest.mark.parametrize("path", ACTIONS)
def test_no_forged_click_acts(operator: Operator, path: str) -> None:
    for fields, headers in (
        ({"csrfmiddlewaretoken": ""}, {}),
        ({"csrfmiddlewaretoken": "a" * 64}, {}),
        ({}, {"origin": "http://evil.example"}),
        ({}, {"origin": "null"}),
        ({}, {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"}),
        ({}, {"sec-fetch-site": "cross-site"}),
    ):
        assert send_form(operator, path, fields, **headers).status == 403, (fields, headers)


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example", "https://evil.example", "/\\evil.example", "http:///evil.example", "javascript:x"],
)
def test_the_login_leads_nowhere_else(patchbay: Patchbay, operator: Operator, elsewhere: str) -> None:
    for path in ("/admin/login/", "/dashboard/", "/admin/"):
        for asking in (operator.get, patchbay.get):
            answer = asking(f"{path}?next={quote(elsewhere, safe='')}")
            target = answer.headers.get("location", "/admin/")
            assert target.startswith("/admin/"), target
            assert "evil" not in target.partition("?")[0]


def test_a_login_link_is_spent_and_never_told(patchbay: Patchbay) -> None:
    link = next(word for word in patchbay.log.split() if "/admin/login-link/" in word)
    path = link.removeprefix(patchbay.url)
    for headers in ({}, {"x-forwarded-for": "127.0.0.1"}, {"host": "evil.example"}):
        answer = patchbay.get(path, headers)
        assert answer.status in (403, 404)
        assert "set-cookie" not in answer.headers
    assert patchbay.request("HEAD", path).status == 405
    for token in ("x", "%00", "a" * 5000, quote(SCRIPT, safe="")):
        assert SCRIPT.encode() not in patchbay.get(f"/admin/login-link/{token}/").body


# --- feeds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        "",
        b"\x00\xff",
        "[" * 30_000,
        json.dumps({"do": "filter", "filter": {str(number): "x" for number in range(3000)}}),
        json.dumps({"do": "filter", "filter": {"text": ["x"]}}),
        "x" * 60_000,
        "x" * 70_000,
    ],
    ids=["empty", "bytes", "deep", "many", "wrong type", "long", "too long"],
)
def test_a_frame_that_makes_no_sense_ends_its_socket_alone(operator: Operator, frame: str | bytes) -> None:
    with LivePage(operator) as other:
        with LivePage(operator) as page:
            page.socket.send(frame)
            with pytest.raises(ConnectionClosed):
                page.wait_for("never")
        other.wish(do="resume")
        assert other.wait_for("snapshot")


def test_readers_are_bounded_and_hold_nobody_up(patchbay: Patchbay, operator: Operator) -> None:
    """Half of them never read. One more is told to come later; requests go on, and places are free again."""
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(EventStream(patchbay)) for _ in range(MOST_READERS)]
        assert {stream.response.status for stream in streams} == {200}
        assert patchbay.get("/analytics/stream").status == 503
        with pytest.raises(ConnectionClosed):
            stack.enter_context(LivePage(operator))
        answer = patchbay.post("/v1/chat/completions", chat())
        assert answer.status == 200
        assert streams[0].record(answer.headers["x-patchbay-request-id"])["outcome"] == "ok"
    deadline = time.monotonic() + 10
    while True:
        with EventStream(patchbay) as stream:
            if stream.response.status == 200:
                return
        assert time.monotonic() < deadline
