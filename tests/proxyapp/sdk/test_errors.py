"""Upstream's errors and Patchbay's own, as the typed exceptions of both SDKs."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.desk import add_backends
from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, anthropic_client, openai_client, scripted
from tests.servers import SimulatorThread

ANTHROPIC_ERRORS = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (403, anthropic.PermissionDeniedError, "permission_error"),
    (404, anthropic.NotFoundError, "not_found_error"),
    (409, anthropic.ConflictError, "conflict_error"),
    (413, anthropic.APIStatusError, "request_too_large"),
    (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
    (500, anthropic.InternalServerError, "api_error"),
    (529, anthropic.APIStatusError, "overloaded_error"),
]
OPENAI_ERRORS = [
    (400, openai.BadRequestError, "invalid_request_error"),
    (403, openai.PermissionDeniedError, "permission_error"),
    (404, openai.NotFoundError, "not_found_error"),
    (409, openai.ConflictError, "invalid_request_error"),
    (422, openai.UnprocessableEntityError, "invalid_request_error"),
    (500, openai.InternalServerError, "server_error"),
    (503, openai.InternalServerError, "server_error"),
]
FAR = "3600"
"""Seconds; a reset that nobody waits for."""


@pytest.fixture(scope="module")
def spoilt(sdk_upstream: SimulatorThread) -> Iterator[Patchbay]:
    """A Patchbay whose accounts may be refused or used up: a backend for each way to fail."""
    with Patchbay() as running:
        ways = {"limited": f"sk-sim-status=429,ra={FAR}", "refused": "sk-sim-status=401"}
        kinds = {"openai": f"{sdk_upstream.url}/v1", "anthropic": sdk_upstream.url}
        add_backends(
            running,
            *(
                {"name": f"{kind}-{way}", "base": base, "protocol": kind, "key": key}
                for way, key in ways.items()
                for kind, base in kinds.items()
            ),
        )
        yield running


@pytest.fixture
def spoilt_claude(spoilt: Patchbay, upstream: SimulatorThread) -> Iterator[Anthropic]:
    with anthropic_client(spoilt) as client:
        yield client


@pytest.fixture
def spoilt_gpt(spoilt: Patchbay, upstream: SimulatorThread) -> Iterator[OpenAI]:
    with openai_client(spoilt) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "expected", "kind"), ANTHROPIC_ERRORS)
def test_an_anthropic_error_keeps_its_identity(
    claude: Anthropic, status: int, expected: type[anthropic.APIStatusError], kind: str, stream: bool
) -> None:
    model = scripted(CLAUDE, f"status={status}", "msg=As%20upstream%20said%20it")
    with pytest.raises(expected) as caught:
        claude.messages.create(model=model, max_tokens=64, messages=ASK, stream=stream)
    error = caught.value
    assert error.status_code == status
    assert error.body["error"] == {"type": kind, "message": "As upstream said it"}  # type: ignore[index]
    assert error.request_id == error.body["request_id"]  # type: ignore[index]
    assert error.response.headers["x-patchbay-request-id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "expected", "kind"), OPENAI_ERRORS)
def test_an_openai_error_keeps_its_identity(
    gpt: OpenAI, status: int, expected: type[openai.APIStatusError], kind: str, stream: bool
) -> None:
    model = scripted(GPT, f"status={status}", "code=just_so", "msg=As%20upstream%20said%20it")
    with pytest.raises(expected) as caught:
        gpt.chat.completions.create(model=model, messages=ASK, stream=stream)
    error = caught.value
    assert error.status_code == status
    assert (error.type, error.code) == (kind, "just_so")
    assert "As upstream said it" in error.message
    assert error.request_id
    assert error.response.headers["x-patchbay-request-id"]


def test_a_rate_limit_keeps_its_retry_after(spoilt_claude: Anthropic, spoilt_gpt: OpenAI) -> None:
    with pytest.raises(anthropic.RateLimitError) as one:
        spoilt_claude.messages.create(model=f"anthropic-limited:{CLAUDE}", max_tokens=64, messages=ASK)
    with pytest.raises(openai.RateLimitError) as other:
        spoilt_gpt.chat.completions.create(model=f"openai-limited:{GPT}", messages=ASK)
    for response in (one.value.response, other.value.response):
        assert 0 < int(response.headers["retry-after"]) <= int(FAR)
    assert one.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
    assert other.value.code == "rate_limit_exceeded"


def test_an_upstream_that_refuses_our_key_does_not_blame_the_callers(
    spoilt_claude: Anthropic, spoilt_gpt: OpenAI
) -> None:
    with pytest.raises(anthropic.APIStatusError) as one:
        spoilt_claude.messages.create(model=f"anthropic-refused:{CLAUDE}", max_tokens=64, messages=ASK)
    with pytest.raises(openai.InternalServerError) as other:
        spoilt_gpt.chat.completions.create(model=f"openai-refused:{GPT}", messages=ASK)
    assert one.value.status_code == other.value.status_code == 503
    problem = one.value.body["error"]  # type: ignore[index]
    assert problem["type"] == "api_error"
    assert problem["details"]["error_code"] == "account_unavailable"
    assert (other.value.type, other.value.code) == ("server_error", "account_unavailable")
    assert "anthropic-refused" in problem["message"]
    assert "openai-refused" in other.value.message


def test_an_unknown_model_is_not_found_and_near_names_are_given(
    claude: Anthropic, gpt: OpenAI, upstream: SimulatorThread
) -> None:
    gpt.models.list()  # the catalogs are known from here on
    upstream.reset()
    with pytest.raises(anthropic.NotFoundError) as one:
        claude.messages.create(model="caude-opus-4-8", max_tokens=64, messages=ASK)
    with pytest.raises(openai.NotFoundError) as other:
        gpt.chat.completions.create(model="gtp-4o", messages=ASK)
    assert one.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    assert CLAUDE in one.value.message
    assert (other.value.code, other.value.param) == ("model_not_found", "model")
    assert GPT in other.value.message
    assert not [entry for entry in upstream.journal if entry.method == "POST"]


def test_a_bad_request_names_its_field_and_reaches_no_upstream(
    claude: Anthropic, gpt: OpenAI, upstream: SimulatorThread
) -> None:
    with pytest.raises(anthropic.BadRequestError, match="model"):
        claude.messages.create(model=7, max_tokens=64, messages=ASK)  # type: ignore[call-overload]
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model=7, messages=ASK)  # type: ignore[call-overload]
    assert caught.value.param == "model"
    assert not upstream.journal.entries


def test_an_error_object_in_a_200_is_raised_as_an_error(gpt: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        gpt.chat.completions.create(model=scripted(GPT, "error200", "msg=Credits%20are%20gone"), messages=ASK)
    assert "Credits are gone" in caught.value.message


def test_what_is_no_api_answer_becomes_an_error_that_the_sdk_understands(
    claude: Anthropic, gpt: OpenAI
) -> None:
    with pytest.raises(anthropic.InternalServerError) as one:
        claude.messages.create(model=scripted(CLAUDE, "wrong-type"), max_tokens=64, messages=ASK)
    with pytest.raises(openai.InternalServerError) as other:
        gpt.chat.completions.create(model=scripted(GPT, "empty200"), messages=ASK)
    assert one.value.status_code == other.value.status_code == 502
    assert one.value.body["error"]["type"] == "api_error"  # type: ignore[index]
    assert other.value.code == "upstream_bad_answer"


async def test_the_async_clients_raise_the_same(async_claude: AsyncAnthropic, async_gpt: AsyncOpenAI) -> None:
    with pytest.raises(anthropic.BadRequestError):
        await async_claude.messages.create(model=scripted(CLAUDE, "status=400"), max_tokens=64, messages=ASK)
    with pytest.raises(openai.UnprocessableEntityError):
        await async_gpt.responses.create(model=scripted(GPT, "status=422"), input="ping")
