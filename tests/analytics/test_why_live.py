"""The account of requests that really passed: a running server, a simulated provider, the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.patchbay import Answer, Patchbay
from tests.records import recorded
from tests.servers import SimulatorThread

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[SimulatorThread, Patchbay]]:
    with SimulatorThread() as upstream, Patchbay() as patchbay:
        words = ("backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin")
        patchbay.manage(*words, stdin="sk-real-key-of-openai-1\n")
        words = ("accounts", "add", "openai-2", "--backend", "openai", "--key-stdin")
        patchbay.manage(*words, stdin="sk-real-key-of-openai-2\n")
        yield upstream, patchbay


def ask(patchbay: Patchbay, body: dict[str, Any]) -> tuple[Answer, dict[str, Any]]:
    """The answer to a request, and what `why ID --json` says of it once its row is written."""
    answer = patchbay.post("/v1/chat/completions", body)
    recorded(patchbay, answer, "id")
    told: dict[str, Any] = json.loads(
        patchbay.manage("why", answer.headers["x-patchbay-request-id"], "--json").stdout
    )
    return answer, told


def test_a_request_that_moved_to_another_account(servers: tuple[SimulatorThread, Patchbay]) -> None:
    upstream, patchbay = servers
    upstream.script(["status=429,ra=30", "ok"])
    answer, told = ask(patchbay, ASKED)
    assert answer.status == 200
    refused, served = told["attemptList"]
    assert {refused["account"], served["account"]} == {"openai", "openai-2"}
    assert (refused["status"], served["status"], told["account"]) == (429, 200, served["account"])
    first, second = told["decision"]["choices"]
    assert (told["decision"]["rule"], first["chosen"], second["chosen"]) == (
        "family",
        refused["account"],
        served["account"],
    )
    left_out = {note["alias"]: note["excluded"] for note in second["candidates"] if note["excluded"]}
    assert list(left_out) == [refused["account"]]
    usage = answer.json()["usage"]
    dollars = (usage["prompt_tokens"] * 2.5 + usage["completion_tokens"] * 10) / 1_000_000
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert told["cost"] == pytest.approx(dollars, abs=1e-8)
    assert (told["costSource"], dollars > 0) == ("priced", True)


def test_a_refused_request(servers: tuple[SimulatorThread, Patchbay]) -> None:
    _, patchbay = servers
    answer, told = ask(patchbay, {"model": "gpt-4o"})
    assert (answer.status, told["status"], told["outcome"]) == (400, 400, "rejected")
    assert (told["decision"], told["attemptList"], told["cost"], told["costSource"]) == (None, [], None, None)
