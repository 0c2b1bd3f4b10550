"""Errors in the shapes that the protocols' clients parse."""

from __future__ import annotations

import json

import pytest

from backends.wire.errors import ApiError, error_body, error_type, read_error
from backends.wire.kinds import Protocol

ANTHROPIC, OPENAI = Protocol.ANTHROPIC, Protocol.OPENAI


def test_anthropic_shape() -> None:
    error = ApiError(503, "No account can serve.", code="account_unavailable")
    assert json.loads(error_body(ANTHROPIC, error, "req_1")) == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "No account can serve.",
            "details": {"error_code": "account_unavailable"},
        },
        "request_id": "req_1",
    }


def test_anthropic_shape_without_a_code_has_no_details() -> None:
    assert json.loads(error_body(ANTHROPIC, ApiError(400, "x"), "r"))["error"] == {
        "type": "invalid_request_error",
        "message": "x",
    }


def test_openai_shape() -> None:
    error = ApiError(404, "No such model.", code="model_not_found", param="model")
    assert json.loads(error_body(OPENAI, error, "req_1")) == {
        "error": {
            "message": "No such model.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


@pytest.mark.parametrize(
    ("status", "anthropic", "openai", "code"),
    [
        (400, "invalid_request_error", "invalid_request_error", None),
        (401, "authentication_error", "invalid_request_error", "invalid_api_key"),
        (402, "billing_error", "insufficient_quota", None),
        (403, "permission_error", "permission_error", None),
        (404, "not_found_error", "invalid_request_error", None),
        (405, "invalid_request_error", "invalid_request_error", None),
        (413, "request_too_large", "invalid_request_error", None),
        (415, "invalid_request_error", "invalid_request_error", None),
        (429, "rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
        (500, "api_error", "server_error", None),
        (502, "api_error", "server_error", None),
        (503, "api_error", "server_error", None),
        (504, "timeout_error", "server_error", None),
        (529, "overloaded_error", "server_error", None),
    ],
)
def test_type_by_status(status: int, anthropic: str, openai: str, code: str | None) -> None:
    assert error_type(ANTHROPIC, status) == anthropic
    assert error_type(OPENAI, status) == openai
    assert json.loads(error_body(OPENAI, ApiError(status, "x"), "r"))["error"]["code"] == code


def test_type_and_code_of_the_caller_win() -> None:
    body = error_body(OPENAI, ApiError(429, "x", type="requests", code="queue_full"), "r")
    assert json.loads(body)["error"] == {
        "message": "x",
        "type": "requests",
        "param": None,
        "code": "queue_full",
    }


@pytest.mark.parametrize(
    ("payload", "status", "message"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            529,
            "Overloaded",
        ),
        ({"error": {"type": "rate_limit_error", "message": "slow"}}, 429, "slow"),
        ({"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "m"}}, 429, "m"),
        ({"error": {"code": 504, "message": "m"}}, 504, "m"),
        ({"error": {"code": "502", "message": "m"}}, 502, "m"),
        ({"error": {"code": True, "message": "m"}}, 500, "m"),
        (
            {"error": {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "m"}},
            400,
            "m",
        ),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None}, 429, "m"),
        ({"error": "it broke"}, 500, "it broke"),
        ({"error": {"message": 5, "type": [], "code": {}}}, 500, "5"),
        ({"error": True}, 500, "The upstream reported an error without a message."),
        (None, 500, "The upstream reported an error without a message."),
    ],
)
def test_reads_every_upstream_shape(payload: object, status: int, message: str) -> None:
    error = read_error(payload)
    assert (error.status, error.message) == (status, message)


def test_the_code_in_details_is_read() -> None:
    payload = {"error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": "spend"}}}
    assert read_error(payload).code == "spend"
    assert read_error({"type": "error", "message": "m"}).type is None
