"""Errors of upstreams in whatever shape they come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.errors import ApiError
from backends.wire.openai_chat import parse_error


@pytest.mark.parametrize(
    ("status", "body", "meant"),
    [
        (
            429,
            {"error": {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}},
            ApiError(429, "m", code="insufficient_quota"),
        ),
        (
            429,
            {"error": {"message": "m", "type": "insufficient_quota"}},
            ApiError(429, "m", code="insufficient_quota"),
        ),
        (
            400,
            {"error": {"message": "m", "type": "invalid_request_error", "param": "x"}},
            ApiError(400, "m", param="x"),
        ),
        (502, {"error": {"message": "m", "code": 502}}, ApiError(502, "m")),
        (404, [{"error": {"message": "m", "code": 404, "status": "NOT_FOUND"}}], ApiError(404, "m")),
        (400, {"object": "error", "message": "m", "type": "BadRequestError"}, ApiError(400, "m")),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "forbidden"}]}, ApiError(422, "body.x: forbidden")),
        (404, {"detail": "Not Found"}, ApiError(404, "Not Found")),
        (500, {"error": "boom"}, ApiError(500, "boom")),
    ],
)
def test_shapes(status: int, body: Any, meant: ApiError) -> None:
    assert parse_error(status, json.dumps(body).encode()) == meant


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5,000 tokens.",
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        (
            "the request exceeds the available context size",
            "prompt is too long: the request exceeds the available context size",
        ),
    ],
)
def test_an_overflow_is_told_in_the_words_that_clients_look_for(message: str, told: str) -> None:
    error = parse_error(400, json.dumps({"error": {"message": message}}).encode())
    assert (error.status, error.code, error.message) == (400, "context_length_exceeded", told)


def test_a_page_or_nothing_has_no_message_of_its_own() -> None:
    assert "503" in parse_error(503, b"<html>bad gateway</html>").message
    assert "503" in parse_error(503, b"").message
    assert parse_error(503, b"overloaded").message == "overloaded"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "type", "code", "detail", "loc", "msg"]), inner
        )
    ),
    max_leaves=10,
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_it_never_raises(body: bytes) -> None:
    assert parse_error(500, body).message
