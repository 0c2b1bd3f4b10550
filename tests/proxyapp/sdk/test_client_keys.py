"""Client keys as the SDKs send them, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import (
    ASK,
    CLAUDE,
    GPT,
    UPSTREAM_KEY,
    anthropic_client,
    eventually,
    openai_client,
)
from tests.servers import SimulatorThread

REVOKED_SECONDS = 2.0
"""The promise is one second; twice that, so that a busy machine fails no test."""


@pytest.fixture(scope="module")
def desk(sdk_upstream: SimulatorThread) -> Iterator[Desk]:
    """Beside a Patchbay with two backends."""
    with Patchbay() as running, Desk(running) as made:
        for name, base in (("openai", f"{sdk_upstream.url}/v1"), ("anthropic", sdk_upstream.url)):
            made.do(
                {"do": "backend", "name": name, "base": base},
                {"do": "account", "alias": name, "backend": name, "credential": {"key": UPSTREAM_KEY}},
            )
        made.settle()
        yield made


@pytest.fixture(scope="module")
def guarded(desk: Desk) -> Patchbay:
    """That Patchbay, which wants a client key as soon as one is made."""
    return desk.patchbay


def new_key(desk: Desk, name: str, **more: Any) -> str:
    """Make a client key; it works in the running server."""
    [key] = desk.do({"do": "key", "name": name, **more})
    desk.settle()
    return str(key)


@pytest.fixture(scope="module")
def key(guarded: Patchbay) -> str:
    """A client key that stays valid, made by command."""
    made = str(json.loads(guarded.manage("keys", "add", "laptop", "--json").stdout)["key"])
    with openai_client(guarded, api_key=made) as client:
        eventually(lambda: is_let_in(client))
    return made


@pytest.mark.parametrize("form", ["x-api-key", "bearer", "x-patchbay-key"])
def test_the_anthropic_sdk_is_let_in_by_each_header_form(
    guarded: Patchbay, key: str, upstream: SimulatorThread, form: str
) -> None:
    forms: dict[str, dict[str, Any]] = {
        "x-api-key": {"api_key": key},
        "bearer": {"api_key": None, "auth_token": key},
        "x-patchbay-key": {"default_headers": {"x-patchbay-key": key}},
    }
    with anthropic_client(guarded, **forms[form]) as client:
        client.messages.create(model=CLAUDE, max_tokens=64, messages=ASK)
    assert_only_our_key_went_up(upstream, key)


@pytest.mark.parametrize("form", ["bearer", "x-api-key", "x-patchbay-key"])
def test_the_openai_sdk_is_let_in_by_each_header_form(
    guarded: Patchbay, key: str, upstream: SimulatorThread, form: str
) -> None:
    options: dict[str, Any] = {"api_key": key} if form == "bearer" else {"default_headers": {form: key}}
    with openai_client(guarded, **options) as client:
        client.chat.completions.create(model=GPT, messages=ASK)
    assert_only_our_key_went_up(upstream, key)


def assert_only_our_key_went_up(upstream: SimulatorThread, key: str) -> None:
    entry = upstream.wait_for(lambda entry: entry.method == "POST" and entry.done)
    assert entry.key == UPSTREAM_KEY
    assert key not in str(entry.headers)
    assert entry.header("x-patchbay-key") is None


@pytest.mark.parametrize("wrong", ["pb-wrong", "", "ключ"])
def test_a_wrong_key_is_an_authentication_error_and_nothing_goes_up(
    guarded: Patchbay, key: str, upstream: SimulatorThread, wrong: str
) -> None:
    headers = {"x-patchbay-key": wrong.encode().decode("latin-1")}
    with anthropic_client(guarded, default_headers=headers) as one, openai_client(guarded) as other:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            one.messages.create(model=CLAUDE, max_tokens=64, messages=ASK)
        with pytest.raises(openai.AuthenticationError) as refused_too:
            other.chat.completions.create(model=GPT, messages=ASK)
        with pytest.raises(openai.AuthenticationError):
            other.models.list()
    assert refused.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]
    assert refused_too.value.response.headers["www-authenticate"] == "Bearer"
    assert not upstream.journal.entries


def test_a_key_with_a_model_list_may_use_nothing_else(
    guarded: Patchbay, desk: Desk, upstream: SimulatorThread
) -> None:
    narrow = new_key(desk, "narrow", model_globs=["gpt-*"])
    with openai_client(guarded, api_key=narrow) as gpt, anthropic_client(guarded, api_key=narrow) as claude:
        gpt.chat.completions.create(model=GPT, messages=ASK)
        with pytest.raises(anthropic.PermissionDeniedError, match="narrow"):
            claude.messages.create(model=CLAUDE, max_tokens=64, messages=ASK)
        assert {model.id for model in gpt.models.list()} == {"gpt-4o", "gpt-4o-mini"}
    assert [entry.model for entry in upstream.journal if entry.method == "POST"] == [GPT]


def test_a_revoked_key_is_refused_at_once(
    guarded: Patchbay, desk: Desk, key: str, upstream: SimulatorThread
) -> None:
    lost = new_key(desk, "lost")
    with openai_client(guarded, api_key=lost) as client:
        client.embeddings.create(model="text-embedding-3-small", input="x", dimensions=1)
        guarded.manage("keys", "revoke", "lost")
        eventually(lambda: not is_let_in(client), within=REVOKED_SECONDS)
    with openai_client(guarded, api_key=key) as other:
        assert is_let_in(other)


def is_let_in(client: openai.OpenAI) -> bool:
    """Whether the client's key is good."""
    try:
        client.models.list()
    except openai.AuthenticationError:
        return False
    return True


def test_nobody_continues_the_conversation_of_another_key(guarded: Patchbay, desk: Desk, key: str) -> None:
    asked: Any = {"model": CLAUDE, "input": "my name is Ada"}
    with openai_client(guarded, api_key=key) as ada:
        first = ada.responses.create(**asked)
        assert ada.responses.create(**asked, previous_response_id=first.id).output_text
    with (
        openai_client(guarded, api_key=new_key(desk, "neighbour")) as other,
        pytest.raises(openai.BadRequestError, match="is not known here"),
    ):
        other.responses.create(**asked, previous_response_id=first.id)
