"""What a request may use, and what it has used where nobody says."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.client_auth import ANYBODY
from accounts.snapshot import Snapshot
from analytics.drafts import RecordDraft
from backends.addresses import check_base_url
from backends.config import BackendConfig, Routing
from backends.routing import Target
from backends.wire.kinds import Kind, Protocol
from backends.wire.session import session_of
from backends.wire.splice import BadBody, peek
from backends.wire.usage import Usage
from proxyapp.call import ClientCall
from proxyapp.key_estimates import (
    MOST_OUTPUT,
    UNKNOWN_OUTPUT,
    Estimate,
    OutputSizes,
    Served,
    estimate_of,
    used,
)

BACKEND = BackendConfig("b", Protocol.OPENAI, check_base_url("http://127.0.0.1:9/v1"), frozenset({Kind.CHAT}))
TARGET = Target(BACKEND, "m")
EMPTY = Snapshot(1, Routing({}), {}, {}, has_client_keys=False)
MESSAGE = [{"role": "user", "content": "ping"}]


def call_of(kind: Kind, body: dict[str, Any]) -> ClientCall:
    encoded = json.dumps(body).encode()
    facts = peek(kind, encoded)
    draft = RecordDraft("req_1", kind.protocol, kind)
    return ClientCall(kind, encoded, facts, {}, b"", ANYBODY, draft, EMPTY, session_of(kind, {}, facts))


@pytest.mark.parametrize(
    ("kind", "fields", "output"),
    [
        (Kind.MESSAGES, {"messages": MESSAGE, "max_tokens": 70}, 70),
        (Kind.CHAT, {"messages": MESSAGE, "max_tokens": 70}, 70),
        (Kind.CHAT, {"messages": MESSAGE, "max_completion_tokens": 60, "max_tokens": 70}, 60),
        (Kind.CHAT, {"messages": MESSAGE, "max_tokens": 70, "n": 3}, 210),
        (Kind.CHAT, {"messages": MESSAGE}, UNKNOWN_OUTPUT),
        (Kind.CHAT, {"messages": MESSAGE, "n": 2**62}, MOST_OUTPUT),
        (Kind.RESPONSES, {"input": "ping", "max_output_tokens": 70, "max_tokens": "odd"}, 70),
        (Kind.COMPLETIONS, {"prompt": "ping", "max_tokens": 70, "n": 2, "max_completion_tokens": []}, 140),
        (Kind.MESSAGES, {"messages": MESSAGE, "max_tokens": 70, "n": "odd"}, 70),
        (Kind.EMBEDDINGS, {"input": "ping", "max_tokens": "odd"}, 0),
    ],
)
def test_the_client_s_own_limit_is_taken_in_full(kind: Kind, fields: dict[str, Any], output: int) -> None:
    found = estimate_of(call_of(kind, {"model": "m", **fields}), [TARGET])
    assert found.output == output
    assert found.input > 1


odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of")


@given(kind=st.sampled_from(list(Kind)), fields=st.dictionaries(st.sampled_from(FIELDS), odd))
def test_whatever_was_let_in_can_be_estimated(kind: Kind, fields: dict[str, Any]) -> None:
    body = {"model": "m", "messages": MESSAGE, "input": "ping", "prompt": "ping", **fields}
    if kind is Kind.RESPONSES:
        del body["prompt"]
    try:
        call = call_of(kind, body)
    except BadBody:
        return  # refused before anybody asks
    found = estimate_of(call, [TARGET])
    assert 0 <= found.output <= MOST_OUTPUT
    assert 0 < found.input <= len(call.body)


def test_text_is_estimated_by_its_size_and_a_picture_is_not() -> None:
    text = "many words " * 20_000
    picture = base64.b64encode(random.Random(1).randbytes(len(text))).decode()
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    blocks: list[list[dict[str, object]]] = [
        [{"type": "text", "text": text}],
        [{"type": "image", "source": source}],
    ]
    words, pixels = (
        estimate_of(
            call_of(
                Kind.MESSAGES,
                {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]},
            ),
            [TARGET],
        ).input
        for content in blocks
    )
    assert words > 40_000
    assert pixels < 3000


def test_a_body_that_only_its_own_protocol_understands_is_estimated_by_its_size() -> None:
    body = {
        "model": "m",
        "input": "see base64",
        "previous_response_id": "resp_unknown",
        "max_output_tokens": 1,
    }
    assert 10 < estimate_of(call_of(Kind.RESPONSES, body), [TARGET]).input < 100


# --- what answers have ---------------------------------------------------------------------------------------


def test_few_answers_are_larger_than_expected() -> None:
    rng, sizes = random.Random(7), OutputSizes()
    larger = 0
    for number in range(1000):
        output = round(rng.lognormvariate(6, 0.7))
        larger += number > 20 and output > sizes.expected(TARGET)
        sizes.observe(TARGET, output)
    assert larger < 50
    assert sizes.expected(TARGET) < 4000
    assert sizes.expected(Target(BACKEND, "other")) == UNKNOWN_OUTPUT


def test_sizes_stay_bounded() -> None:
    sizes = OutputSizes()
    for number in range(2000):
        sizes.observe(Target(BACKEND, f"m{number}"), 10)
    assert sizes.expected(Target(BACKEND, "m1999")) == 30
    assert sizes.expected(Target(BACKEND, "m0")) == UNKNOWN_OUTPUT


# --- what was used -------------------------------------------------------------------------------------------

REPORTED = Usage(10, 5, 0, 0, 20, 0, b"{}")
GUESS = Estimate(100, 1000, 1000)


def test_what_the_provider_reports_of_a_whole_answer_stands() -> None:
    found = used(GUESS, Served(REPORTED, 10**6, is_stream=True, is_final=True), Kind.CHAT)
    assert found is REPORTED


def test_a_stream_without_usage_is_measured_by_its_bytes() -> None:
    found = used(GUESS, Served(None, 30_000, is_stream=True, is_final=True), Kind.CHAT)
    assert (found.input_tokens, found.output) == (100, 200)
    capped = used(GUESS, Served(None, 10**6, is_stream=True, is_final=True), Kind.MESSAGES)
    assert capped.output == 1000


def test_a_stream_that_was_left_costs_what_was_reported_or_seen() -> None:
    begun = Usage(50, 0, 0, 0, 1, 0, b"{}")
    found = used(GUESS, Served(begun, 2500, is_stream=True, is_final=False), Kind.MESSAGES)
    assert (found.input_tokens, found.output) == (50, 100)
    nothing = used(GUESS, Served(None, 0, is_stream=True, is_final=False), Kind.CHAT)
    assert (nothing.input_tokens, nothing.output) == (0, 0)


def test_embeddings_have_no_output_however_long_they_are() -> None:
    found = used(Estimate(9, 0), Served(None, 50_000, is_stream=False, is_final=True), Kind.EMBEDDINGS)
    assert (found.input_tokens, found.output) == (9, 0)
