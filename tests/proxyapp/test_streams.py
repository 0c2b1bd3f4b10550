"""Streams: as they come, whole or visibly broken, and closed upstream as soon as the client leaves."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.proxyapp.conftest import Lab
from tests.proxyapp.pools import eventually
from tests.records import outcomes_of, recorded

PATHS = {
    "/v1/chat/completions": b'data: {"error"',
    "/v1/messages": b"event: error\n",
    "/v1/responses": b"event: error\n",
}
SUCCESS = (b"[DONE]", b"message_stop", b"response.completed")


@pytest.fixture(scope="module", autouse=True)
def silent(lab_servers: Lab) -> Iterator[socket.socket]:
    """A translated stream that says nothing more from the first test on, since a ping comes after 15 seconds only."""
    asked = lab_servers.messages("solo:m+stall@3", stream=True)
    with raw_post(lab_servers, "/v1/messages", asked) as client:
        yield client


def body_for(lab: Lab, path: str, model_suffix: str = "") -> dict[str, object]:
    if path == "/v1/messages":
        return lab.messages(f"claude-x{model_suffix}", stream=True)
    if path == "/v1/responses":
        return {"model": f"gpt-4o{model_suffix}", "input": "ping", "stream": True}
    return lab.chat(f"gpt-4o{model_suffix}", stream=True)


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_passes_byte_for_byte(lab: Lab, path: str) -> None:
    answer = lab.patchbay.post(path, body_for(lab, path))
    entry = lab.upstream.wait_for(lambda entry: entry.completed)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert any(mark in answer.body for mark in SUCCESS)
    assert answer.headers["x-accel-buffering"] == "no"
    assert entry.status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", ["cut@3", "no-terminal", "cut@b400", "rst,cut@3"])
def test_a_cut_stream_ends_with_an_error_event(lab: Lab, path: str, fault: str) -> None:
    lab.upstream.script([fault] * 3)  # for every attempt
    answer = lab.patchbay.post(path, body_for(lab, path))
    if answer.status == 200:
        assert PATHS[path] in answer.body.replace(b'data: {"choices":[],"error"', b'data: {"error"')
        assert not any(mark in answer.body for mark in SUCCESS)
    else:  # cut before the first content: nothing was sent, so it is an ordinary error
        assert answer.status == 502
    [outcome] = recorded(lab.patchbay, answer, "outcome")
    assert outcome in ("truncated", "error")


def test_usage_of_a_stream_is_recorded_as_upstream_reported_it(lab: Lab) -> None:
    answer = lab.patchbay.post("/v1/messages", body_for(lab, "/v1/messages"))
    reported = [
        json.loads(line[6:])
        for line in answer.body.split(b"\n")
        if line.startswith(b'data: {"type":"message_delta"')
    ]
    row = next(r for r in lab.patchbay.history() if r["id"] == answer.headers["x-patchbay-request-id"])
    assert row["outputTokens"] == reported[-1]["usage"]["output_tokens"]
    assert row["usageSource"] == "reported"
    assert row["ttftMs"] is not None


def raw_post(lab: Lab, path: str, body: object) -> socket.socket:
    data = json.dumps(body).encode()
    client = socket.create_connection(("127.0.0.1", lab.patchbay.port), timeout=20)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{lab.patchbay.port}\r\nContent-Type: application/json\r\n"
    )
    client.sendall(head.encode() + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return client


@pytest.mark.parametrize(
    ("stream", "script"),
    [(True, "events=100000,gap=20ms"), (True, "ttfb=30s"), (False, "ttfb=30s"), (True, "stall@2")],
)
def test_a_client_that_leaves_closes_the_upstream(lab: Lab, stream: bool, script: str) -> None:
    model = f"solo:{uuid4().hex}"
    lab.upstream.script([script])
    client = raw_post(lab, "/v1/chat/completions", lab.chat(model, stream=stream))
    if script.startswith(("events", "stall")):
        assert client.recv(100)
    else:
        lab.upstream.wait_for(lambda entry: entry.body_at is not None)
    left = time.monotonic()
    client.close()
    entry = lab.upstream.wait_for(lambda entry: entry.client_gone_at is not None or entry.closed_by == "peer")
    assert (entry.client_gone_at or entry.closed_at or 1e9) - left < 1.0
    assert eventually(lambda: outcomes_of(lab.patchbay, model) == ["cancelled"])


def test_events_arrive_one_by_one(lab: Lab) -> None:
    lab.upstream.script(["events=3,stall@2"])
    with raw_post(lab, "/v1/chat/completions", lab.chat("solo:m", stream=True)) as client:
        got = b""
        while got.count(b"data: {") < 2:  # the third never comes: these two were not held back for it
            got += client.recv(65536)
    assert b"[DONE]" not in got


def test_an_error_event_in_the_middle_passes_untouched_and_ends_the_stream(lab: Lab) -> None:
    lab.upstream.script(["error@2"])
    answer = lab.patchbay.post("/v1/messages", body_for(lab, "/v1/messages"))
    assert answer.body.count(b"event: error") == 1
    assert b"message_stop" not in answer.body
    assert recorded(lab.patchbay, answer, "outcome") == ("error",)


def test_a_stream_that_hangs_after_its_end_is_let_go(lab: Lab) -> None:
    lab.upstream.script(["done-then-hang"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m", stream=True))
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_a_slow_first_token_does_not_hold_the_headers_for_ever(lab: Lab) -> None:
    lab.upstream.script(["stall@0"])
    with raw_post(lab, "/v1/messages", lab.messages("claude-x", stream=True)) as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_that_hears_nothing_gets_a_ping(silent: socket.socket) -> None:
    silent.settimeout(30)
    got = b""
    while b"event: ping" not in got:
        got += silent.recv(65536)
    assert b"content_block_delta" in got
