"""Every scripted fault, seen from a raw socket."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import pytest

from tests.backends.simulator.raw import Received, ask, connect, exchange, post, read_all, request
from tests.servers import SimulatorThread

KINDS = ("messages", "chat", "responses")
TERMINAL = {"messages": "message_stop", "chat": '"finish_reason":"stop"', "responses": "response.completed"}


def scripted(upstream: SimulatorThread, script: str, kind: str = "chat", **asked: object) -> Received:
    return ask(upstream.url, kind, model=f"m+{script}", **asked)


# before the answer


@pytest.mark.parametrize(
    ("script", "ended"), [("refuse", "reset"), ("eof-after-request", "eof"), ("rst", "eof")]
)
def test_connection_ends_without_a_byte(upstream: SimulatorThread, script: str, ended: str) -> None:
    received = scripted(upstream, script if script != "rst" else "eof-before")
    assert received == Received(b"", ended)
    assert upstream.wait_for(lambda entry: entry.closed_at).completed is False


def test_queued_refusal_meets_the_connection_itself(upstream: SimulatorThread) -> None:
    upstream.script(["refuse"])
    with pytest.raises(ConnectionResetError), connect(upstream.url) as connection:
        connection.recv(1)
    assert ask(upstream.url).status == 200


def test_eof_before_comes_before_the_body_is_sent(upstream: SimulatorThread) -> None:
    with connect(upstream.url) as connection:
        sent = request(key="sk-sim-eof-before")
        connection.sendall(sent[: sent.index(b"\r\n\r\n") + 4])
        assert read_all(connection) == Received(b"", "eof")


def test_unread_request_is_never_answered(upstream: SimulatorThread) -> None:
    received = exchange(upstream.url, request(key="sk-sim-accept-no-read"), quiet=0.3)
    assert received == Received(b"", "open")


@pytest.mark.parametrize("script", ["hang", "ttfb=30"])
def test_silent_request_hangs_and_notes_when_the_client_left(upstream: SimulatorThread, script: str) -> None:
    assert scripted(upstream, script, quiet=0.2).raw == b""
    entry = upstream.wait_for(lambda entry: entry.closed_at)
    assert entry.client_gone_at is not None
    assert (entry.completed, entry.closed_by, entry.first_byte_at) == (False, "peer", None)


def test_interim_answers_go_on_forever(upstream: SimulatorThread) -> None:
    with connect(upstream.url) as connection:
        connection.sendall(request(model="m+1xx-forever,gap=1ms"))
        seen = b""
        while seen.count(b"HTTP/1.1 103") < 20:
            seen += connection.recv(4096)
    assert b"200" not in seen


def test_head_drips_byte_by_byte(upstream: SimulatorThread) -> None:
    with connect(upstream.url) as connection:
        connection.sendall(request(model="m+header-drip,gap=5ms"))
        assert len(connection.recv(65536)) < 12


def test_early_answer_does_not_wait_for_the_body(upstream: SimulatorThread) -> None:
    head = post("/v1/chat/completions", b"x" * 1000, key="sk-sim-early").partition(b"x" * 1000)[0]
    with connect(upstream.url) as connection:
        connection.sendall(head)
        received = read_all(connection)
    assert (received.status, received.ended) == (413, "eof")


@pytest.mark.parametrize("count", [0, 20, 900])
def test_reset_after_exactly_so_many_bytes(upstream: SimulatorThread, count: int) -> None:
    scripted(upstream, f"rst@{count}")
    entry = upstream.wait_for(lambda entry: entry.closed_at)
    assert (entry.bytes_written, entry.closed_by, entry.completed) == (count, "us", False)


# heads


def test_huge_head(upstream: SimulatorThread) -> None:
    assert len(scripted(upstream, "header-huge=100k").head) > 100 << 10


def test_conflicting_lengths(upstream: SimulatorThread) -> None:
    first, second = scripted(upstream, "dup-cl", stream=False).header("content-length")
    assert int(second) == int(first) + 1


@pytest.mark.parametrize("stream", [True, False])
def test_length_and_chunks_at_once(upstream: SimulatorThread, stream: bool) -> None:
    received = scripted(upstream, "cl+te", stream=stream)
    assert received.header("content-length")
    assert received.header("transfer-encoding") == ["chunked"]
    assert received.finished


def test_bad_chunk_size(upstream: SimulatorThread) -> None:
    assert b"\r\nzz\r\n" in scripted(upstream, "bad-chunk").raw
    assert b"\r\nzz\r\n" in scripted(upstream, "bad-chunk", stream=False).raw


def test_answer_delimited_by_close(upstream: SimulatorThread) -> None:
    received = exchange(upstream.url, request(model="m+close-delimited"))
    assert received.header("content-length") == received.header("transfer-encoding") == []
    assert received.ended == "eof"
    assert received.data[-1] == "[DONE]"
    assert upstream.wait_for(lambda entry: entry.closed_at).completed


def test_clock_is_off(upstream: SimulatorThread) -> None:
    dates = [scripted(upstream, script).header("date")[0] for script in ("ok", "clock=400d")]
    assert dates[0][12:16] != dates[1][12:16]


# statuses


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("7", "retry-after", "7"),
        ("sec:7", "retry-after", "7"),
        ("neg", "retry-after", "-1"),
        ("huge", "retry-after", "1000000000"),
        ("junk", "retry-after", "soon"),
        ("nan", "retry-after", "NaN"),
        ("ms:250", "retry-after-ms", "250"),
    ],
)
def test_retry_after_in_all_its_forms(
    upstream: SimulatorThread, value: str, name: str, expected: str
) -> None:
    received = scripted(upstream, f"status=429,ra={value}")
    assert (received.status, received.header(name)) == (429, [expected])


def test_retry_after_as_a_date(upstream: SimulatorThread) -> None:
    assert scripted(upstream, "status=429,ra=date:60").header("retry-after")[0].endswith("GMT")


@pytest.mark.parametrize("kind", KINDS)
def test_error_has_the_shape_of_the_protocol(upstream: SimulatorThread, kind: str) -> None:
    error = scripted(upstream, "status=429,code=insufficient_quota,type=special", kind).json["error"]
    assert error["type"] == "special"
    code = error["details"]["error_code"] if kind == "messages" else error["code"]
    assert code == "insufficient_quota"


def test_foreign_pages(upstream: SimulatorThread) -> None:
    gateway = scripted(upstream, "html502=3k")
    assert (gateway.status, len(gateway.body)) == (502, 3 << 10)
    portal = scripted(upstream, "wrong-type")
    assert portal.status == 200
    assert gateway.header("content-type") == portal.header("content-type") == ["text/html; charset=utf-8"]


def test_empty_and_redirected_answers(upstream: SimulatorThread) -> None:
    empty = scripted(upstream, "empty200")
    assert (empty.status, empty.header("content-length"), empty.body) == (200, ["0"], b"")
    moved = scripted(upstream, "redirect=307:http://127.0.0.1:1/v1")
    assert (moved.status, moved.header("location")) == (307, ["http://127.0.0.1:1/v1"])


def test_error_with_status_200(upstream: SimulatorThread) -> None:
    received = scripted(upstream, "error200", stream=False)
    assert (received.status, received.json["error"]["type"]) == (200, "server_error")


def test_types_are_swapped(upstream: SimulatorThread) -> None:
    whole = scripted(upstream, "json-for-sse", stream=True)
    assert whole.header("content-type") == ["application/json"]
    assert whole.json["choices"]
    events = scripted(upstream, "sse-for-json", stream=False)
    assert events.header("content-type") == ["text/event-stream; charset=utf-8"]
    assert events.data[-1] == "[DONE]"


def test_secret_comes_back(upstream: SimulatorThread) -> None:
    key = "sk-very-secret-0123456789"
    plain = scripted(upstream, "echo-secret", key=key)
    packed = scripted(upstream, "echo-secret=b64", key=key)
    split = scripted(upstream, "echo-secret=split", key=key)
    assert key in plain.json["error"]["message"]
    assert base64.b64encode(key.encode()).decode() in packed.json["error"]["message"]
    assert key in split.json["error"]["message"]
    assert key.encode() not in split.raw


def test_headers_come_back(upstream: SimulatorThread) -> None:
    received = scripted(upstream, "echo-headers", stream=False, key="k")
    headers = json.loads(received.json["choices"][0]["message"]["content"])
    assert headers["authorization"] == "Bearer k"
    assert headers["host"] == "sim"


# bodies


def test_gzip_good_broken_and_bomb(upstream: SimulatorThread) -> None:
    good = scripted(upstream, "gzip")
    assert good.header("content-encoding") == ["gzip"]
    assert b"[DONE]" in gzip.decompress(good.body)
    with pytest.raises((zlib.error, OSError, EOFError)):
        gzip.decompress(scripted(upstream, "gzip-broken", stream=False).body)
    bomb = scripted(upstream, "gzip-bomb=8m").body
    assert len(bomb) < 64 << 10
    assert len(gzip.decompress(bomb)) == 8 << 20


@pytest.mark.parametrize("kind", KINDS)
def test_cut_stream_has_so_many_events_and_no_end(upstream: SimulatorThread, kind: str) -> None:
    received = scripted(upstream, "cut@3", kind)
    assert len(received.data) == 3
    assert (received.ended, received.finished) == ("eof", False)
    entry = upstream.wait_for(lambda entry: entry.closed_at)
    assert (entry.events, entry.completed, entry.closed_by) == (3, False, "us")


def test_cut_by_reset(upstream: SimulatorThread) -> None:
    assert scripted(upstream, "cut@3,rst,gap=1ms").ended == "reset"


@pytest.mark.parametrize("stream", [True, False])
def test_cut_at_a_byte(upstream: SimulatorThread, stream: bool) -> None:
    assert len(scripted(upstream, "cut@b100", stream=stream).body) == 100


def test_cut_whole_answer_is_shorter_than_announced(upstream: SimulatorThread) -> None:
    received = scripted(upstream, "cut", stream=False)
    assert 0 < len(received.body) < int(received.header("content-length")[0])


@pytest.mark.parametrize("kind", KINDS)
def test_no_terminal_event_but_a_clean_end(upstream: SimulatorThread, kind: str) -> None:
    assert TERMINAL[kind].encode() in scripted(upstream, "ok", kind).body
    received = scripted(upstream, "no-terminal", kind)
    assert TERMINAL[kind].encode() not in received.body
    assert b"[DONE]" not in received.body
    assert received.finished


def test_done_may_be_left_out_alone(upstream: SimulatorThread) -> None:
    body = scripted(upstream, "no-done").body
    assert b"[DONE]" not in body
    assert b'"finish_reason":"stop"' in body


@pytest.mark.parametrize("kind", KINDS)
def test_done_then_hang(upstream: SimulatorThread, kind: str) -> None:
    received = scripted(upstream, "done-then-hang", kind, quiet=0.3)
    assert TERMINAL[kind].encode() in received.body
    assert (received.ended, received.finished) == ("open", False)


def test_stall(upstream: SimulatorThread) -> None:
    received = scripted(upstream, "stall@2", quiet=0.3)
    assert (received.ended, len(received.data)) == ("open", 2)
    gone = upstream.wait_for(lambda entry: entry.closed_at)
    assert gone.client_gone_at is not None


@pytest.mark.parametrize("kind", KINDS)
def test_error_events(upstream: SimulatorThread, kind: str) -> None:
    first = scripted(upstream, "error-first", kind)
    later = scripted(upstream, "error@4:overloaded_error", kind)
    assert (first.status, len(first.data), len(later.data)) == (200, 1, 5)
    assert b"overloaded_error" in later.body
    assert later.finished


def test_error_first_without_stream_is_an_http_error(upstream: SimulatorThread) -> None:
    assert scripted(upstream, "error-first", "messages", stream=False).status == 529


def test_drip(upstream: SimulatorThread) -> None:
    received = scripted(upstream, "drip=7:1ms", "messages")
    sizes = received.raw.partition(b"\r\n\r\n")[2].split(b"\r\n")[0]
    assert sizes == b"7"
    assert b"message_stop" in received.body


def test_endless_stream_waits_for_its_reader(upstream: SimulatorThread) -> None:
    with connect(upstream.url) as connection:
        connection.sendall(request(model="m+endless,size=4k"))
        connection.recv(1000)
        entry = upstream.wait_for(lambda entry: entry.events > 10)  # what two socket buffers surely hold
        received = sum(len(connection.recv(65536)) for _ in range(200))
    upstream.wait_for(lambda entry: entry.closed_at)
    assert received > 0
    assert entry.bytes_written < 64 << 20  # held back by the socket, not piled up
    assert entry.client_gone_at is not None


def test_numbered_events_of_a_given_size(upstream: SimulatorThread) -> None:
    events = scripted(upstream, "events=1000,size=40").data
    texts = [json.loads(data)["choices"][0]["delta"].get("content") for data in events[:-1]]
    filled = [text for text in texts if text]
    assert len(filled) == 1000
    assert {len(text) for text in filled} == {40}
    assert filled[999].startswith("0000999 ")


def test_bad_bytes_and_bad_json(upstream: SimulatorThread) -> None:
    for stream in (True, False):
        with pytest.raises(UnicodeDecodeError):
            scripted(upstream, "bad-utf8", stream=stream).body.decode()
    data = scripted(upstream, "bad-json@2").data
    json.loads(data[0])
    with pytest.raises(json.JSONDecodeError):
        json.loads(data[1])
    with pytest.raises(json.JSONDecodeError):
        json.loads(scripted(upstream, "bad-json", stream=False).body)


def test_big_event(upstream: SimulatorThread) -> None:
    assert max(map(len, scripted(upstream, "big-event=300k").data)) > 300 << 10


def test_odd_but_legal_streams(upstream: SimulatorThread) -> None:
    plain = scripted(upstream, "ok", "messages").body
    crlf = scripted(upstream, "crlf", "messages").body
    assert b"\r\n\r\n" in crlf
    assert crlf.count(b"\r\n") == crlf.count(b"\n") == plain.count(b"\n")
    assert b"\n" not in scripted(upstream, "cr", "messages").body
    assert scripted(upstream, "bom").body.startswith(b"\xef\xbb\xbfdata:")
    assert scripted(upstream, "multi-data").body.startswith(b"data: {\ndata: ")
    assert scripted(upstream, "comments").body.startswith(b": ")
    assert scripted(upstream, "no-space").body.startswith(b"data:{")


# usage


@pytest.mark.parametrize("kind", KINDS)
def test_usage_spoiled(upstream: SimulatorThread, kind: str) -> None:
    assert scripted(upstream, "usage=none", kind, stream=False).json.get("usage") is None
    assert min(_numbers(scripted(upstream, "usage=neg", kind, stream=False).json["usage"])) < 0
    assert max(_numbers(scripted(upstream, "usage=huge", kind, stream=False).json["usage"])) == 10**18
    assert scripted(upstream, "usage=dup", kind, stream=False).body.count(b'"usage":') == 2


def _numbers(usage: dict[str, object]) -> list[int]:
    return [value for value in usage.values() if isinstance(value, int)]


def test_journal_knows_the_bill(upstream: SimulatorThread) -> None:
    received = scripted(upstream, "cache=5:6:7", "messages", stream=False)
    assert upstream.journal[-1].usage == received.json["usage"]


# steering


def test_sources_of_scripts_add_up_and_ok_forgives(upstream: SimulatorThread) -> None:
    upstream.script(["status=503", "ok"], key="sk-sim-status=429#second")
    statuses = [ask(upstream.url, key="sk-sim-status=429#second").status for _ in range(3)]
    assert statuses == [503, 200, 429]
    assert ask(upstream.url, key="sk-sim-hdr=x-extra:1", model="m+status=402").header("x-extra") == ["1"]


def test_queue_serves_the_key_first_and_leaves_other_paths(upstream: SimulatorThread) -> None:
    upstream.script(["status=500"])
    upstream.script(["status=401"], key="a")
    upstream.script(["status=403"], path="/models")
    assert ask(upstream.url, key="a").status == 401
    assert ask(upstream.url, key="a").status == 500
    get = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert exchange(upstream.url, get).status == 403
    assert exchange(upstream.url, get).status == 200


def test_unknown_word_is_named(upstream: SimulatorThread) -> None:
    received = scripted(upstream, "statsu=429")
    assert received.status == 400
    assert "'statsu'" in received.json["error"]["message"]
