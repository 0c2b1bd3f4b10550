"""Routes with conditions, weights and capabilities over TCP: two protocols, three providers, one Patchbay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.proxyapp.routes_lab import RoutesLab, error, routes_lab
from tests.records import recorded

TOO_LONG = error("This model's maximum context length is 8000 tokens. However, you requested 9000 tokens.")
CLAUDE_TOO_LONG = error("prompt is too long: 213462 tokens > 200000 maximum")
KINDS = ["chat", "messages", "responses"]


@pytest.fixture(scope="module")
def servers() -> Iterator[RoutesLab]:
    with routes_lab() as running:
        yield running


@pytest.fixture
def lab(servers: RoutesLab) -> Iterator[RoutesLab]:
    for upstream in servers.upstreams.values():
        upstream.reset()
    yield servers
    servers.patchbay.resume_all()


# --- conditions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_requests_with_images_go_elsewhere_in_every_protocol(lab: RoutesLab, kind: str) -> None:
    name = lab.route("claudish:claude-opus-4-8?needs=images", "chatty:gpt-4o")
    with_image = lab.ask(name, kind, image=True)
    without = lab.ask(name, kind)
    assert (with_image.status, without.status) == (200, 200)
    assert lab.asked() == ["claudish:claude-opus-4-8", "chatty:gpt-4o"]
    for answer in (with_image, without):
        assert "x-patchbay-fallback" not in answer.headers
    assert "passed over" not in with_image.headers["x-patchbay-decision"]
    told = without.headers["x-patchbay-decision"]
    assert "passed over claudish:claude-opus-4-8 (only for requests with images)" in told


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        (
            "needs=tools",
            {"tools": [{"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}]},
        ),
        (
            "needs=schema",
            {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}},
        ),
        ("needs=reasoning", {"reasoning_effort": "low"}),
        ("min_tokens=2000", {"text": "word " * 4000}),
    ],
)
def test_what_a_request_asks_for_chooses_the_target(
    lab: RoutesLab, condition: str, fields: dict[str, object]
) -> None:
    name = lab.route(f"spare:gpt-4.1?{condition}", "chatty:gpt-4o")
    assert lab.ask(name).status == 200
    assert lab.ask(name, **fields).status == 200
    assert lab.asked() == ["chatty:gpt-4o", "spare:gpt-4.1"]


def test_the_time_of_day_chooses_the_target(lab: RoutesLab) -> None:
    now = datetime.now(UTC)
    soon, later = now + timedelta(hours=2), now + timedelta(hours=4)
    before = now - timedelta(hours=2)
    open_now, shut = f"{before:%H:%M}-{soon:%H:%M}", f"{soon:%H:%M}-{later:%H:%M}"
    assert lab.ask(lab.route(f"spare:gpt-4.1?hours={open_now}", "chatty:gpt-4o")).status == 200
    answer = lab.ask(lab.route(f"spare:gpt-4.1?hours={shut}", "chatty:gpt-4o"))
    assert lab.asked() == ["spare:gpt-4.1", "chatty:gpt-4o"]
    assert f"only at {shut}" in answer.headers["x-patchbay-decision"]


@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_a_request_that_no_target_is_for_is_told_so(lab: RoutesLab, kind: str) -> None:
    name = lab.route("chatty:gpt-4o?needs=images", "spare:tiny?min_tokens=5000")
    answer = lab.ask(name, kind)
    assert answer.status == 400
    assert "only for requests with images" in answer.json()["error"]["message"]
    assert lab.asked() == []


def test_sessions_share_the_targets_of_a_group_and_stay(lab: RoutesLab) -> None:
    name = lab.route("chatty:gpt-4o?weight=1", "spare:gpt-4.1?weight=1")
    sessions = [f"conversation-{number}" for number in range(12)]
    for _ in range(2):
        for session in sessions:
            assert lab.ask(name, headers={"session-id": session}).status == 200
    asked = lab.asked()
    assert asked[:12] == asked[12:]
    assert set(asked) == {"chatty:gpt-4o", "spare:gpt-4.1"}


def test_the_record_and_why_tell_who_was_passed_over(lab: RoutesLab) -> None:
    name = lab.route("spare:gpt-4.1?needs=images", "chatty:gpt-4o")
    answer = lab.ask(name)
    [request_id] = recorded(lab.patchbay, answer, "id")
    told = lab.patchbay.manage("why", request_id).stdout
    assert f"alias {name}; passed over spare:gpt-4.1 (only for requests with images)" in told


def test_explain_says_what_happens(lab: RoutesLab) -> None:
    name = lab.route("claudish:claude-opus-4-8?needs=images", "chatty:llama3:8b", "spare:gpt-4.1")
    for image in (False, True):
        answer = lab.ask(name, image=image)
        flags = ["--images"] if image else []
        told = lab.patchbay.manage("routes", "explain", name, "--protocol", "openai", *flags).stdout
        assert f"1. {answer.headers['x-patchbay-backend']}: {answer.headers['x-patchbay-model']}" in told
    assert "passed over: chatty:llama3:8b (it takes no images)" in told


# --- fallback -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_spent_target_falls_back_over_protocols_and_says_so(lab: RoutesLab, kind: str) -> None:
    name = lab.route("claudish:claude-opus-4-8", "chatty:gpt-4o")
    lab.upstreams["claudish"].script(["status=429,ra=60"])
    first, second = lab.ask(name, kind), lab.ask(name, kind)
    assert (first.status, second.status) == (200, 200)
    assert first.headers["x-patchbay-fallback"] == f"{name} -> chatty:gpt-4o"
    assert (first.headers["x-patchbay-attempts"], second.headers["x-patchbay-attempts"]) == ("2", "1")
    assert second.headers["x-patchbay-fallback"] == f"{name} -> chatty:gpt-4o"


def test_accounts_and_targets_share_one_limit_of_attempts(lab: RoutesLab) -> None:
    name = lab.route("chatty:gpt-4o", "spare:gpt-4.1", "claudish:claude-opus-4-8", "spare:tiny")
    for upstream in lab.upstreams.values():
        upstream.script(["status=500"] * 4)
    answer = lab.ask(name)
    assert (answer.status, answer.headers["x-patchbay-attempts"], len(lab.asked())) == (500, "3", 3)


# --- capabilities and overflow --------------------------------------------------------------------------------


def test_a_model_that_takes_no_images_is_passed_over_before_anything_is_sent(lab: RoutesLab) -> None:
    name = lab.route("chatty:llama3:8b", "claudish:claude-opus-4-8")
    answer = lab.ask(name, image=True)
    assert lab.asked() == ["claudish:claude-opus-4-8"]
    assert "it takes no images" in answer.headers["x-patchbay-decision"]
    assert "x-patchbay-fallback" not in answer.headers


def test_a_prompt_that_is_clearly_too_long_goes_to_the_larger_model_at_once(lab: RoutesLab) -> None:
    name = lab.route("spare:tiny", "claudish:claude-opus-4-8")
    assert lab.ask(name, text="word " * 8000).status == 200
    assert lab.asked() == ["claudish:claude-opus-4-8"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_overflow_goes_to_a_larger_target_and_benches_nobody(lab: RoutesLab, kind: str) -> None:
    name = lab.route("chatty:llama3:8b", "spare:tiny", "claudish:claude-opus-4-8")
    lab.upstreams["chatty"].script([TOO_LONG])
    answer = lab.ask(name, kind)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "2")
    assert answer.headers["x-patchbay-fallback"] == f"{name} -> claudish:claude-opus-4-8"
    assert lab.asked() == ["chatty:llama3:8b", "claudish:claude-opus-4-8"]
    rows = lab.patchbay.get("/accounts").json()["accounts"]
    assert {row["status"] for row in rows} == {"ready"}


def test_an_overflow_without_a_larger_target_is_passed_on_untouched(lab: RoutesLab) -> None:
    name = lab.route("claudish:claude-opus-4-8", "spare:tiny", "claudish:claude-haiku-4-5")
    lab.upstreams["claudish"].script([CLAUDE_TOO_LONG])
    answer = lab.ask(name, "messages")
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (400, "1")
    assert answer.json()["error"]["message"] == "prompt is too long: 213462 tokens > 200000 maximum"
    assert "x-patchbay-fallback" not in answer.headers


def test_an_overflow_inside_a_stream_counts_too(lab: RoutesLab) -> None:
    name = lab.route("chatty:gpt-4o", "spare:gpt-4.1")
    words = "Your%20input%20exceeds%20the%20context%20window%20of%20this%20model"
    lab.upstreams["chatty"].script([f"error-first,msg={words},code=context_length_exceeded"])
    answer = lab.ask(name, "responses", stream=True)
    assert (answer.status, answer.headers["x-patchbay-fallback"]) == (200, f"{name} -> spare:gpt-4.1")
    rows = {row["alias"]: row for row in lab.patchbay.get("/accounts").json()["accounts"]}
    assert rows["chatty"]["status"] == "ready"


# --- the catalog ----------------------------------------------------------------------------------------------


def test_every_name_is_listed_once_with_its_context(lab: RoutesLab) -> None:
    name = lab.route("chatty:gpt-4o", pattern="claude-mine")
    rows = lab.patchbay.get("/v1/models").json()["data"]
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert {name, "claude-opus-4-8", "gpt-4o", "llama3:8b"} <= set(ids)
    assert next(row for row in rows if row["id"] == "gpt-4o")["max_input_tokens"] == 128_000
    assert all(row["display_name"] and row["created_at"].endswith("Z") for row in rows)


def test_a_real_test_costs_a_token_and_says_so(lab: RoutesLab) -> None:
    for backend, path in (("claudish", "/v1/messages"), ("chatty", "/v1/chat/completions")):
        told = lab.patchbay.manage("backend", "test", backend, "--real").stdout
        assert f"{backend}/{backend}, model " in told
        assert "output tokens" in told
        [entry] = [e for e in lab.upstreams[backend].journal.entries if e.method == "POST"]
        assert entry.path == path
        assert lab.last_sent(backend)["max_tokens"] == 1
    lab.upstreams["chatty"].script(["status=403"])
    failed = lab.patchbay.manage("backend", "test", "chatty", "--real", "--model", "gpt-4o", check=False)
    assert (failed.returncode, "HTTP 403" in failed.stdout) == (1, True)
