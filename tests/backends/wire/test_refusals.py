"""What an error refuses by name: only what the request holds and can do without."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.refusals import refused_parts

CHAT = {
    "model": "m",
    "messages": [{"role": "user", "content": "x", "reasoning_content": "q"}],
    "temperature": 1,
    "presence_penalty": 0,
    "max_tokens": 3,
    "store": True,
    "response_format": {"type": "json_schema"},
    "tools": [{"type": "function", "function": {"name": "a", "strict": True}}],
    "stream_options": {"include_usage": True},
    "foo": 1,
    "bar": 2,
}
MESSAGES = {
    "model": "c",
    "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": "global"}}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "t"}]}],
    "context_management": {},
    "output_config": {"effort": "high"},
    "thinking": {"type": "adaptive"},
    "tools": [{"name": "x", "cache_control": {}, "strict": True}],
    "temperature": 1,
}
BETAS = b"context-management-2025-06-27,effort-2025-11-24,oauth-2025-04-20,context-1m-2025-08-07"


def refused(
    message: object, kind: Kind = Kind.CHAT, betas: bytes = b"", status: int = 400, **fields: object
) -> list[str]:
    answer = {"error": {"message": message, **fields}} if isinstance(message, str) else message
    body = CHAT if kind is Kind.CHAT else MESSAGES
    headers = [(b"anthropic-beta", betas)] if betas else []
    encoded = (msgspec.json.encode(answer), kind, msgspec.json.encode(body), headers)
    return [quirk.name for quirk in refused_parts(status, *encoded)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Unsupported parameter: 'temperature' is not supported with this model.", ["temperature"]),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", ["max_tokens"]),
        ("Unknown parameter: 'foo'.", ["foo"]),
        ("Unrecognized request arguments supplied: foo, bar", ["foo", "bar"]),
        ("property 'store' is unsupported, did you mean 'stop'?", ["store"]),
        ("Model grok-4 does not support parameter presencePenalty.", ["presence_penalty"]),
        ("Argument not supported on this model: presencePenalty", ["presence_penalty"]),
        (
            "litellm.UnsupportedParamsError: x does not support parameters: ['foo', 'bar'], for model=m",
            ["foo", "bar"],
        ),
        ('Invalid JSON payload received. Unknown name "store": Cannot find field.', ["store"]),
        ("stream_options: Extra inputs are not permitted", ["stream_options"]),
        ("tools.0.function.strict: Extra inputs are not permitted", ["tools[].strict"]),
        ("Extra inputs are not permitted, field: 'foo', value: 1", ["foo"]),
        ('json: unknown field "foo"', ["foo"]),
    ],
)
def test_parameters_of_chat_as_providers_name_them(message: str, expected: list[str]) -> None:
    assert refused(message) == expected


def test_names_in_fields_of_their_own() -> None:
    assert refused("No.", param="foo", code="unknown_parameter") == ["foo"]
    detail = [
        {
            "type": "extra_forbidden",
            "loc": ["body", "stream_options"],
            "msg": "Extra inputs are not permitted",
        }
    ]
    assert refused({"detail": detail}, status=422) == ["stream_options"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("context_management: Extra inputs are not permitted", ["context_management"]),
        ("system.0.cache_control.ephemeral.scope: Extra inputs are not permitted", ["cache_control.scope"]),
        ("tools.0.custom.strict: Extra inputs are not permitted", ["tools[].strict"]),
        ("tools.0.cache_control: Extra inputs are not permitted", ["tools[].cache_control"]),
        ("output_config.effort: Extra inputs are not permitted", ["output_config.effort"]),
        ("`temperature` is deprecated for this model.", ["temperature"]),
    ],
)
def test_parameters_of_messages(message: str, expected: list[str]) -> None:
    assert refused(message, Kind.MESSAGES) == expected


@pytest.mark.parametrize(
    ("message", "betas", "expected"),
    [
        (
            "Unexpected value(s) `effort-2025-11-24` for the `anthropic-beta` header.",
            BETAS,
            ["effort-2025-11-24"],
        ),
        (
            "Unexpected value(s) `effort-2025-11-24`, `context-1m-2025-08-07` for the `anthropic-beta` header.",
            BETAS,
            ["effort-2025-11-24", "context-1m-2025-08-07"],
        ),
        ("Unexpected value(s) `oauth-2025-04-20` for the `anthropic-beta` header.", BETAS, []),
        ("Unexpected value(s) `never-sent` for the `anthropic-beta` header.", BETAS, []),
        ("invalid beta flag", BETAS, ["*"]),
        ("invalid beta flag: effort-2025-11-24", BETAS, ["effort-2025-11-24"]),
        ("invalid beta flag", b"effort-2025-11-24", ["effort-2025-11-24"]),
        ("invalid beta flag", b"", []),
    ],
)
def test_values_of_the_beta_header(message: str, betas: bytes, expected: list[str]) -> None:
    assert refused(message, Kind.MESSAGES, betas) == expected


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) is supported.",
        "temperature: Input should be less than or equal to 1",
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        "max_tokens: 64000 > 32000",
        "thinking.type: Input should be 'enabled'",
        "prompt is too long: 213462 tokens > 200000 maximum",
        "The long context beta is not yet available for this subscription.",
    ],
)
def test_errors_about_values_teach_nothing(message: str) -> None:
    assert refused(message) == refused(message, Kind.MESSAGES, BETAS) == []


@pytest.mark.parametrize(
    "message",
    [
        "model: Extra inputs are not permitted",
        "messages: Extra inputs are not permitted",
        "response_format: Extra inputs are not permitted",
        "Unsupported parameter: 'tools' is not supported with this model.",
        "messages.0.content.0.text.text: Extra inputs are not permitted",
        "'messages.0' : the following must be satisfied[(property 'reasoning_content' is unsupported)]",
        "tools.0.function.name: Extra inputs are not permitted",
    ],
)
def test_what_carries_the_request_is_never_given_up(message: str) -> None:
    assert refused(message) == refused(message, Kind.MESSAGES) == []


@pytest.mark.parametrize(
    "message", ["nonexistent: Extra inputs are not permitted", "Unknown parameter: 'x'."]
)
def test_what_the_request_does_not_hold_teaches_nothing(message: str) -> None:
    assert refused(message) == []


@pytest.mark.parametrize("status", [401, 403, 404, 413, 429, 500, 503])
def test_other_statuses_teach_nothing(status: int) -> None:
    assert refused("Unknown parameter: 'foo'.", status=status) == []


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: msgspec.json.encode({"error": text})))
def test_any_answer_is_read_without_complaint(answer: bytes) -> None:
    body = msgspec.json.encode(CHAT)
    assert isinstance(refused_parts(400, answer, Kind.CHAT, body, []), tuple)


@pytest.mark.parametrize(
    "junk", [b"a" * 16_384, b"a." * 8_192, b"`" * 16_384, b"unsupported parameter " * 700]
)
def test_an_answer_made_to_be_slow_is_not(junk: bytes) -> None:
    began = time.monotonic()
    assert refused_parts(400, junk, Kind.CHAT, msgspec.json.encode(CHAT), []) == ()
    assert time.monotonic() - began < 5
