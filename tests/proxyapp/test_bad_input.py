"""Bad input gets a clear error in the path's protocol; upstream is untouched; the next request works."""

from __future__ import annotations

import json
import socket

import pytest

from tests.patchbay import Answer
from tests.proxyapp.conftest import Lab
from tests.records import recorded

GOOD = b'"messages":[{"role":"user","content":"x"}]'
BAD_BODIES = [
    (b"", None),
    (b"{", None),
    (b"null", None),
    (b"[]", None),
    (b'"x"', None),
    (b"\xff\xfe{}", None),
    (b'{"model":"m",' + GOOD + b',"x":NaN}', None),
    (b'{"model":"m",' + GOOD + b',"x":"\xc3\x28"}', None),
    (b'{"model":"m","model":"n",' + GOOD + b"}", "model"),
    (b'{"model":"m","mod\\u0065l":"n",' + GOOD + b"}", "model"),
    (b"{" + GOOD + b"}", "model"),
    (b'{"model":7,' + GOOD + b"}", "model"),
    (b'{"model":"",' + GOOD + b"}", "model"),
    (b'{"model":"m"}', "messages"),
    (b'{"model":"m","messages":"x"}', "messages"),
    (b'{"model":"m","messages":[7]}', "messages"),
    (b'{"model":"m",' + GOOD + b',"stream":"true"}', "stream"),
    (b'{"model":"m",' + GOOD + b',"max_tokens":"1"}', "max_tokens"),
    (b'{"model":"m",' + GOOD + b',"max_tokens":-1}', "max_tokens"),
    (b'{"model":"m",' + GOOD + b',"x":' + b"[" * 200 + b"]" * 200 + b"}", None),
    (b'{"model":"m",' + GOOD + b',"x":' + b"[" * 100_000, None),
]


def check_shape(answer: Answer, path: str) -> str:
    """The error message, out of a body in the path's protocol."""
    error = answer.json()["error"]
    assert answer.headers["x-patchbay-request-id"].startswith("req_")
    if "messages" in path:
        assert answer.json()["type"] == "error"
        assert answer.json()["request_id"] == answer.headers["x-patchbay-request-id"]
    else:
        assert set(error) == {"message", "type", "param", "code"}
    assert "Traceback" not in error["message"]
    return str(error["message"])


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize(("body", "field"), BAD_BODIES)
def test_bad_bodies_are_refused_by_name(lab: Lab, path: str, body: bytes, field: str | None) -> None:
    answer = lab.patchbay.post(path, body)
    assert answer.status == 400
    message = check_shape(answer, path)
    if field is not None:
        assert field in message
    assert lab.upstream.journal.entries == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_anything_but_json_is_415(lab: Lab, content_type: str) -> None:
    answer = lab.patchbay.post("/v1/messages", lab.messages(), {"content-type": content_type})
    assert answer.status == 415
    check_shape(answer, "/v1/messages")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "deflate"])
def test_unknown_body_encodings_are_415(lab: Lab, encoding: str) -> None:
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat(), {"content-encoding": encoding})
    assert answer.status == 415
    check_shape(answer, "/v1/chat/completions")


def test_a_gzip_bomb_is_413(lab: Lab) -> None:
    import gzip

    answer = lab.patchbay.post(
        "/v1/chat/completions", gzip.compress(b" " * 40 * 2**20), {"content-encoding": "gzip"}
    )
    assert answer.status == 413
    assert "PATCHBAY_MAX_BODY_MB" in check_shape(answer, "/v1/chat/completions")


def test_a_declared_length_over_the_limit_is_413_before_the_body(lab: Lab) -> None:
    with socket.create_connection(("127.0.0.1", lab.patchbay.port), timeout=20) as client:
        head = f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{lab.patchbay.port}\r\n"
        client.sendall(head.encode() + b"Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n")
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "error"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/messages", "POST"),
        ("PUT", "/v1/chat/completions", "POST"),
        ("DELETE", "/health", "GET, HEAD"),
    ],
)
def test_other_methods_are_405_with_allow(lab: Lab, method: str, path: str, allow: str) -> None:
    answer = lab.patchbay.request(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    check_shape(answer, path)


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/messages/x", "/nothing", "/v1", "/v1/messages/batches"])
def test_other_paths_are_404_and_never_forwarded(lab: Lab, path: str) -> None:
    answer = lab.patchbay.post(path, {"model": "gpt-4o"})
    assert answer.status == 404
    check_shape(answer, path)
    assert lab.upstream.journal.entries == []


def test_an_unknown_model_is_404_with_the_closest_names(lab: Lab) -> None:
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("fats"))
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "fast" in check_shape(answer, "/v1/chat/completions")


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"Host": "evil.com"}, {400, 403}),
        ({"Origin": "https://evil.com"}, {403}),
        ({"Origin": "null"}, {403}),
        ({"Origin": "http://localhost:3000"}, {403}),
        ({"Sec-Fetch-Site": "cross-site"}, {403}),
    ],
)
def test_browsers_from_elsewhere_are_refused(lab: Lab, headers: dict[str, str], statuses: set[int]) -> None:
    assert lab.patchbay.post("/v1/messages", lab.messages(), headers).status in statuses
    assert lab.patchbay.get("/health", headers).status in statuses
    assert lab.upstream.journal.entries == []


def test_a_keyless_call_through_another_proxy_is_401(lab: Lab) -> None:
    answer = lab.patchbay.post("/v1/messages", lab.messages(), {"X-Forwarded-For": "127.0.0.1"})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_websocket_upgrade_on_responses_is_426(lab: Lab) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "x" * 22 + "==",
    }
    assert lab.patchbay.get("/v1/responses", upgrade).status == 426


def test_destinations_in_the_body_change_nothing(lab: Lab) -> None:
    body = lab.chat(
        api_base="http://127.0.0.1:1", base_url="http://127.0.0.1:1", api_key="x", extra_headers={"a": "b"}
    )
    assert lab.patchbay.post("/v1/chat/completions", body).status == 200


def test_every_refusal_leaves_a_record_and_the_next_request_works(lab: Lab) -> None:
    refused = [
        lab.patchbay.post("/v1/messages", b"{"),
        lab.patchbay.post("/v1/messages", b"{}", {"content-type": "text/plain"}),
        lab.patchbay.post("/v1/messages", b"{}", {"origin": "https://evil.com"}),
        lab.patchbay.request("PUT", "/v1/messages"),
        lab.patchbay.get("/v1/nothing"),
    ]
    good = lab.patchbay.post("/v1/messages", lab.messages())
    assert good.status == 200
    wanted = {answer.headers["x-patchbay-request-id"] for answer in refused}
    recorded(lab.patchbay, good, "id")
    rows = {row["id"]: row for row in lab.patchbay.history()}
    assert wanted <= set(rows)
    assert {rows[each]["outcome"] for each in wanted} == {"rejected"}
    assert "Traceback" not in lab.patchbay.log
