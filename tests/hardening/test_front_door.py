"""Who gets in: keys, hosts, paths and origins, at a Patchbay that asks for a key."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from tests.hardening.doors import JSON, Door, chat
from tests.patchbay import Patchbay
from tests.router_site.server_process import Response

KEY = "pb-the-right-key-0123456789-abcdefghijklmnop"
RIGHT = f"Authorization: Bearer {KEY}"
FORWARDED = "X-Forwarded-For: 127.0.0.1"
EVIL = "Origin: https://evil.example"


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    settings = {"PATCHBAY_API_KEY": KEY, "PATCHBAY_VERBOSE": "on"}
    with Patchbay(settings, flags=("--demo",)) as patchbay:
        yield Door(patchbay)
        assert "Traceback" not in patchbay.log
        assert KEY not in patchbay.log


# --- keys -------------------------------------------------------------------------------------------------


WRONG_KEYS = {
    "a prefix": f"x-api-key: {KEY[:-1]}",
    "a suffix": f"x-api-key: {KEY[1:]}",
    "one more character": f"x-api-key: {KEY}x",
    "another case": f"x-api-key: {KEY.upper()}",
    "two spaces": f"Authorization: Bearer  {KEY}",
    "another scheme": f"Authorization: Basic {KEY}",
    "no scheme": f"Authorization: {KEY}",
    "a database query": "x-api-key: ' OR 1=1--",
    "a wildcard": "x-api-key: %",
    "a template": "x-api-key: {{7*7}}${7*7}<%= 7*7 %>",
    "eight thousand letters": "x-api-key: " + "k" * 8192,
    "bytes that are no text": "x-api-key: \xff\xfe",
    "a name with underscores": f"X_Api_Key: {KEY}",
    "another header": f"x-goog-api-key: {KEY}",
    "nothing": "Authorization: Bearer",
    "an empty one": "x-api-key:",
}


def test_every_wrong_key_is_refused_alike(door: Door) -> None:
    said = set()
    for name, header in WRONG_KEYS.items():
        answer = door.get("/v1/models", header)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), name
        said.add(answer.body)
    assert len(said) == 1
    assert "{{7*7}}" not in door.patchbay.log
    assert "OR 1=1" not in door.patchbay.log


def test_a_key_in_the_address_is_no_key_and_stands_in_no_log(door: Door) -> None:
    for name in ("key", "api_key", "access_token"):
        assert door.get(f"/v1/models?{name}={KEY}").status == 401
    assert KEY not in door.patchbay.log


@pytest.mark.parametrize("second", [RIGHT, "Authorization: Bearer wrong", "authorization:"])
def test_two_credentials_of_one_kind_are_refused_in_either_order(door: Door, second: str) -> None:
    for pair in ((RIGHT, second), (second, RIGHT)):
        assert door.get("/v1/models", *pair).status == 400


def test_the_key_is_asked_for_before_the_body_is_read(door: Door) -> None:
    for told in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
        with door.connect() as client:
            client.send(door.head("POST", "/v1/messages", told, JSON, "Expect: 100-continue", FORWARDED))
            answer = client.read_response()
        assert answer.status == 401
        assert answer.json()["error"]["type"] == "authentication_error"


# (path, without a key from here, without a key through a proxy, with the key)
RULES = [
    ("/v1/models", 401, 401, 200),
    ("/models", 401, 401, 200),
    ("/accounts", 401, 401, 200),
    ("/status", 401, 401, 200),
    ("/analytics", 401, 401, 200),
    ("/analytics/stream", 401, 401, None),  # it would have no end
    ("/metrics", 401, 401, 200),
    ("/openapi.json", 200, 200, 200),
    ("/livez", 200, 200, 200),
    ("/readyz", 200, 200, 200),
    ("/", 200, 200, 200),
    ("/nothing", 404, 404, 404),
]


@pytest.mark.parametrize(("path", "here", "through_a_proxy", "with_key"), RULES)
def test_what_needs_a_key(
    door: Door, path: str, here: int, through_a_proxy: int, with_key: int | None
) -> None:
    assert door.get(path).status == here
    assert door.get(path, FORWARDED).status == through_a_proxy
    if with_key is not None:
        assert door.get(path, RIGHT).status == door.get(path, RIGHT, FORWARDED).status == with_key


def test_health_tells_strangers_whether_it_works_and_nothing_else(door: Door) -> None:
    assert door.get("/health", FORWARDED).json() == {"status": "ok"}
    assert "backends" in door.get("/health", FORWARDED, RIGHT).json()
    assert set(json.loads(door.get("/", FORWARDED, "Accept: */*").body)) == {"name", "status"}


# --- hosts ------------------------------------------------------------------------------------------------


SURFACES = ("/v1/models", "/livez", "/admin/", "/dashboard/", "/static/admin/css/base.css", "/metrics")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("127.0.0.1:1", 403),
        ("127.0.0.1,evil.example", 400),
        ("127.0.0.1/x?", 400),
        ("localhost@evil", 400),
        ("127.0.0.1#", 400),
        ("", 400),
    ],
)
def test_a_foreign_host_reaches_nothing(door: Door, host: str, status: int) -> None:
    for path in SURFACES:
        assert door.get(path, f"Host: {host}", RIGHT).status == status, path


def test_who_names_another_host_in_front_is_not_believed(door: Door) -> None:
    lies = (
        "X-Forwarded-Host: evil.example",
        "Forwarded: host=evil.example;proto=https",
        "X-Forwarded-Proto: https",
    )
    for path in ("/", "/openapi.json", "/health", "/nothing", "/admin/login/", "/dashboard/"):
        answer = door.get(path, *lies)
        assert b"evil.example" not in answer.body, path
        assert "evil.example" not in str(answer.headers), path
        assert "https://127" not in str(answer.headers), path


# --- paths ------------------------------------------------------------------------------------------------


PRIVATE = [
    "//admin/",
    "/admin//login/",
    "/%61dmin/",
    "/ADMIN/",
    "/admin%2f",
    "/v1/%2e%2e/admin/",
    "/v1/..;/admin/",
    "/admin/../",
    "/admin/x/../../",
    "/admin/login-link/..%2F..%2F/",
    "/admin/accounts/account/../../../x/change/",
    "/dashboard/../admin/",
]


@pytest.mark.parametrize("path", PRIVATE)
def test_no_odd_spelling_leads_to_the_admin(door: Door, path: str) -> None:
    for headers in ((), (FORWARDED,), (RIGHT, FORWARDED)):
        assert door.get(path, *headers).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/",
        "/admin/login/",
        "/admin/login-link/x/",
        "/dashboard",
        "/dashboard/",
        "/dashboard/requests/",
        "/dashboard/sessions/a/../b/",
        "/dashboard/playground/run?kind=chat",
        "/ws/live",
    ],
)
def test_the_operators_pages_are_for_this_machine_only(door: Door, path: str) -> None:
    assert door.get(path, FORWARDED, RIGHT).status == 404


@pytest.mark.parametrize("value", ["/v1", "/admin", "\xe9"])
def test_a_root_path_from_a_client_changes_nothing(door: Door, value: str) -> None:
    header = f"Daphne-Root-Path: {value}"
    assert door.get("/v1/admin/", header, RIGHT).status == 404
    assert door.get("/v1/models", header, RIGHT).status == 200
    assert door.get("/admin/", header, FORWARDED).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../config.sqlite3",
        "/static/%2e%2e/manage.py",
        "/static//etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/\\..\\manage.py",
        "/static/%00",
        "/config.sqlite3",
        "/secrets/secret_key",
        "/.env",
        "/.git/config",
        "/v1/models/..%2f..%2fconfig.sqlite3",
    ],
)
def test_no_file_is_served_but_those_of_the_pages(door: Door, path: str) -> None:
    answer = door.get(path, RIGHT)
    assert answer.status == 404
    assert b"SQLite" not in answer.body
    assert b"root:" not in answer.body


@pytest.mark.parametrize("path", ["/%0d%0aSet-Cookie:%20a=b", "/v1/models/%0d%0aX:%20y", "/admin/%0d%0aX:y"])
def test_line_ends_in_a_path_make_no_header(door: Door, path: str) -> None:
    answer = door.get(path, RIGHT)
    assert answer.status in (302, 404)
    assert not {"set-cookie", "x"} & set(answer.headers)


# --- web pages of others ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/models", "/analytics", "/dashboard/", "/ws/live"]
)
def test_no_page_of_others_is_told_that_it_may(door: Door, path: str) -> None:
    wishes = ("Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true")
    answer = door.get(path, EVIL, *wishes, method="OPTIONS")
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        (EVIL, "Content-Type: text/plain"),
        ("Origin: null", "Content-Type: text/plain"),
        (EVIL, JSON),
        ("Sec-Fetch-Site: cross-site", JSON),
        ("Sec-Fetch-Site: same-site", "Origin: http://localhost:3000", JSON),
    ],
)
def test_a_page_of_others_sends_nothing_even_with_a_key(door: Door, headers: tuple[str, ...]) -> None:
    for path in ("/v1/chat/completions", "/dashboard/playground/run?kind=chat", "/admin/login/"):
        assert door.post(path, chat(), RIGHT, *headers).status == 403


def test_asking_for_a_page_costs_nothing(door: Door) -> None:
    """A picture or a link on another site is a GET: none of them may spend money or change anything."""
    for path in ("messages", "chat/completions", "responses", "embeddings", "completions"):
        for method in ("GET", "HEAD", "PUT", "DELETE", "TRACE"):
            assert door.get(f"/v1/{path}", RIGHT, method=method).status == 405


def test_pages_answer_three_methods(door: Door) -> None:
    for path in ("/admin/", "/admin/login/", "/dashboard/", "/dashboard/live/"):
        for method in ("TRACE", "OPTIONS", "PUT", "DELETE", "PROPFIND"):
            answer = door.get(path, method=method)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/ws/live", {}),
        ("/ws/live", {"origin": "https://evil.example"}),
        ("/ws/live", {"origin": "null"}),
        ("/ws/live", {"x-api-key": KEY}),
        ("/ws/other", {}),
        ("/v1/models", {}),
        ("/admin/", {}),
    ],
)
def test_no_stranger_opens_a_socket(door: Door, path: str, headers: dict[str, str]) -> None:
    url = f"ws://{door.host}{path}"
    with pytest.raises(InvalidHandshake), connect(url, additional_headers=headers, proxy=None):
        pass


def test_a_header_that_hides_another_opens_no_socket(door: Door) -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    for hidden in ("X-A: a\x0bOrigin: b", "X-A: a\x85b", "X-A: a\x1cb"):
        assert door.get("/ws/live", *upgrade, key, hidden).status == 400


# --- connections ------------------------------------------------------------------------------------------


def test_connections_that_say_nothing_hold_nobody_up(door: Door) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(door.connect()) for _ in range(200)]
        for client in silent[::2]:
            client.send(b"POST /v1/messages HTTP/1.1\r\nHost: ")
        answers: list[Response] = [door.post("/v1/chat/completions", chat(), RIGHT) for _ in range(5)]
        assert {answer.status for answer in answers} == {200}


def test_an_answer_reaches_only_the_request_it_belongs_to(door: Door) -> None:
    """Pipelined behind one that is refused for its framing, a request is not answered at all."""
    refused = door.head("POST", "/v1/messages", "Content-Length: 4", "Transfer-Encoding: chunked", RIGHT)
    with door.connect() as client:
        client.send(
            door.head("GET", "/livez") + refused + b"0\r\n\r\n" + door.head("GET", "/v1/models", RIGHT)
        )
        assert client.read_response().json() == {"status": "ok"}
        assert client.read_response().status == 400
        assert client.read_to_end() == b""
