"""Homes with one backend alone: every protocol works, and so does a start while that backend is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backends.simulator import Model
from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.proxyapp.routes_lab import CHAT, MESSAGES, RESPONSES, eventually
from tests.servers import SimulatorThread

TURNS = [{"role": "user", "content": "ping"}]


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Beside one server, whose backends every test takes away first."""
    with Patchbay() as patchbay, Desk(patchbay) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "words", "models", "asked"),
    [
        ("openai", ["--protocol", "openai"], ["gpt-4o", "o3"], ["gpt-4o", "O3", "openai:gpt-4o"]),
        (
            "anthropic",
            ["--protocol", "anthropic"],
            ["claude-opus-4-8"],
            ["opus", "claude-opus-4-8", "claude:x"],
        ),
        ("ollama", [], ["llama3:8b", "qwen3:4b"], ["llama3:8b", "QWEN3:4b", "ollama:llama3:8b"]),
    ],
)
def test_one_backend_alone_serves_every_protocol(
    desk: Desk, name: str, words: list[str], models: list[str], asked: list[str]
) -> None:
    patchbay = desk.patchbay
    desk.do({"do": "clear"})
    with SimulatorThread(models=[Model(model) for model in models]) as upstream:
        base = upstream.url if name == "anthropic" else f"{upstream.url}/v1"
        patchbay.manage("backend", "add", name, "--base-url", base, *words)
        eventually(lambda: patchbay.post(CHAT, {"model": asked[0], "messages": TURNS}).status == 200)
        for model in asked:
            answers = [
                patchbay.post(CHAT, {"model": model, "messages": TURNS}),
                patchbay.post(MESSAGES, {"model": model, "messages": TURNS, "max_tokens": 9}),
                patchbay.post(RESPONSES, {"model": model, "input": "ping"}),
            ]
            assert [answer.status for answer in answers] == [200, 200, 200], model
            assert {answer.headers["x-patchbay-backend"] for answer in answers} == {name}
        unknown = patchbay.post(CHAT, {"model": "unheard-of", "messages": TURNS})
        assert (unknown.status, unknown.json()["error"]["code"]) == (404, "model_not_found")


def test_the_last_good_list_serves_a_start_without_the_backend() -> None:
    with SimulatorThread(models=[Model("claude-opus-4-8"), Model("claude-opus-4-1")]) as upstream:
        first = Patchbay()
        with first:
            first.manage("backend", "add", "anthropic", "--base-url", upstream.url)
            eventually(lambda: len(first.get("/v1/models").json()["data"]) == 2)
        port = upstream.stop_listening()
        with Patchbay(home=first.home) as second:
            assert len(second.get("/v1/models").json()["data"]) == 2
            told = second.manage("routes", "explain", "opus").stdout
            assert "1. anthropic: claude-opus-4-8 (changed by family)" in told
            away = second.post(MESSAGES, {"model": "opus", "messages": TURNS, "max_tokens": 9})
            assert (away.status, away.headers["x-patchbay-model"]) == (502, "claude-opus-4-8")
            upstream.listen_again(port)
            body = {"model": "opus[1m]", "messages": TURNS, "max_tokens": 9}
            eventually(lambda: second.post(MESSAGES, {**body, "model": "opus"}).status == 200)
            variant = second.post(MESSAGES, {**body, "model": "claude-opus-4-8[1m]"})
            assert variant.headers["x-patchbay-model"] == "claude-opus-4-8[1m]"
