"""Targets behind the gate: bodies, streams, headers, templates, redaction and the other texts that strangers write."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
from types import ModuleType

from backends.wire.controls import visible, visible_utf8
from backends.wire.conversation import Alive, CannotCarry, Ended, Event, Failed, Lost, Unreadable
from backends.wire.errors import read_error
from backends.wire.kinds import Kind
from backends.wire.limits import read_limits
from backends.wire.redaction import BUILTIN, RuleSet, Vault, redact_request
from backends.wire.redaction.answer import restore_body
from backends.wire.session import session_of
from backends.wire.splice import BadBody, json_string, peek, splice
from backends.wire.sse import SseReader
from backends.wire.target import Names, Target
from backends.wire.templates import BadTemplate, apply, parse_spec
from bench.fuzz.cuts import cut
from tests.backends.wire.pairs import ask, writer
from tests.backends.wire.replies import write_stream

_PACKAGES: dict[str, ModuleType] = {
    name: importlib.import_module(f"backends.wire.{name}")
    for name in ("anthropic", "openai_chat", "openai_responses")
}
_KINDS = (Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES)
_TARGET = Target("some-model", "openai", 8192)
_RULES = RuleSet(BUILTIN)
_NOW = 1_785_500_000.0


def sse(data: bytes) -> None:
    """Events are the same however the stream is cut."""
    pieces, whole = cut(data)
    assert _events(pieces) == _events([whole])


def _events(pieces: list[bytes]) -> list[object]:
    reader = SseReader()
    found: list[object] = [event for piece in pieces for event in reader.feed(piece)]
    return [*found, *reader.close()]


def body(data: bytes) -> None:
    """What is let in is JSON as everybody reads it, and a new model's name is the only difference it makes."""
    for kind in _KINDS:
        try:
            facts = peek(kind, data)
        except BadBody:
            continue
        before = json.loads(data)
        assert before["model"] == facts.model
        assert facts.model_span is not None
        renamed = splice(data, [(*facts.model_span, json_string('n"\u00e9w'))])
        assert json.loads(renamed) == before | {"model": 'n"\u00e9w'}
        session_of(kind, {}, facts)


def requests(data: bytes) -> None:
    """A request is refused by name, or served by every protocol with what it could not carry listed."""
    for name, package in _PACKAGES.items():
        try:
            talk = package.parse_request(data)
        except (BadBody, CannotCarry):
            continue
        for other in _PACKAGES.keys() - {name}:
            lost = Lost()
            with contextlib.suppress(CannotCarry):
                built = _PACKAGES[other].build_request(talk, _TARGET, lost)
                assert json.loads(built.body)["model"] == _TARGET.model
                assert all(path.startswith("$.") for path in lost.paths)


def answers(data: bytes) -> None:
    """An answer is unreadable, or one that every client's protocol can tell; an error is always understood."""
    for name, package in _PACKAGES.items():
        with contextlib.suppress(Unreadable):
            reply = package.parse_response(data, Names())
            for client in _PACKAGES.keys() - {name}:
                assert isinstance(json.loads(_PACKAGES[client].build_response(reply, ask(client))), dict)
        error = package.parse_error(500, data)
        assert 400 <= error.status <= 599
        assert error.message
    with contextlib.suppress(ValueError, RecursionError):
        read_error(json.loads(data))


def streams(data: bytes) -> None:
    """A stream ends once, as a whole or as a failure, however it is cut; every client gets JSON in every event."""
    pieces, whole = cut(data)
    for name, package in _PACKAGES.items():
        told = _told(package, pieces)
        for client in _PACKAGES.keys() - {name}:
            _check_events(write_stream(writer(client), told))
        assert isinstance(told[-1], Ended | Failed)
        assert sum(isinstance(event, Ended | Failed) for event in told) == 1
        assert [type(event) for event in told] == [type(event) for event in _told(package, [whole])]


def _check_events(stream: bytes) -> None:
    for line in stream.split(b"\n"):
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            assert isinstance(json.loads(line.removeprefix(b"data: ")), dict)


def _told(package: ModuleType, pieces: list[bytes]) -> list[Event]:
    reader = package.StreamReader(Names())
    events: list[Event] = [event for piece in pieces for event in reader.feed(piece)]
    events += reader.close()
    return [event for event in events if not isinstance(event, Alive)]


def headers(data: bytes) -> None:
    """Whatever an upstream says of its limits becomes sane figures."""
    pairs = [(name.strip().lower(), value.strip()) for name, _, value in _lines(data)]
    limits = read_limits(iter(pairs), model="claude-opus-4-8", now=_NOW)
    assert limits.retry_at is None or math.isfinite(limits.retry_at)
    for reading in limits.readings:
        assert math.isfinite(reading.utilization)
        assert reading.utilization >= 0
        assert reading.resets_at is None or math.isfinite(reading.resets_at)


def _lines(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b":") for line in data.split(b"\n")]


def templates(data: bytes) -> None:
    """The first line is a template, the rest a request: refused by name, or a body that is still JSON."""
    written, _, request = data.partition(b"\n")
    try:
        template = parse_spec(json.loads(written))
    except (BadTemplate, ValueError, RecursionError):
        return
    for kind in _KINDS:
        with contextlib.suppress(BadBody):
            peek(kind, request)
            applied = apply(template, kind, request, [], _TARGET)
            assert isinstance(json.loads(applied.body), dict)


def redaction(data: bytes) -> None:
    """What was replaced comes back: the values of the body are those that the client wrote."""
    for kind in _KINDS:
        try:
            peek(kind, data)
        except BadBody:
            continue
        vault = Vault(b"the key of this installation")
        edits, _ = redact_request(kind, data, _RULES, vault)
        leaving = splice(data, edits)
        assert isinstance(json.loads(leaving), dict)
        assert not edits or leaving != data
        restore_body(leaving, vault)


def texts(data: bytes) -> None:
    """Nothing that is shown steers a terminal, however it is encoded."""
    text = data.decode("utf-8", "replace")
    assert visible(text).encode() == visible_utf8(text.encode())
    assert visible(visible(text)) == visible(text)
    assert not [char for char in visible(text) if ord(char) < 32 and char not in "\t\r\n"]
