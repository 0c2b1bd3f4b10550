"""The parsers alone: what holds for every input, however it is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_site.server.body import ChunkedBody, LengthBody
from router_site.server.limits import Limits
from router_site.server.parsing import Refused, guess_request, parse_head

LIMITS = Limits(max_body=10_000)
pieces = st.lists(st.binary(max_size=50), max_size=20)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at these places (taken modulo its length)."""
    marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%X;x=y\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


@given(pieces, st.lists(st.integers(0, 5000)), st.binary(max_size=30))
def test_chunked_body_comes_out_whole_however_it_is_cut(
    parts: list[bytes], places: list[int], after: bytes
) -> None:
    body, rest = ChunkedBody(LIMITS), None
    for data in cut(chunked(parts) + after, places):
        rest = body.feed(data) if rest is None else rest + data
    assert body.value() == b"".join(parts)
    assert rest == after


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 400)), st.binary(max_size=30))
def test_body_of_a_length_comes_out_whole_however_it_is_cut(
    whole: bytes, places: list[int], after: bytes
) -> None:
    body, rest = LengthBody(len(whole)), None
    for data in cut(whole + after, places):
        rest = body.feed(data) if rest is None else rest + data
    assert body.value() == whole
    assert rest == after


@given(st.binary(max_size=200), st.lists(st.integers(0, 400)))
def test_verdict_on_chunks_does_not_depend_on_the_cuts(data: bytes, places: list[int]) -> None:
    def verdict(parts: list[bytes]) -> object:
        body, rest = ChunkedBody(LIMITS), None
        try:
            for part in parts:
                if rest is not None:
                    break
                rest = body.feed(part)
        except Refused as refused:
            return refused.refusal.status
        return rest is not None and body.value()

    assert verdict(cut(data, places)) == verdict([data])


@given(st.integers(1, 20_000))
def test_chunked_body_never_exceeds_the_limit(size: int) -> None:
    body = ChunkedBody(LIMITS)
    data = b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"
    if size <= LIMITS.max_body:
        assert body.feed(data) == b""
        return
    with pytest.raises(Refused) as refused:
        body.feed(data)
    assert refused.value.refusal.status == 413


@given(st.binary(max_size=400))
def test_any_bytes_are_a_head_or_a_refusal(block: bytes) -> None:
    try:
        head = parse_head(block, LIMITS)
    except Refused as refused:
        status, path = refused.refusal.status, b"/"
    else:
        status, path = 200, head.raw_path
    assert status in (200, 400, 414, 417, 431)
    assert path.startswith(b"/") or path == b"*"


names = st.from_regex(rb"[A-Za-z][A-Za-z-]{0,10}", fullmatch=True).map(lambda name: b"x-" + name)
values = st.binary(max_size=20).map(
    lambda value: bytes(byte for byte in value if 32 < byte < 127 or byte in b" \t")
)


@given(st.lists(st.tuples(names, values), max_size=10))
def test_headers_come_out_as_sent(headers: list[tuple[bytes, bytes]]) -> None:
    lines = [b"POST /a?b HTTP/1.1", b"Host: t", *[name + b":" + value for name, value in headers]]
    head = parse_head(b"\r\n".join(lines), LIMITS)
    expected = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    assert head.headers == [(b"host", b"t"), *expected]
    assert (head.method, head.raw_path, head.query) == ("POST", b"/a", b"b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"POST /v1/messages?x HTTP/1.1\r\nHo", ("POST", b"/v1/messages")),
        (b"POST /v1/messages ", ("POST", b"/v1/messages")),
        (b"POST /v1/mess", ("", b"")),
        (b"\x16\x03\x01", ("", b"")),
        (b"", ("", b"")),
    ],
)
def test_request_is_guessed_only_as_far_as_it_is_clear(text: bytes, expected: tuple[str, bytes]) -> None:
    assert guess_request(text) == expected
