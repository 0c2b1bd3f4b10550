"""Events come out the same however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.sse import SseEvent, SseReader, SseTooLong, encode_event

STREAMS = {
    "named": (b"event: ping\ndata: {}\n\nevent: x\ndata: 1\n\n", [(b"ping", b"{}"), (b"x", b"1")]),
    "data only": (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "crlf": (b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [(b"x", b"a"), (b"", b"b")]),
    "lone cr": (b"event: x\rdata: a\r\rdata: b\r\r", [(b"x", b"a"), (b"", b"b")]),
    "mixed line ends": (
        b"event: x\r\ndata: a\n\r\ndata: b\r\n\ndata: c\r\r\n",
        [(b"x", b"a"), (b"", b"b"), (b"", b"c")],
    ),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    "second mark is a field": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [(b"", b"b")]),
    "comments": (b": hello\n\n:\n\ndata: a\n: inside\ndata: b\n\n", [(b"", b"a\nb")]),
    "no space": (b"event:x\ndata:a\n\n", [(b"x", b"a")]),
    "one space of two": (b"data:  a\n\n", [(b"", b" a")]),
    "many data lines": (b"data: a\ndata\ndata:b\n\n", [(b"", b"a\n\nb")]),
    "ignored fields": (b"id: 1\x00\nretry: 5\nother: x\nnonsense\ndata: a\n\n", [(b"", b"a")]),
    "name after data": (b"data: a\nevent: x\n\n", [(b"x", b"a")]),
    "last name counts": (b"event: x\nevent: y\ndata: a\n\n", [(b"y", b"a")]),
    "name alone is no event": (b"event: x\n\ndata: a\n\n", [(b"", b"a")]),
    "empty data": (b"data:\n\n", [(b"", b"")]),
    "blank lines": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [(b"", b"a"), (b"", b"b")]),
    "not utf-8": (b"data: \xff\xfe\n\n", [(b"", b"\xff\xfe")]),
    "cut at the end": (b"data: a\n\ndata: b\n", [(b"", b"a")]),
    "field names are whole": (b"datax: a\n\ndata : b\n\ndata: c\n\n", [(b"", b"c")]),
}


def read(chunks: list[bytes]) -> list[tuple[bytes, bytes]]:
    reader = SseReader()
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return [(event.name, event.data) for event in events + reader.close()]


@pytest.mark.parametrize("name", STREAMS)
def test_reads_every_form(name: str) -> None:
    stream, events = STREAMS[name]
    assert read([stream]) == events


@pytest.mark.parametrize("name", STREAMS)
def test_every_split_into_two_and_single_bytes_give_the_same_events(name: str) -> None:
    stream, events = STREAMS[name]
    assert read([stream[i : i + 1] for i in range(len(stream))]) == events
    for cut in range(len(stream) + 1):
        assert read([stream[:cut], b"", stream[cut:]]) == events


@given(st.lists(st.sampled_from([stream for stream, _ in STREAMS.values()])), st.data())
def test_random_splits_give_the_same_events(streams: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(streams)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(chunks) == read([stream])


@given(st.binary(), st.lists(st.integers(0, 40)))
def test_any_bytes_are_read_alike_in_any_chunks(noise: bytes, sizes: list[int]) -> None:
    stream = noise.replace(b"\x00", b"\n").replace(b"\x01", b"\r").replace(b"\x02", b"data:")
    chunks, at = [], 0
    for size in sizes:
        chunks.append(stream[at : at + size])
        at += size
    assert read([*chunks, stream[at:]]) == read([stream])


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_encoding_and_reading_are_inverse(pairs: list[tuple[bytes, bytes]]) -> None:
    events = [
        (name.replace(b"\n", b"").replace(b"\r", b""), data.replace(b"\r", b"\n")) for name, data in pairs
    ]
    stream = b"".join(encode_event(data, name) for name, data in events)
    assert read([b"\n" + stream]) == events


def test_a_name_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        encode_event(b"", b"a\nb")


def test_tells_what_is_pending() -> None:
    reader = SseReader()
    reader.feed(b"data: a\n\nevent: x\r\ndat")
    assert reader.pending == b"event: x\ndat"
    reader.feed(b"a: 1\r\n\r\n")
    assert reader.pending == b""


def test_a_large_event_in_single_bytes_arrives_whole() -> None:
    line = b"x" * 300_000
    assert read([bytes([byte]) for byte in b"data: " + line + b"\n\n"]) == [(b"", line)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_over_the_limit_is_refused_and_memory_stays_bounded(size: int) -> None:
    reader = SseReader(limit=100)
    stream = b"data: ok\n\n" + b"data: " + b"x" * 200 + b"\n\n"
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    with pytest.raises(SseTooLong):
        feed_all(reader, chunks)
    for _ in range(10):
        with pytest.raises(SseTooLong):
            reader.feed(b"x" * 50)
    assert len(reader.pending) <= 100 + size


def feed_all(reader: SseReader, chunks: list[bytes]) -> None:
    for chunk in chunks:
        reader.feed(chunk)


def test_an_event_of_exactly_the_limit_passes() -> None:
    assert SseReader(limit=106).feed(b"data: " + b"x" * 100 + b"\n\n") == [SseEvent(b"", b"x" * 100)]
