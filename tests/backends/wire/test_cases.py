"""Each file of `cases/`: the request up, the answer down, buffered and streamed, judged by the official SDKs."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import anthropic
import openai
import pytest

from backends.wire.conversation import CannotCarry, Conversation, Failed, Lost, Reply
from backends.wire.errors import error_body
from backends.wire.kinds import Protocol
from backends.wire.splice import BadBody
from backends.wire.target import Built, Names
from tests.backends.wire import official
from tests.backends.wire.case_files import FIELDS, Case, all_cases
from tests.backends.wire.match import differences
from tests.backends.wire.replies import assemble, content_of, events_of, read_stream, write_stream

_PROTOCOLS = {"anthropic": Protocol.ANTHROPIC}


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.path.stem)
def test_case(case: Case) -> None:
    if case["expected_error"]:
        _is_refused(case)
        return
    talk = case.client.parse_request(case.request)
    built = _built(case, talk)
    if case["upstream_error"]:
        _error_is_told(case)
    if case["reply"]:
        _reply_is_told(case, talk, built.names)
    if case["expected_stream_error"]:
        _stream_fails(case, talk, built.names)
    elif case["stream"]:
        _stream_is_told(case, talk, built.names)


def test_every_file_is_well_formed_and_every_pair_has_cases() -> None:
    cases = all_cases()
    assert len(cases) >= 80
    for case in cases:
        assert set(case.told) <= FIELDS, case.path
        assert case["name"] == case.path.stem
        assert case["why"], case.path
        assert {"request", "reply", "stream", "upstream_error"} & set(case.told), case.path
    pairs = {(case["client"], case["backend"]) for case in cases}
    assert pairs == {(a, b) for a in official.NAMES for b in official.NAMES if a != b}


# --- the way up -----------------------------------------------------------------------------------------------


def _is_refused(case: Case) -> None:
    with pytest.raises((CannotCarry, BadBody)) as caught:
        case.backend.build_request(case.client.parse_request(case.request), case.target, Lost())
    expected, error = case["expected_error"], caught.value
    assert isinstance(error, CannotCarry | BadBody)
    assert re.search(expected["contains"], error.message)
    assert (error.field or "").removeprefix("$.").startswith(expected["field"])


def _built(case: Case, talk: Conversation) -> Built:
    before, lost = copy.deepcopy(talk), Lost()
    built: Built = case.backend.build_request(talk, case.target, lost)
    assert talk == before, "the request was changed while it was written"
    assert case.backend.build_request(talk, case.target, Lost()).body == built.body
    body = official.check_request(case["backend"], built.body)
    assert body["model"] == case.target.model
    _no(differences(case["expected_request"] or {}, body))
    for name, value in (case["expected_headers"] or {}).items():
        assert (name.encode(), value.encode()) in built.headers
    _check_lost(case["expected_lost"], lost.paths)
    return built


def _check_lost(expected: list[str] | None, paths: list[str]) -> None:
    assert [path for path in paths if not path.startswith("$.")] == []
    if expected is None:
        return
    patterns = [re.escape(pattern).replace(r"\*", ".*") for pattern in expected]
    unexplained = [path for path in paths if not any(re.fullmatch(pattern, path) for pattern in patterns)]
    unseen = [p for p in patterns if not any(re.fullmatch(p, path) for path in paths)]
    assert not unexplained, f"lost, but not expected: {unexplained}"
    assert not unseen, f"expected to be lost: {unseen}; lost are {paths}"


# --- the way down ---------------------------------------------------------------------------------------------


def _reply_is_told(case: Case, talk: Conversation, names: Names) -> None:
    reply = case.backend.parse_response(_compact(case["reply"]), names)
    before = copy.deepcopy(reply)
    body = case.client.build_response(reply, talk)
    assert reply == before, "the answer was changed while it was written"
    _no(differences(case["expected_reply"] or {}, official.check_answer(case["client"], body)))
    for size in (1, 7, 10_000):  # the writer must say the same, however small the pieces are
        _assembles(case, write_stream(_writer(case, talk), events_of(reply, size)))


def _stream_is_told(case: Case, talk: Conversation, names: Names) -> None:
    events = read_stream(case.backend.StreamReader(names), case.stream)
    assembly = assemble(events)
    assert assembly.error is None
    assert assembly.ended, events[-1:]
    if case["reply"]:
        whole = case.backend.parse_response(_compact(case["reply"]), names)
        assert content_of(assembly.reply) == content_of(whole), "streamed and buffered answers differ"
    stream = write_stream(_writer(case, talk), events)
    _in_order(case["expected_stream"] or [], official.check_events(case["client"], stream))
    _assembles(case, stream)
    _buffers(case, assembly.reply, talk)


def _stream_fails(case: Case, talk: Conversation, names: Names) -> None:
    events = read_stream(case.backend.StreamReader(names), case.stream)
    assert isinstance(events[-1], Failed), events
    assert sum(isinstance(event, Failed) for event in events) == 1
    expected = case["expected_stream_error"]
    assert re.search(expected["contains"], events[-1].error.message)
    if "status" in expected:
        assert events[-1].error.status == expected["status"]
    stream = write_stream(_writer(case, talk), events)
    with pytest.raises((anthropic.APIError, openai.APIError), match=expected["contains"]):
        official.assembled(case["client"], stream)


def _writer(case: Case, talk: Conversation) -> Any:
    return case.client.StreamWriter(talk, "abc123", 1_700_000_000)


def _assembles(case: Case, stream: bytes) -> None:
    official.check_events(case["client"], stream)
    _no(differences(case["expected_reply"] or {}, official.assembled(case["client"], stream)))


def _buffers(case: Case, reply: Reply, talk: Conversation) -> None:
    body = official.check_answer(case["client"], case.client.build_response(reply, talk))
    _no(differences(case["expected_reply"] or {}, body))


def _in_order(expected: list[Any], events: list[dict[str, Any]]) -> None:
    rest = iter(events)
    for want in expected:
        assert any(not differences(want, event) for event in rest), f"{want} does not come, or not in order"


def _error_is_told(case: Case) -> None:
    upstream = case["upstream_error"]
    body = upstream["body"]
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error = case.backend.parse_error(upstream["status"], raw)
    found = {"status": error.status, "message": error.message, "code": error.code, "param": error.param}
    _no(differences(case["expected_api_error"] or {}, found))
    protocol = _PROTOCOLS.get(case["client"], Protocol.OPENAI)
    told = json.loads(error_body(protocol, error, "req_1"))
    _no(differences(case["expected_error_body"] or {}, told))


def _compact(value: Any) -> bytes:
    """Without blanks, as the streams in the files are: arguments of calls are compared as text."""
    return json.dumps(value, separators=(",", ":")).encode()


def _no(lines: list[str]) -> None:
    assert not lines, "\n" + "\n".join(lines)
