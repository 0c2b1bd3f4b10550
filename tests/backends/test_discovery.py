from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest

from backends.discovery import SECONDS, USUAL_PORTS, FoundServer, find_servers
from backends.presets import PRESETS
from backends.upstream import current_upstream
from tests.patchbay import free_port
from tests.raw_server import RawConnection, RawServer, Script, full_listener

MODELS = {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}
NOT_FOUND = (b"404 Not Found", {"error": "not found"})
Answers = dict[str, tuple[bytes, object]]
OK = b"200 OK"

KINDS: dict[str, Answers] = {
    "ollama": {"/v1/models": (OK, MODELS), "/api/version": (OK, {"version": "0.12.0"})},
    "lmstudio": {"/v1/models": (OK, MODELS), "/api/v0/models": (OK, MODELS)},
    "vllm": {"/v1/models": (OK, MODELS), "/version": (OK, {"version": "0.11.0"})},
    "llamacpp": {
        "/v1/models": (OK, MODELS),
        "/props": (OK, {"default_generation_settings": {}}),
        "/api/version": (OK, {"version": "0.1"}),  # it mimics Ollama as well
    },
    "litellm": {"/v1/models": (OK, MODELS), "/health/liveliness": (OK, "I'm alive!")},
    "": {"/v1/models": (OK, MODELS)},
}


def serving(answers: Answers, *, otherwise: tuple[bytes, object] = NOT_FOUND) -> Script:
    async def script(connection: RawConnection) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                path = (await connection.request()).line.split(b" ")[1].decode()
                status, value = answers.get(path, otherwise)
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                await connection.answer(body, status=status)

    return script


async def found_at(script: Script) -> FoundServer | None:
    async with RawServer(script) as server:
        try:
            found = await find_servers([server.port])
        finally:
            await current_upstream().aclose()
    return found[0] if found else None


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_is_told_by_its_answers(kind: str) -> None:
    found = await found_at(serving(KINDS[kind]))
    assert found is not None
    assert (found.kind, [model.model for model in found.models], found.needs_key) == (kind, ["a", "b"], False)


async def test_lm_studio_answers_200_to_everything() -> None:
    error = (OK, {"error": "Unexpected endpoint or method."})
    found = await found_at(serving(KINDS["lmstudio"], otherwise=error))
    assert found is not None
    assert found.kind == "lmstudio"


@pytest.mark.parametrize("owner", ["vllm", "llamacpp"])
async def test_the_owner_of_a_model_tells_the_server_too(owner: str) -> None:
    listed = {"data": [{"id": "a", "owned_by": owner}]}
    found = await found_at(serving({"/v1/models": (OK, listed)}))
    assert found is not None
    assert found.kind == owner


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
async def test_a_server_that_wants_a_key_is_told_apart(status: bytes) -> None:
    answers = KINDS["litellm"] | {"/v1/models": (status, {"error": "no key"})}
    found = await found_at(serving(answers))
    assert found is not None
    assert (found.kind, found.needs_key, found.models) == ("litellm", True, ())


async def test_no_credential_is_sent() -> None:
    async with RawServer(serving(KINDS["vllm"])) as server:
        await find_servers([server.port])
        await current_upstream().aclose()
        assert server.requests
        assert not any(request.header(b"authorization") for request in server.requests)


async def test_ollama_without_a_model_is_found() -> None:
    found = await found_at(serving(KINDS["ollama"] | {"/v1/models": (OK, {"object": "list", "data": None})}))
    assert found is not None
    assert found.models == ()


@pytest.mark.parametrize(
    "answers",
    [
        {"/v1/models": (OK, b"<html>a web page</html>")},
        {"/v1/models": (b"302 Found", b"")},
        {"/v1/models": (b"401 Unauthorized", b"a private page")},
        {"/v1/models": (b"500 Internal Server Error", b"")},
        {},
    ],
)
async def test_what_is_no_model_server_is_left_alone(answers: Answers) -> None:
    assert await found_at(serving(answers)) is None


async def test_what_speaks_no_http_is_left_alone() -> None:
    async def babble(connection: RawConnection) -> None:
        await connection.send(b"SSH-2.0-nothing\r\n")

    assert await found_at(babble) is None


async def test_ports_are_looked_at_together_and_not_for_long() -> None:
    async def silent(connection: RawConnection) -> None:
        await connection.gone()

    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(RawServer(silent)) for _ in range(7)]
        talking = await stack.enter_async_context(RawServer(serving(KINDS["vllm"])))
        ports = [*(server.port for server in servers), stack.enter_context(full_listener()), free_port()]
        began = time.monotonic()
        found = await find_servers([*ports, talking.port, talking.port])
        elapsed = time.monotonic() - began
        await current_upstream().aclose()
    assert [server.port for server in found] == [talking.port]
    assert elapsed < 4 * SECONDS, "one after the other, eight ports that say nothing take eight times as long"


def test_names_and_addresses() -> None:
    assert FoundServer(11434, "ollama").name == "ollama"
    assert FoundServer(9000, "ollama").name == "ollama-9000"
    assert FoundServer(9000, "").name == "local-9000"
    for kind, port in USUAL_PORTS.items():
        assert FoundServer(port, kind).base_url == PRESETS[kind].base_url
