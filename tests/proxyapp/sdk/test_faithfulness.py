"""The direct lane changes nothing: the same bytes up and the same bytes down, however oddly they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.desk import add_backends
from tests.patchbay import Patchbay
from tests.proxyapp.sdk.byte_server import ByteServer
from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, UPSTREAM_KEY

PATHS = ["/v1/messages", "/v1/chat/completions"]
PLAIN = {
    "/v1/messages": b'{"type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":1}}',
    "/v1/chat/completions": b'{"object":"chat.completion","choices":[]}',
}
FINISHED = {
    "/v1/messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    "/v1/chat/completions": b"data: [DONE]\n\n",
}
ODD_BODIES = [
    b'  \r\n\t{ "messages" :[ {"role":"user","content":"ping"}]  ,\n"model"\t:\r\n "m"   , "max_tokens":1 }  \n ',
    b'{"max_tokens":1,"zzz":{"model":"not this one","b":[1.0e+02,-0.0,1E5]},"model":"m","messages":[{"role":"user",'
    b'"content":"\\u0041\\ud83d\\ude00 \\/ \\u006d"}]}',
    '{"max_tokens":1,"messages":[{"role":"user","content":"ключ 😀 \u2028 \ufeff"}],"model":"m"}'.encode(),
    b'{"messages":[{"content":"a","content":"b","role":"user"}],"model":"m","max_tokens":1,"seed":12345678901234567890,'
    b'"temperature":0.10000000000000000555}',
    b'{"model":"\\u006d","max_tokens":1,"messages":[{"role":"user","content":"ping"}],"x":"\\"model\\":\\"y\\""}',
]


@pytest.fixture(scope="module")
def bytes_upstream() -> Iterator[ByteServer]:
    with ByteServer() as running:
        yield running


@pytest.fixture(scope="module")
def faithful(bytes_upstream: ByteServer) -> Iterator[Patchbay]:
    """A Patchbay whose two backends are one byte server; each protocol is the default of its path."""
    with Patchbay() as running:
        add_backends(
            running,
            {"name": "openai", "base": f"{bytes_upstream.url}/v1", "key": UPSTREAM_KEY},
            {"name": "anthropic", "base": bytes_upstream.url, "key": UPSTREAM_KEY},
        )
        yield running


def ask(patchbay: Patchbay, upstream: ByteServer, path: str, body: bytes) -> bytes:
    """Send `body` as it is; returns the answer's body, and leaves what went up as the last of `upstream.bodies`."""
    upstream.answer, upstream.content_type = [PLAIN[path]], "application/json"
    answer = patchbay.post(path, body)
    assert answer.status == 200, answer.body
    return answer.body


def prefixed(path: str) -> bytes:
    """The prefix that names the backend of a path."""
    return b"anthropic:" if path == "/v1/messages" else b"openai:"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", ODD_BODIES)
def test_an_oddly_written_request_differs_upstream_by_the_renamed_model_alone(
    faithful: Patchbay, bytes_upstream: ByteServer, path: str, body: bytes
) -> None:
    written = b'"\\u006d"' if b'"\\u006d"' in body else b'"m"'
    assert body.count(written) == 1
    ask(faithful, bytes_upstream, path, body.replace(written, b'"%bm"' % prefixed(path)))
    assert bytes_upstream.bodies[-1] == body.replace(written, b'"m"')


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/messages",
            b' {"max_tokens" : 1,"messages":[ {"role":"user","content":[]}],"model":"claude-opus-4-8",'
            b' "new_field":{"a":[]} }\n\n',
        ),
        (
            "/v1/chat/completions",
            b'{"model" :"gpt-4o","messages":[{"role":"user","content":"a"}], "a":null,"a":1e0}   ',
        ),
        (
            "/v1/chat/completions?api-version=2026-01-01&x=%2F%20",
            b'{"messages":[{"role":"user","content":"a"}],"model":"\\u0067pt-4o"}',
        ),
    ],
)
def test_without_a_rename_not_a_byte_is_changed(
    faithful: Patchbay, bytes_upstream: ByteServer, path: str, body: bytes
) -> None:
    bytes_upstream.answer = [PLAIN[path.partition("?")[0]]]
    bytes_upstream.content_type = "application/json"
    answer = faithful.post(path, body)
    assert answer.status == 200, answer.body
    assert "x-patchbay-mutations" not in answer.headers
    assert bytes_upstream.bodies[-1] == body
    assert bytes_upstream.queries[-1] == path.partition("?")[2]


