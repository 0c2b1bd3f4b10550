"""What goes wrong at a backend of another protocol, as the client's SDK tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.desk import add_backends
from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, anthropic_client, openai_client, scripted
from tests.proxyapp.sdk.test_broken_streams import drain, pieces_before_raising, text_pieces
from tests.proxyapp.sdk.translated import LOCAL
from tests.servers import SimulatorThread

SAID = "As upstream said it"
FAR = "3600"
"""Seconds; a reset that nobody waits for."""

# status of the chat backend, what the Anthropic SDK raises, its status and error type
TO_ANTHROPIC = [
    (400, anthropic.BadRequestError, 400, "invalid_request_error"),
    (403, anthropic.PermissionDeniedError, 403, "permission_error"),
    (404, anthropic.NotFoundError, 404, "not_found_error"),
    (409, anthropic.ConflictError, 409, "conflict_error"),
    (413, anthropic.APIStatusError, 413, "request_too_large"),
    (422, anthropic.APIStatusError, None, "invalid_request_error"),
    (500, anthropic.InternalServerError, 500, "api_error"),
    (503, anthropic.APIStatusError, 529, "overloaded_error"),
]
# status of the Anthropic backend, what the OpenAI SDK raises, its status and error type
TO_OPENAI = [
    (400, openai.BadRequestError, 400, "invalid_request_error"),
    (403, openai.PermissionDeniedError, 403, None),
    (404, openai.NotFoundError, 404, None),
    (409, openai.ConflictError, 409, None),
    (413, openai.APIStatusError, 413, None),
    (422, openai.APIStatusError, None, "invalid_request_error"),
    (500, openai.InternalServerError, 500, "server_error"),
    (529, openai.InternalServerError, 503, "server_error"),
]


def words_for(status: int) -> tuple[str, str]:
    return f"status={status}", f"msg={SAID.replace(' ', '%20')}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "expected", "seen", "kind"), TO_ANTHROPIC)
def test_a_chat_backends_error_in_anthropics_words(
    claude: Anthropic, status: int, expected: Any, seen: int | None, kind: str, stream: bool
) -> None:
    with pytest.raises(expected) as caught:
        claude.messages.create(
            model=scripted(GPT, *words_for(status)), max_tokens=64, messages=ASK, stream=stream
        )
    error = caught.value
    assert error.status_code == (seen or error.status_code)
    assert error.body["error"]["type"] == kind
    assert SAID in error.body["error"]["message"]
    assert error.request_id
    assert error.response.headers["x-patchbay-lane"] == "translated"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "expected", "seen", "kind"), TO_OPENAI)
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_an_anthropic_backends_error_in_openais_words(
    gpt: OpenAI, responses: bool, status: int, expected: Any, seen: int | None, kind: str | None, stream: bool
) -> None:
    model = scripted(CLAUDE, *words_for(status))
    create: Any = gpt.responses.create if responses else gpt.chat.completions.create
    asked: dict[str, Any] = {"input": "ping"} if responses else {"messages": ASK}
    with pytest.raises(expected) as caught:
        create(model=model, stream=stream, **asked)
    error = caught.value
    assert error.status_code == (seen or error.status_code)
    assert error.type == (kind or error.type)
    assert SAID in error.message
    assert error.request_id
    assert error.response.headers["x-patchbay-lane"] == "translated"


def test_a_full_context_is_said_in_the_words_that_make_agents_compact(claude: Anthropic) -> None:
    model = scripted(GPT, "status=400", "code=context_length_exceeded", "msg=Too%20many%20tokens")
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        claude.messages.create(model=model, max_tokens=64, messages=ASK)


def messages_stream(client: Anthropic, model: str) -> Iterator[object]:
    with client.messages.create(model=model, max_tokens=64, messages=ASK, stream=True) as stream:
        yield from text_pieces(stream, "content_block_delta")


def chat_stream(client: OpenAI, model: str) -> Iterator[object]:
    with client.chat.completions.create(model=model, messages=ASK, stream=True) as stream:
        yield from (chunk for chunk in stream if chunk.choices[0].delta.content)


def responses_stream(client: OpenAI, model: str) -> Iterator[object]:
    with client.responses.create(model=model, input="ping", stream=True) as stream:
        yield from text_pieces(stream, "response.output_text.delta")


OPENAI_STREAMS = [(chat_stream, CLAUDE), (responses_stream, CLAUDE), (responses_stream, LOCAL)]
CUTS = ["cut=4", "rst,cut=4", "no-terminal,no-done"]


@pytest.mark.parametrize("fault", CUTS)
def test_a_cut_chat_stream_raises_in_the_anthropic_sdk(claude: Anthropic, fault: str) -> None:
    pieces = messages_stream(claude, scripted(GPT, fault))
    count, error = pieces_before_raising(pieces, anthropic.APIStatusError)
    assert 0 < count <= drain(messages_stream(claude, GPT))
    assert "upstream" in str(error).lower()


@pytest.mark.parametrize("fault", CUTS)
@pytest.mark.parametrize(("kind", "model"), OPENAI_STREAMS)
def test_a_cut_stream_raises_in_the_openai_sdk(
    gpt: OpenAI, kind: Callable[[OpenAI, str], Iterator[object]], model: str, fault: str
) -> None:
    count, error = pieces_before_raising(kind(gpt, scripted(model, fault)), openai.APIError)
    assert 0 < count <= drain(kind(gpt, model))
    assert "upstream" in str(error).lower()


def test_an_error_in_the_middle_of_a_chat_stream(claude: Anthropic) -> None:
    pieces = messages_stream(claude, scripted(GPT, "error=4:server_error", "msg=Too%20much"))
    count, error = pieces_before_raising(pieces, anthropic.APIStatusError)
    assert count > 0
    assert "Too much" in str(error)


def test_an_error_in_the_middle_of_an_anthropic_stream(gpt: OpenAI) -> None:
    pieces = chat_stream(gpt, scripted(CLAUDE, "error=4:overloaded_error", "msg=Too%20much"))
    count, error = pieces_before_raising(pieces, openai.APIError)
    assert count > 0
    assert "Too much" in str(error)


@pytest.mark.parametrize("model", [CLAUDE, LOCAL])
def test_an_error_in_the_middle_of_a_response(gpt: OpenAI, model: str) -> None:
    pieces = responses_stream(gpt, scripted(model, "error=4:overloaded_error", "msg=Too%20much"))
    count, error = pieces_before_raising(pieces, openai.APIError)
    assert count > 0
    assert "Too much" in str(error)


def test_a_response_that_breaks_off_ends_failed_on_the_wire(patchbay: Patchbay) -> None:
    body = {"model": scripted(CLAUDE, "cut=4"), "input": "ping", "stream": True}
    *_, last = patchbay.post("/v1/responses", body).body.strip().split(b"\n\n")
    assert last.startswith(b"event: response.failed\n")


def test_an_error_before_the_first_content_is_an_ordinary_error(claude: Anthropic, gpt: OpenAI) -> None:
    with pytest.raises(anthropic.APIStatusError):
        drain(messages_stream(claude, scripted(GPT, "error-first=server_error")))
    for stream in (chat_stream, responses_stream):
        with pytest.raises(openai.InternalServerError) as caught:
            drain(stream(gpt, scripted(CLAUDE, "error-first=overloaded_error")))
        assert caught.value.status_code == 503


@pytest.mark.parametrize("fault", ["wrong-type", "empty200", "bad-json"])
def test_an_answer_that_makes_no_sense_is_a_502(claude: Anthropic, gpt: OpenAI, fault: str) -> None:
    with pytest.raises(anthropic.InternalServerError) as one:
        claude.messages.create(model=scripted(GPT, fault), max_tokens=64, messages=ASK)
    with pytest.raises(openai.InternalServerError) as other:
        gpt.chat.completions.create(model=scripted(CLAUDE, fault), messages=ASK)
    assert one.value.status_code == other.value.status_code == 502


def test_a_field_of_the_wrong_type_is_named_and_reaches_no_upstream(
    claude: Anthropic, gpt: OpenAI, upstream: SimulatorThread
) -> None:
    wrong: Any = [{"role": "user", "content": 7}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.content"):
        claude.messages.create(model=GPT, max_tokens=64, messages=wrong)
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model=CLAUDE, messages=wrong)
    assert caught.value.param == "messages[0].content"
    assert not [entry for entry in upstream.journal if entry.method == "POST"]


@pytest.fixture(scope="module")
def spoilt(sdk_upstream: SimulatorThread) -> Iterator[Patchbay]:
    """A Patchbay whose accounts may be refused or used up."""
    with Patchbay() as running:
        ways = {"limited": f"sk-sim-status=429,ra={FAR}", "refused": "sk-sim-status=401"}
        chat = {"base": f"{sdk_upstream.url}/v1", "protocol": "openai", "responses": False}
        messages = {"base": sdk_upstream.url, "protocol": "anthropic"}
        kinds = {"chat": chat, "messages": messages}
        add_backends(
            running,
            *({"name": f"{a}-{b}", **kinds[a], "key": key} for b, key in ways.items() for a in kinds),
        )
        yield running


def test_a_rate_limit_keeps_its_retry_after(spoilt: Patchbay) -> None:
    with anthropic_client(spoilt) as claude, pytest.raises(anthropic.RateLimitError) as one:
        claude.messages.create(model=f"chat-limited:{GPT}", max_tokens=64, messages=ASK)
    with openai_client(spoilt) as gpt, pytest.raises(openai.RateLimitError) as other:
        gpt.chat.completions.create(model=f"messages-limited:{CLAUDE}", messages=ASK)
    for response in (one.value.response, other.value.response):
        assert 0 < int(response.headers["retry-after"]) <= int(FAR)
    assert one.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]


def test_an_upstream_that_refuses_our_key_does_not_blame_the_callers(spoilt: Patchbay) -> None:
    with anthropic_client(spoilt) as claude, pytest.raises(anthropic.APIStatusError) as one:
        claude.messages.create(model=f"chat-refused:{GPT}", max_tokens=64, messages=ASK)
    with openai_client(spoilt) as gpt, pytest.raises(openai.InternalServerError) as other:
        gpt.responses.create(model=f"messages-refused:{CLAUDE}", input="ping")
    assert one.value.status_code == other.value.status_code == 503
    assert other.value.code == "account_unavailable"
