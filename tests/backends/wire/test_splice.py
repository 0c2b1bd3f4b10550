"""One look at a body: what is refused, where the model stands, and edits that touch nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.splice import BadBody, json_string, peek, splice

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields).encode()


def raw(name: str, value: bytes) -> bytes:
    return CHAT[:-1] + b',"' + name.encode() + b'":' + value + b"}"


def refused(kind: Kind, content: bytes) -> BadBody:
    with pytest.raises(BadBody) as caught:
        peek(kind, content)
    assert caught.value.message.endswith(".")
    return caught.value


def test_tells_model_span_and_stream() -> None:
    content = b' { "x" : {"model":"no"} , "model" :\n "gpt-4" , "messages":[], "stream":true } '
    found = peek(Kind.CHAT, content)
    assert (found.model, found.stream, found.kind) == ("gpt-4", True, Kind.CHAT)
    assert found.model_span is not None
    assert content[slice(*found.model_span)] == b'"gpt-4"'


@pytest.mark.parametrize(
    ("content", "say"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"5", "not a JSON object"),
        (b"\xef\xbb\xbf" + CHAT, "byte order mark"),
        (CHAT.decode().encode("utf-16"), "UTF-8"),
        (CHAT.decode().encode("utf-16-be"), "UTF-8"),
        (CHAT.decode().encode("utf-32-le"), "UTF-8"),
        (raw("x", b'"\xff"'), "UTF-8"),
        (raw("x", b'"\xc0\xaf"'), "UTF-8"),
        (raw("x", b'"\xe2\x82"'), "UTF-8"),
        (raw("x", b'"' + b"\xe2\x82\xac" * 30_000 + b'\xe2\x82"'), "UTF-8"),
        (raw("x", b'"\xed\xa0\x80"'), "UTF-8"),
        (raw("x", b"NaN"), "not valid JSON"),
        (raw("x", b"[-Infinity]"), "not valid JSON"),
        (raw("x", b'"a\nb"'), "not valid JSON"),
        (raw("x", b'"\x00"'), "not valid JSON"),
        (raw("x", b"01"), "not valid JSON"),
        (raw("x", b'"\\ud800"'), "surrogate"),
        (raw("x", b'"\\ud800 and some more text"'), "surrogate"),
        (CHAT[:-1], "not valid JSON"),
        (CHAT + b"}", "not valid JSON"),
        (CHAT + CHAT, "not valid JSON"),
        (CHAT[:-1] + b",}", "not valid JSON"),
        (raw("x", b"[" * 128 + b"]" * 128), "deeper than 128"),
        (raw("x", b'{"a":' * 128 + b"1" + b"}" * 128), "deeper than 128"),
        (raw("x", b"[" * 100_000 + b"]" * 100_000), "deep"),
        (raw("x", b"[" * 100_000), "deep"),
        (raw("x", b"[" + b'{"model":1},' * 10_001 + b"1]"), "10,000"),
    ],
)
def test_a_body_that_is_no_plain_json_object_is_refused(content: bytes, say: str) -> None:
    assert say in refused(Kind.CHAT, content).message


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'{"messages":[]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":5,"messages":[]}', "model"),
        (b'{"model":null,"messages":[]}', "model"),
        (b'{"model":"","messages":[]}', "model"),
        (b'{"model":"a\\u0000b","messages":[]}', "model"),
        ('{"model":"a\u202eb","messages":[]}'.encode(), "model"),
        (b'{"model":"' + b"x" * 201 + b'","messages":[]}', "model"),
        (b'{"model":"a","messages":[],"model":"b"}', "model"),
        (b'{"model":"a","messages":[],"mod\\u0065l":"b"}', "model"),
        (b'{"\\u006D\\u006f\\u0064\\u0065\\u006C":"a","messages":[],"model":"b"}', "model"),
        (b'{"model":"a","messages":{}}', "messages"),
        (b'{"model":"a","messages":"hi"}', "messages"),
        (b'{"model":"a","messages":null}', "messages"),
        (b'{"model":"a","messages":[[]]}', "messages[0]"),
        (b'{"model":"a","messages":[{"role":"user"},{}]}', "messages[1].role"),
        (b'{"model":"a","messages":[{"role":null}]}', "messages[0].role"),
        (raw("stream", b'"true"'), "stream"),
        (raw("stream", b"1"), "stream"),
        (raw("max_tokens", b"-1"), "max_tokens"),
        (raw("max_tokens", b"0"), "max_tokens"),
        (raw("max_tokens", b'"1"'), "max_tokens"),
        (raw("max_tokens", b"true"), "max_tokens"),
        (raw("max_tokens", b"1.5"), "max_tokens"),
        (raw("max_tokens", b"9223372036854775808"), "max_tokens"),
        (raw("max_tokens", b"18446744073709551616"), "max_tokens"),
        (raw("max_tokens", b"9" * 5000), "max_tokens"),
        (raw("max_tokens", b"1e999"), "max_tokens"),
        (raw("max_completion_tokens", b"-5"), "max_completion_tokens"),
        (raw("n", b"[]"), "n"),
        (raw("temperature", b'"hot"'), "temperature"),
        (raw("temperature", b"true"), "temperature"),
        (raw("temperature", b"1e999"), "temperature"),
        (raw("temperature", b"9" * 5000), "temperature"),
        (raw("top_p", b"{}"), "top_p"),
        (raw("tools", b"{}"), "tools"),
        (raw("tools", b'"x"'), "tools"),
        (raw("tool_choice", b"[]"), "tool_choice"),
        (raw("stop", b"5"), "stop"),
        (raw("stop", b'["a",5]'), "stop[1]"),
        (raw("response_format", b'"json"'), "response_format"),
        (raw("stream_options", b"[]"), "stream_options"),
    ],
)
def test_a_wrong_field_is_named(content: bytes, field: str) -> None:
    error = refused(Kind.CHAT, content)
    assert error.field == field
    assert field in error.message


@pytest.mark.parametrize(
    ("kind", "content", "field"),
    [
        (Kind.MESSAGES, raw("system", b"{}"), "system"),
        (Kind.MESSAGES, raw("stop_sequences", b'"x"'), "stop_sequences"),
        (Kind.MESSAGES, raw("thinking", b"true"), "thinking"),
        (Kind.MESSAGES, raw("metadata", b"[]"), "metadata"),
        (Kind.MESSAGES, raw("top_k", b"1.5"), "top_k"),
        (Kind.COUNT_TOKENS, b'{"model":"m"}', "messages"),
        (Kind.COUNT_TOKENS, b'{"model":"m","messages":[],"metadata":"x"}', "metadata"),
        (Kind.RESPONSES, b'{"model":"m"}', "input"),
        (Kind.RESPONSES, b'{"model":"m","input":null}', "input"),
        (Kind.RESPONSES, b'{"model":"m","input":{}}', "input"),
        (Kind.RESPONSES, b'{"model":"m","input":["x"]}', "input[0]"),
        (Kind.RESPONSES, b'{"model":"m","input":[{},{"role":5}]}', "input[1].role"),
        (Kind.RESPONSES, b'{"model":"m","input":"x","max_output_tokens":-1}', "max_output_tokens"),
        (Kind.RESPONSES, b'{"model":"m","input":"x","instructions":[]}', "instructions"),
        (Kind.EMBEDDINGS, b'{"model":"m"}', "input"),
        (Kind.EMBEDDINGS, b'{"model":"m","input":5}', "input"),
        (Kind.EMBEDDINGS, b'{"model":"m","input":"x","dimensions":0}', "dimensions"),
        (Kind.COMPLETIONS, b'{"model":"m"}', "prompt"),
        (Kind.COMPLETIONS, b'{"model":"m","prompt":{}}', "prompt"),
    ],
)
def test_each_kind_knows_its_fields(kind: Kind, content: bytes, field: str) -> None:
    assert refused(kind, content).field == field


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (Kind.MESSAGES, body(max_tokens=0, system=[], stop_sequences=["a"], tools=[], thinking={}, top_k=5)),
        (Kind.CHAT, body(max_tokens=None, stop="x", tool_choice="auto", temperature=1, stream=None)),
        (
            Kind.CHAT,
            body(max_tokens=2**63 - 1, stop=["x"], tool_choice={}, n=2, unknown={"a": [1.5]}, top_p=0.5),
        ),
        (Kind.RESPONSES, b'{"model":"m","input":[{"content":"x"}],"client_metadata":{}}'),
        (Kind.RESPONSES, b'{"model":"m","input":[{"role":null,"content":5},{"type":"reasoning"}]}'),
        (Kind.RESPONSES, b'{"model":"m","input":[],"prompt_cache_key":5}'),
        (Kind.RESPONSES, b'{"model":"m","previous_response_id":"r"}'),
        (Kind.RESPONSES, b'{"model":"m","prompt":{"id":"p"}}'),
        (Kind.RESPONSES, b'{"model":"m","conversation":"c"}'),
        (Kind.EMBEDDINGS, b'{"model":"m","input":[[1,2],[3]],"encoding_format":"base64"}'),
        (Kind.COMPLETIONS, b'{"model":"m","prompt":"x","max_tokens":0,"echo":true}'),
        (Kind.CHAT, raw("x", b"[" * 127 + b"]" * 127)),
        (Kind.CHAT, raw("x", b'"' + b"[" * 1000 + b'\\"{{\\\\"')),
        (Kind.CHAT, raw("x", b"1e999")),
        (Kind.CHAT, raw("x", '"\u20ac\\ud83d\\ude00"'.encode())),
        (Kind.CHAT, raw("x", b'"' + "\u20ac".encode() * 50_000 + b'"')),
    ],
)
def test_good_bodies_pass(kind: Kind, content: bytes) -> None:
    assert peek(kind, content).model == "m"


def test_what_a_user_wrote_is_not_shown() -> None:
    found = peek(Kind.RESPONSES, b'{"model":"m","input":"a secret plan"}')
    assert found.clues.opening == "a secret plan"
    assert "secret" not in repr(found)


def test_the_model_may_be_absent_when_it_is_not_required() -> None:
    found = peek(Kind.CHAT, b'{"messages":[],"x":{"model":"y"}}', model_required=False)
    assert (found.model, found.model_span) == (None, None)
    with pytest.raises(BadBody):
        peek(Kind.CHAT, b'{"messages":[],"model":5}', model_required=False)


texts = st.text(st.characters(exclude_categories=["Cs"]))
tricky = st.sampled_from(["model", '"model"', '","model":"x', "\\", '\\"', '{"model":1}', "[[{"])
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
keys = st.sampled_from(["model", "a", 'x"', "\\", "messages"]) | st.text('abc\\"{', max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts | tricky,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=15,
)
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
other_keys = st.text('abcmodel\\"', max_size=6).filter(lambda key: key != "model")


@given(
    st.dictionaries(other_keys, json_values, max_size=5),
    st.dictionaries(st.text('xyz\\"', max_size=6), json_values, max_size=5),
    names,
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
def test_the_span_is_exact_wherever_else_the_word_stands(
    before: dict[str, object], after: dict[str, object], model: str, ascii_only: bool, indent: object
) -> None:
    known = ("messages", "input", "stream", "n", "stop", "tools", "text")
    fields = {key: value for key, value in before.items() if key not in known} | {"model": model}
    fields |= {key: value for key, value in after.items() if key not in fields} | {"messages": []}
    content = json.dumps(fields, ensure_ascii=ascii_only, indent=indent).encode()
    found = peek(Kind.CHAT, content)
    assert found.model == model
    assert found.model_span is not None
    start, end = found.model_span
    assert json.loads(content[start:end]) == model
    edited = splice(content, [(start, end, json_string("other"))])
    assert edited[:start] + content[start:end] + edited[start + len(b'"other"') :] == content
    assert json.loads(edited) == fields | {"model": "other"}


@given(st.integers(1, 200), st.integers(1, 3))
def test_depth_is_counted_exactly(depth: int, repeat: int) -> None:
    nest = b"[" * (depth - 1) + b'"]]\\""' + b"]" * (depth - 1)
    content = raw("x", b"[" + b",".join([b'{"k":[]}'] * 100 + [nest] * repeat) + b"]")
    if depth + 1 > 128:
        assert "deeper than 128" in refused(Kind.CHAT, content).message
    else:
        assert peek(Kind.CHAT, content).model == "m"


def test_pieces_of_a_large_body_may_end_anywhere() -> None:
    for shift in range(8):
        filler = b"x" * (64 * 1024 - 100 + shift)
        content = b'{"a":"' + filler + b'\\\\\\"' * 60 + b'","b":"\\\\","model":"here","messages":[]}'
        found = peek(Kind.CHAT, content)
        assert found.model_span is not None
        assert content[slice(*found.model_span)] == b'"here"'


def test_edits_keep_every_other_byte() -> None:
    assert splice(b"abcdef", [(4, 5, b"E"), (0, 1, b""), (2, 2, b"--")]) == b"b--cdEf"
    assert splice(b"abc", []) == b"abc"


@pytest.mark.parametrize("edits", [[(0, 3, b""), (2, 4, b"")], [(3, 2, b"")], [(0, 99, b"")], [(-1, 1, b"")]])
def test_edits_that_make_no_sense_are_refused(edits: list[tuple[int, int, bytes]]) -> None:
    with pytest.raises(ValueError, match="edit"):
        splice(b"abcdef", edits)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_string_is_a_json_string(text: str) -> None:
    assert json.loads(json_string(text)) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_either_peeked_or_refused(noise: bytes) -> None:
    for content in (noise, CHAT[:-1] + noise, CHAT[:40] + noise + CHAT[40:]):
        try:
            found = peek(Kind.CHAT, content)
        except BadBody:
            continue
        assert json.loads(content)["model"] == found.model
