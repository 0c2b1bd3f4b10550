"""The live feed of several processes over Redis, and of one that has lost it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.analytics.live.feeds import EventStream, LivePage
from tests.operator import Operator
from tests.patchbay import Patchbay
from tests.redis_server import RedisServer

ENDLESS = "demo:demo+endless,gap=20ms"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    redis = RedisServer()
    redis.start()
    yield redis
    redis.kill()


@pytest.fixture(scope="module")
def both(server: RedisServer) -> Iterator[tuple[Patchbay, Patchbay]]:
    with ExitStack() as stack:
        here, there = (
            stack.enter_context(Patchbay({"REDIS_URL": server.url}, flags=("--demo",))) for _ in range(2)
        )
        yield here, there


@pytest.fixture(scope="module")
def operator(both: tuple[Patchbay, Patchbay]) -> Operator:
    return Operator(both[0])


def chat(model: str = "demo", **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "ping"}], **fields}


def ask(patchbay: Patchbay) -> str:
    return patchbay.post("/v1/chat/completions", chat()).headers["x-patchbay-request-id"]


def test_a_page_shows_what_other_processes_do(both: tuple[Patchbay, Patchbay], operator: Operator) -> None:
    here, there = both
    before = ask(there)
    with LivePage(operator) as page, EventStream(here) as stream:
        assert (
            page.ended(before)["outcome"] == "ok"
        )  # told when the other process heard that somebody watches
        after = ask(there)
        assert page.ended(after) == stream.record(after)
        assert page.ended(ask(here))["outcome"] == "ok"


def test_another_deployment_on_the_same_server_is_not_shown(
    both: tuple[Patchbay, Patchbay], operator: Operator, server: RedisServer
) -> None:
    _, there = both
    settings = {"REDIS_URL": server.url.replace("/0", "/5")}
    with Patchbay(settings, flags=("--demo",)) as stranger, LivePage(operator) as page:
        page.ended(ask(there))  # who hears of the page at all has heard of it by now
        asked = [ask(stranger), ask(there)]
        seen = page.wait_for("ended", lambda message: message["request"]["id"] in asked)
        assert seen["request"]["id"] == asked[1]


def test_a_stream_of_another_process_is_stopped(both: tuple[Patchbay, Patchbay], operator: Operator) -> None:
    _, there = both
    with LivePage(operator) as page, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(there.post, "/v1/chat/completions", chat(ENDLESS, stream=True))
        request = page.wait_for("progress", lambda message: message["request"]["phase"] == "streaming")[
            "request"
        ]
        with LivePage(operator) as second:  # opened later, it sees what runs elsewhere as well
            assert request["id"] in [running["id"] for running in second.snapshot["running"]]
        assert operator.post(f"/dashboard/live/{request['id']}/stop").json() == {"stopped": True}
        assert page.ended(request["id"])["error"] == "stopped by the operator"
        assert b"stopped by the operator" in waiting.result(10).body
    assert operator.post("/dashboard/live/req_none/stop").status == 409


def test_without_redis_a_page_shows_its_own_process(
    both: tuple[Patchbay, Patchbay], operator: Operator, server: RedisServer
) -> None:
    here, there = both
    server.kill()
    with LivePage(operator) as page:
        assert page.ended(ask(here))["outcome"] == "ok"
    told = "The live feed shows this process alone"
    assert here.log.count(told) == 1
    server.start()
    deadline = time.monotonic() + 20
    with LivePage(operator) as page:
        while not page.knows(ask(there)):
            assert time.monotonic() < deadline, here.log
    assert here.log.count(told) == 1
    assert "Traceback" not in here.log + there.log
