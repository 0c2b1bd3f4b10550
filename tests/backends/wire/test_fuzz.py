"""Damaged requests, answers and streams: only the typed errors come out, and every stream has one end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.wire.conversation import (
    Alive,
    Began,
    CannotCarry,
    Closed,
    Ended,
    Event,
    Failed,
    Lost,
    Opened,
    Piece,
    Unreadable,
)
from backends.wire.splice import BadBody
from backends.wire.target import Names
from tests.backends.wire import official
from tests.backends.wire.case_files import all_cases, encoded
from tests.backends.wire.pairs import PACKAGES, TARGETS, ask, every, writer
from tests.backends.wire.replies import read_stream, write_stream
from tests.backends.wire.strategies import damaged, json_values

many = settings(
    max_examples=settings().max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def _of(side: str, field: str, protocol: str) -> list[Any]:
    return [case[field] for case in all_cases() if case[side] == protocol and case[field]]


@every
@many
@given(data=st.data())
def test_a_damaged_request_is_refused_by_name_or_served(protocol: str, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(_of("client", "request", protocol)))
    body = json.dumps(data.draw(damaged(whole) | json_values)).encode()
    try:
        talk = PACKAGES[protocol].parse_request(body)
    except (BadBody, CannotCarry):
        return
    for backend in PACKAGES.keys() - {protocol}:
        lost = Lost()
        try:
            built = PACKAGES[backend].build_request(talk, TARGETS[backend], lost)
        except CannotCarry:
            continue
        assert json.loads(built.body)["model"] == TARGETS[backend].model
        assert [path for path in lost.paths if not path.startswith("$.")] == []


@every
@many
@given(data=st.data())
def test_a_damaged_answer_is_unreadable_or_told(protocol: str, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(_of("backend", "reply", protocol)))
    body = json.dumps(data.draw(damaged(whole) | json_values)).encode()
    try:
        reply = PACKAGES[protocol].parse_response(body, Names())
    except Unreadable:
        return
    for client in PACKAGES.keys() - {protocol}:
        official.check_answer(client, PACKAGES[client].build_response(reply, ask(client)))


@every
@many
@given(data=st.data())
def test_a_damaged_stream_has_one_end_and_whole_blocks(protocol: str, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(_of("backend", "stream", protocol)))
    stream = encoded([item for item in data.draw(damaged(whole)) if isinstance(item, dict | str)])
    events = read_stream(PACKAGES[protocol].StreamReader(Names()), stream)
    _well_formed(events)
    for client in PACKAGES.keys() - {protocol}:
        official.check_events(client, _told(client, events))


def _told(client: str, events: list[Event]) -> bytes:
    """As much as the SDK has types for: an error event has none."""
    is_good = isinstance(events[-1], Ended)
    stream = write_stream(writer(client), events if is_good else events[:-1])
    if not is_good:
        assert write_stream(writer(client), events)
    return stream


def _well_formed(events: list[Event]) -> None:
    spoken = [event for event in events if not isinstance(event, Alive)]
    assert isinstance(spoken[-1], Ended | Failed)
    assert sum(isinstance(event, Ended | Failed) for event in spoken) == 1
    assert [at for at, event in enumerate(spoken) if isinstance(event, Began)] in ([0], [])
    opened, index = False, -1
    for event in spoken:
        if isinstance(event, Opened):
            assert not opened
            assert event.index == index + 1
            opened, index = True, event.index
        elif isinstance(event, Piece | Closed):
            assert opened
            assert event.index == index
            opened = not isinstance(event, Closed)
    assert not opened or isinstance(spoken[-1], Failed)


@every
@many
@given(status=st.integers(400, 599), value=json_values, raw=st.binary(max_size=40))
def test_an_error_is_always_understood(protocol: str, status: int, value: Any, raw: bytes) -> None:
    package = PACKAGES[protocol]
    for body in (raw, json.dumps(value).encode(), json.dumps({"error": value}).encode()):
        error = package.parse_error(status, body)
        assert 400 <= error.status <= 599
        assert error.message


@every
@many
@given(raw=st.binary(max_size=200), cuts=st.lists(st.integers(1, 200), max_size=5))
def test_bytes_that_mean_nothing_end_a_stream_as_a_failure(
    protocol: str, raw: bytes, cuts: list[int]
) -> None:
    events = read_stream(PACKAGES[protocol].StreamReader(Names()), raw, cuts)
    assert isinstance(events[-1], Failed)
    _well_formed(events)


@every
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"a":' * 5_000]
)
def test_a_body_that_is_no_object_is_refused(protocol: str, body: bytes) -> None:
    with pytest.raises(BadBody):
        PACKAGES[protocol].parse_request(body)
    with pytest.raises(Unreadable):
        PACKAGES[protocol].parse_response(body, Names())
