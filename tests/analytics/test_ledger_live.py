"""The ledger of a running server, held against the simulated provider's journal, to the token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from backends.simulator import Entry
from bench.ledger import run
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

REQUESTS = 240  # `python -m bench.ledger` sends 10,000


def test_the_ledger_equals_the_providers_journal() -> None:
    books = run(REQUESTS)
    assert books.wrong == []
    assert set(books.outcomes) == {"ok", "error", "cancelled", "truncated"}
    assert books.outcomes["ok"] > REQUESTS / 2
    assert books.blind > 0
    assert books.failed_over > 0
    assert sum(books.ledger["messages"].values()) > 1000
    assert books.ledger == books.provider


@dataclass
class Lab:
    """A Patchbay with the settings as they are by default, and what it has written down."""

    upstream: SimulatorThread
    patchbay: Patchbay

    def row(self, id_: str) -> dict[str, Any]:
        """The record of one request, once it is there."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            names, rows = self.patchbay.table(
                "history", "SELECT * FROM analytics_requestrecord WHERE id = ?", id_
            )
            if rows:
                return dict(zip(names, rows[0], strict=True))
            time.sleep(0.05)
        raise AssertionError(f"no record of {id_}:\n{self.patchbay.log}")

    def last(self) -> Entry:
        """The provider's entry of the last request that it answered."""
        return [entry for entry in self.upstream.journal if entry.method == "POST"][-1]

    def ask(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """A request, and its record."""
        answer = self.patchbay.post(path, body, headers)
        return self.row(answer.headers["x-patchbay-request-id"])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with SimulatorThread() as upstream, Patchbay() as patchbay:
        words = ("backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin")
        patchbay.manage(*words, stdin="sk-real-key-of-openai-1\n")
        words = ("backend", "add", "anthropic", "--base-url", upstream.url, "--key-stdin")
        patchbay.manage(*words, stdin="sk-real-key-of-anthropic\n")
        yield Lab(upstream, patchbay)


def chat(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": f"openai:{model}", "messages": [{"role": "user", "content": "ping " * 50}], **fields}


def messages(model: str, **fields: Any) -> dict[str, Any]:
    return {**chat(model), "model": f"anthropic:{model}", "max_tokens": 500, **fields}


def test_a_chat_stream_that_does_not_ask_for_usage_is_estimated(lab: Lab) -> None:
    lab.upstream.script(["events=100,size=20"])
    row = lab.ask("/v1/chat/completions", chat("gpt-4o", stream=True))
    assert (row["usage_source"], row["cost_source"], row["alarm"]) == ("estimated", "estimated", None)
    assert 50 <= row["fresh_input_tokens"] <= 200
    assert 50 <= row["output_tokens"] <= 500
    assert row["cost"] > 0


@pytest.mark.parametrize("cut", ["cut@60", "no-terminal"])
def test_a_stream_that_was_cut_keeps_what_was_reported_and_estimates_the_rest(lab: Lab, cut: str) -> None:
    row = lab.ask(
        "/v1/messages", messages(f"claude-opus-4-8+events=100,size=50,cache=700:5:0,{cut}", stream=True)
    )
    assert row["outcome"] == "truncated"
    reported = lab.last().usage
    assert reported is not None
    assert row["fresh_input_tokens"] == reported["input_tokens"]
    assert (row["cache_read_tokens"], row["cache_write_5m_tokens"]) == (700, 5)
    if cut == "no-terminal":  # only the end is missing: the usage of the whole answer had been reported
        assert (row["usage_source"], row["output_tokens"]) == ("reported", reported["output_tokens"])
    else:
        assert row["usage_source"] == "estimated"
        assert row["output_tokens"] > 100


def test_an_answer_without_usage_raises_an_alarm_once(lab: Lab) -> None:
    for fields in ({}, {"stream": True, "stream_options": {"include_usage": True}}, {}):
        row = lab.ask("/v1/chat/completions", chat("gpt-4o+usage=none", **fields))
        assert (row["outcome"], row["alarm"], row["usage_source"]) == ("ok", "zero_usage", "estimated")
        assert row["output_tokens"] > 0
    assert lab.patchbay.log.count("gpt-4o+usage=none without reporting any usage") == 1


def test_who_asked_how_much_came_and_how_long_the_choice_took(lab: Lab) -> None:
    agents = {"x-claude-code-agent-id": "a2", "x-claude-code-parent-agent-id": "a1"}
    headers = {"x-claude-code-session-id": "work-1", **agents}
    answer = lab.patchbay.post("/v1/messages", messages("claude-opus-4-8"), headers)
    row = lab.row(answer.headers["x-patchbay-request-id"])
    assert (row["session"], row["agent"], row["parent_agent"], row["provider"]) == (
        *("work-1", "a2", "a1", "anthropic"),
    )
    sent = lab.last().body_size
    assert row["request_bytes"] - sent == len("anthropic:")
    assert row["response_bytes"] == len(answer.body)
    assert 0 <= row["lease_ms"] < row["duration_ms"]


def test_sizes_of_streams_and_of_our_own_errors(lab: Lab) -> None:
    for path, body in (
        ("/v1/messages", messages("claude-opus-4-8+events=30,cut@9", stream=True)),
        ("/v1/chat/completions", chat("gpt-4o", stream=True)),
        ("/v1/chat/completions", {"model": "nobody-knows-it", "messages": []}),
    ):
        answer = lab.patchbay.post(path, body)
        assert lab.row(answer.headers["x-patchbay-request-id"])["response_bytes"] == len(answer.body)