ODD_ANSWERS = {
    "/v1/messages": [
        b' { "type" :"message","content":[ {"type":"text","text":"\\u0041\xc3\xa9"}],"usage":null,"new":1.0 }\r\n\n ',
        b'{"content":[],"a":{"a":1},"a":2}',
    ],
    "/v1/chat/completions": [
        b'\n{"choices":[],  "model":"\\u0067pt","usage":{"prompt_tokens":1e0},"x":[\t]}\n',
        b'{"choices" :[{"message":{"content":"\xf0\x9f\x98\x80"}}]}  ',
    ],
}


@pytest.mark.parametrize(("path", "body"), [(path, body) for path in PATHS for body in ODD_ANSWERS[path]])
def test_an_oddly_written_answer_comes_back_as_it_was_sent(
    faithful: Patchbay, bytes_upstream: ByteServer, path: str, body: bytes
) -> None:
    bytes_upstream.answer, bytes_upstream.content_type = (
        [body[:5], body[5:]],
        "application/json; charset=utf-8",
    )
    answer = faithful.post(path, {"model": model_of(path), "max_tokens": 1, "messages": ASK})
    assert answer.status == 200, answer.body
    assert answer.body == body
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def model_of(path: str) -> str:
    """A model that the built-in rules send to the path's own backend."""
    return CLAUDE if path == "/v1/messages" else GPT


ODD_EVENTS = [
    b": a comment\r\n\r\n",
    b"\n\n\n",
    b'id: 7\nretry: 10\nevent:message\ndata:{"type" : "new_event",\n',
    b'data: "x":"\\u0041\xc3\xa9 "}\n\n',
    b'event: content_block_delta\r\ndata: {"type":"content_block_delta","choices":[{"delta":{"content":"a"},'
    b'"index":0}],"delta":{"type":"text_delta","text":"a"}, "zz":1.0}\r\n\r\n',
    b"unknown: field\n\n",
    b"data: not json at all\n\n",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_an_oddly_written_stream_comes_back_as_it_was_sent(
    faithful: Patchbay, bytes_upstream: ByteServer, path: str, size: int
) -> None:
    whole = b"".join(ODD_EVENTS) + FINISHED[path] + b": after the end\n\n"
    bytes_upstream.answer = [whole[at : at + size] for at in range(0, len(whole), size)]
    bytes_upstream.content_type = "text/event-stream"
    body = {"model": model_of(path), "max_tokens": 1, "messages": ASK, "stream": True}
    answer = faithful.post(path, body)
    assert answer.status == 200, answer.body
    assert answer.body == whole


SPACE = st.text(" \t\r\n", max_size=3)
NAMES = st.text(max_size=5).filter(lambda name: name not in {"model", "messages", "max_tokens", "stream"})
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def odd_bodies(draw: st.DrawFn) -> tuple[str, str]:
    """A chat body with a hole `%s` where the model stands, and how its model is written before it goes up."""
    fields = [("messages", '[{"role":"user","content":"ping"}]'), ("model", "%s")]
    for name, value in draw(st.dictionaries(NAMES, VALUES, max_size=4)).items():
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.integers(0, 2)))
        fields.append((name, text.replace("%", "%%")))
    members = [
        f"{draw(SPACE)}{json.dumps(name).replace('%', '%%')}{draw(SPACE)}:{draw(SPACE)}{text}{draw(SPACE)}"
        for name, text in draw(st.permutations(fields))
    ]
    return draw(SPACE) + "{" + ",".join(members) + "}" + draw(SPACE), draw(st.sampled_from(["gpt-4o", "o3"]))


@settings(
    max_examples=settings().max_examples,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(written=odd_bodies(), renamed=st.booleans())
def test_whatever_json_a_client_writes_goes_up_unchanged(
    faithful: Patchbay, bytes_upstream: ByteServer, written: tuple[str, str], renamed: bool
) -> None:
    template, model = written
    sent = template % json.dumps(f"openai:{model}" if renamed else model)
    ask(faithful, bytes_upstream, "/v1/chat/completions", sent.encode("utf-8", "surrogatepass"))
    assert bytes_upstream.bodies[-1] == (template % json.dumps(model)).encode()
