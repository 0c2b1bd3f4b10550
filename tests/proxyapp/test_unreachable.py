"""Upstreams that cannot be reached or take too long: a clear error in time, and nothing is held on to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.patchbay import Patchbay, free_port
from tests.servers import SimulatorThread

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture(scope="module")
def patchbay(upstream: SimulatorThread) -> Iterator[Patchbay]:
    limits = {"PATCHBAY_UPSTREAM_TIMEOUTS": "connect=1,first_byte=1,first_byte_plain=1.5,idle=1"}
    with Patchbay(settings=limits) as running:
        bases = {"openai": f"{upstream.url}/v1", "nobody": f"http://127.0.0.1:{free_port()}/v1"}
        for name, base in bases.items():
            running.manage("backend", "add", name, "--base-url", base, "--key-stdin", stdin="sk-key-one\n")
        yield running


def test_a_closed_port_is_502_after_one_more_try(patchbay: Patchbay) -> None:
    answer = patchbay.post(CHAT, {**BODY, "model": "nobody:m"})
    assert (answer.status, answer.json()["error"]["code"]) == (502, "connect_refused")
    assert answer.headers["x-patchbay-attempts"] == "2"


@pytest.mark.parametrize("stream", [True, False])
def test_no_first_byte_in_time_is_504_and_is_not_sent_again(
    patchbay: Patchbay, upstream: SimulatorThread, stream: bool
) -> None:
    upstream.reset()
    upstream.script(["ttfb=30s"])
    answer = patchbay.post(CHAT, {**BODY, "stream": stream})
    assert (answer.status, answer.json()["error"]["code"]) == (504, "first_byte_timeout")
    entry = upstream.wait_for(lambda entry: entry.client_gone_at is not None)
    assert entry.closed_by == "peer"
    assert len([each for each in upstream.journal.entries if each.method == "POST"]) == 1


def test_a_stream_that_falls_silent_ends_with_an_error_event(
    patchbay: Patchbay, upstream: SimulatorThread
) -> None:
    upstream.script(["stall@3"])
    answer = patchbay.post(CHAT, {**BODY, "stream": True})
    assert answer.status == 200
    assert b'data: {"error"' in answer.body
    assert b"[DONE]" not in answer.body


def test_an_answer_that_stops_in_the_middle_was_billed_and_is_not_sent_again(
    patchbay: Patchbay, upstream: SimulatorThread
) -> None:
    upstream.script(["cut@b50"])
    answer = patchbay.post(CHAT, BODY)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (502, "1")
    assert answer.json()["error"]["message"]


def test_health_stays_true_while_an_upstream_is_away(patchbay: Patchbay) -> None:
    assert patchbay.get("/health").status == 200
