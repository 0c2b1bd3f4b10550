"""Client keys with limits, over TCP: a real server, a simulated provider, both protocols."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.on_postgres import is_on
from tests.patchbay import Answer
from tests.proxyapp.keys import CHAT, MESSAGES, REMAINING, KeyLab, ask, started
from tests.proxyapp.pools import error_of, eventually

servers = pytest.fixture(scope="module")(started)
mortal = pytest.fixture(scope="module")(started)


@pytest.fixture
def lab(servers: KeyLab) -> Iterator[KeyLab]:
    servers.upstream.reset()
    yield servers
    if any(entry.script not in {"", "ok"} for entry in servers.upstream.journal.entries):
        servers.patchbay.resume_all()


# --- requests and tokens a minute ----------------------------------------------------------------------------


def test_requests_a_minute_in_both_protocols(lab: KeyLab) -> None:
    key, other = lab.key(rpm="3"), lab.key(rpm="3")
    assert [key.chat().status, key.messages().status] == [200, 200]
    assert key.post(f"{MESSAGES}/count_tokens", ask("claude-opus-4-8")).status == 200
    asked = len(lab.upstream.journal.entries)
    chat, messages = key.chat(), key.messages()
    assert [chat.status, messages.status] == [429, 429]
    assert error_of(chat)["code"] == error_of(messages)["code"] == "rate_limited_key"
    assert error_of(chat)["type"] == error_of(messages)["type"] == "rate_limit_error"
    assert messages.json()["request_id"] == messages.headers["x-patchbay-request-id"]
    assert key.name in error_of(chat)["message"]
    assert "3 requests a minute" in error_of(chat)["message"]
    assert 50 <= int(chat.headers["retry-after"]) <= 60
    assert "x-should-retry" not in chat.headers, "an SDK may wait for it"
    assert len(lab.upstream.journal.entries) == asked, "upstream is not asked"
    assert other.chat().status == 200
    lab.change(do="key_set", name=key.name, rpm="none")
    assert key.chat().status == 200
    row = key.rows(5)[3]
    assert (row["outcome"], row["status"], row["key"]) == ("rejected", 429, key.name)


def test_a_stream_that_is_refused_is_an_error_and_no_stream(lab: KeyLab) -> None:
    key = lab.key(rpm="1")
    assert key.chat(stream=True).body.endswith(b"data: [DONE]\n\n")
    answer = key.messages(stream=True)
    assert (answer.status, answer.headers["content-type"]) == (429, "application/json")


def test_tokens_a_minute_are_held_and_settled(lab: KeyLab) -> None:
    key = lab.key(tpm="2000")
    for _ in range(5):
        assert key.chat(max_tokens=1500).status == 200, "what an answer does not use comes back at once"
    found = key.chat(max_tokens=2000)
    assert (found.status, error_of(found)["code"]) == (429, "rate_limited_key")
    assert found.headers["x-should-retry"] == "false", "it never fits"
    assert "max_tokens" in error_of(found)["message"]
    lab.upstream.script(["cache=5000:0:0"])
    assert key.chat().status == 200
    found = key.chat()
    assert found.status == 429
    assert "0 are left" in error_of(found)["message"]


def test_what_a_key_may_not_ask_for_does_not_count(lab: KeyLab) -> None:
    key = lab.key(rpm="1", model_globs=["gpt-*"])
    assert [key.messages().status for _ in range(3)] == [403] * 3
    assert key.chat(model="gpt-unknown", messages=7).status == 400
    assert key.chat().status == 200


# --- budgets -------------------------------------------------------------------------------------------------


def test_two_hundred_at_once_never_pass_the_cap(lab: KeyLab) -> None:
    cap, together = 0.05, threading.Barrier(200)
    key = lab.key(budget=f"{cap}/day")
    lab.upstream.script(["ttfb=400ms"] * 200)
    stream = {"stream": True, "stream_options": {"include_usage": True}}

    def one(number: int) -> Answer:
        together.wait(30)
        return key.chat(text=f"question {number}", **(stream if number % 2 else {}))

    with ThreadPoolExecutor(200) as threads:
        answers = list(threads.map(one, range(200)))
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 429}, statuses
    assert {error_of(answer)["code"] for answer in answers if answer.status == 429} == {"budget_exceeded"}
    costs = sum(row["cost"] or 0 for row in key.rows(200))
    assert 0 < costs <= cap
    assert eventually(lambda: key.spent() == pytest.approx(costs))
    assert key.left() == pytest.approx(cap - costs, abs=1e-6), "nothing is held any more"
    most = 100 * 10e-6 + 60 * 2.5e-6
    assert statuses[200] >= cap // most, "what fits is served"


def test_a_spent_budget_closes_the_key_for_every_model(lab: KeyLab) -> None:
    key = lab.key(budget="0.001/week")
    lab.upstream.script(["cache=20000:0:0"])
    assert key.chat(max_tokens=10).headers[REMAINING] == "0.000000"
    for answer in (key.chat(), key.messages(), key.chat(model="mine:m"), key.messages(model="mine:m")):
        assert (answer.status, error_of(answer)["code"]) == (429, "budget_exceeded")
        assert answer.headers[REMAINING] == "0.000000"
        assert answer.headers["x-should-retry"] == "false"
        assert 0 < int(answer.headers["retry-after"]) <= 7 * 86_400
        assert "begins anew" in error_of(answer)["message"]
    assert key.post(f"{MESSAGES}/count_tokens", ask("claude-opus-4-8")).status == 200, "counting is free"
    lab.change(do="key_set", name=key.name, budget="5/week")
    assert key.chat().status == 200


def test_official_sdks_raise_at_once_and_do_not_try_again(lab: KeyLab) -> None:
    key = lab.key(budget="0.0001/month")
    url = lab.patchbay.url
    with (
        OpenAI(api_key=key.text, base_url=f"{url}/v1", max_retries=3) as chat,
        pytest.raises(openai.RateLimitError, match="begins anew") as of_openai,
    ):
        chat.chat.completions.create(**ask("gpt-4o"))
    with (
        Anthropic(api_key=key.text, base_url=url, max_retries=3) as messages,
        pytest.raises(anthropic.RateLimitError, match="begins anew"),
    ):
        messages.messages.create(**ask("claude-opus-4-8"))
    assert of_openai.value.code == "budget_exceeded"
    assert key.left() == 0.0001, "and this request is the last in the history"
    assert [row["status"] for row in key.rows(3)] == [429, 429, 200]


def test_the_price_of_what_was_asked_is_charged_to_the_last_digit(lab: KeyLab) -> None:
    key = lab.key(budget="1/month")
    plain = key.chat()
    assert 0 < float(plain.headers[REMAINING]) < 1
    key.messages(stream=True)
    key.chat(model="anthropic:claude-opus-4-8", stream=True)
    rows = key.rows(3)
    assert all(row["cost"] for row in rows)
    costs = sum(row["cost"] for row in rows)
    assert eventually(lambda: key.spent() == pytest.approx(costs, abs=1e-9))
    assert key.left() == pytest.approx(1 - costs, abs=1e-6)


def test_a_chat_stream_that_reports_no_usage_is_charged_by_its_size(lab: KeyLab) -> None:
    key = lab.key(budget="1/month")
    lab.upstream.script(["events=200,size=4"])
    assert key.chat(stream=True, max_tokens=1000).status == 200
    charged = 1 - key.left()
    assert 0.5 <= charged / (200 * 10e-6) <= 3, "about 200 tokens"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_key_is_charged_the_estimate_that_the_record_holds(
    lab: KeyLab, path: str, *, is_stream: bool
) -> None:
    key = lab.key(budget="1/month")
    lab.upstream.script(["usage=none,events=40,size=8"])
    words = "\N{GREEK SMALL LETTER ALPHA}" * 3000  # the body's size tells little of it
    assert key.post(path, ask("openai:gpt-4o", words, stream=is_stream)).status == 200
    [row] = key.rows(1)
    assert row["usageSource"] == "estimated"
    assert eventually(lambda: key.spent() == pytest.approx(row["cost"]))


def test_models_without_a_price_cost_nothing_and_are_counted(lab: KeyLab) -> None:
    key = lab.key(budget="1/month")
    assert key.chat(model="mine:m").headers[REMAINING] == "1.000000"
    key.rows(1)
    listed = json.loads(lab.patchbay.manage("keys", "list", "--json").stdout)
    [row] = [row for row in listed if row["name"] == key.name]
    assert (row["unpricedRequests"], row["budgetSpent"], row["requests"]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("is_stream", "fault"),
    [
        (False, "status=500"),
        (False, "status=400"),
        (False, "cut@0"),
        (True, "status=429,ra=30"),
        (True, "error-first"),
        (True, "eof-after-request"),
    ],
)
def test_what_upstream_does_not_serve_is_not_charged(lab: KeyLab, is_stream: bool, fault: str) -> None:
    key = lab.key(budget="1/month")
    lab.upstream.script([fault] * 3)
    answer = key.chat(stream=is_stream)
    lab.upstream.reset()
    if fault != "status=400":
        lab.patchbay.resume_all()
    assert answer.status >= 400
    assert key.left() == 1
    assert answer.headers[REMAINING] == "1.000000"


def test_what_nobody_can_serve_is_not_charged(lab: KeyLab) -> None:
    key = lab.key(budget="1/month")
    lab.upstream.script(["status=429,ra=30"])
    first, second = key.chat(), key.chat()
    assert error_of(first)["code"] == "rate_limit_exceeded"
    assert error_of(second)["code"] == "pool_exhausted"
    assert second.headers[REMAINING] == "1.000000"


def test_a_client_that_leaves_before_the_answer_pays_nothing(lab: KeyLab) -> None:
    key = lab.key(budget="1/month")
    lab.upstream.script(["hang"])
    with closing(key.open(CHAT, ask("gpt-4o"))):
        lab.upstream.wait_for(lambda entry: entry.script == "hang")
        assert key.left() < 1
    assert eventually(lambda: key.left() == 1)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_client_that_leaves_a_stream_pays_for_what_it_got(lab: KeyLab, path: str) -> None:
    key = lab.key(budget="10/month")
    lab.upstream.script(["endless,gap=5ms"])
    model = "gpt-4o" if path == CHAT else "claude-opus-4-8"
    connection = key.open(path, ask(model, stream=True, max_tokens=50_000))
    with closing(connection), closing(connection.getresponse()) as response:
        held = 10 - float(response.headers[REMAINING])
        response.read(20_000)
    assert eventually(lambda: 0 < key.spent() < held / 2), "some of it is paid, and the rest comes back"
    assert key.left() == pytest.approx(10 - key.spent(), abs=1e-6)


def test_a_key_with_several_targets_holds_the_dearest(lab: KeyLab) -> None:
    lab.desk.do({"do": "route", "pattern": "cheap-first", "targets": ["openai:gpt-4o-mini", "openai:gpt-4o"]})
    key = lab.key(budget="0.001/day")
    answer = key.chat(model="cheap-first")
    assert (answer.status, error_of(answer)["code"]) == (429, "budget_exceeded"), "100 tokens of gpt-4o"
    assert "and would not cover it then" in error_of(answer)["message"]
    assert key.chat(model="gpt-4o-mini").status == 200


def test_absurd_limits_of_the_client_are_not_mistaken_for_no_price(lab: KeyLab) -> None:
    key = lab.key(budget="1/month")
    for path, field_name in ((CHAT, "max_completion_tokens"), (MESSAGES, "max_tokens"), (CHAT, "n")):
        model = "gpt-4o" if path == CHAT else "claude-opus-4-8"
        answer = key.post(path, {**ask(model), field_name: 2**62})
        expected = 200 if field_name == "max_completion_tokens" else 429
        assert answer.status == expected, "the lower of two limits counts"
    answer = key.post("/v1/responses", {"model": "gpt-4o", "input": "ping", "max_output_tokens": 2**62})
    assert answer.status == 429
    odd = {**ask("claude-opus-4-8"), "n": "many", "max_output_tokens": [1]}
    assert key.post(MESSAGES, odd).status == 200, "fields of another protocol mean nothing"


# --- over time -----------------------------------------------------------------------------------------------


def test_revoking_ends_a_key_within_a_second_and_lets_its_streams_run(lab: KeyLab) -> None:
    key = lab.key(budget="1/month")
    lab.upstream.script(["events=12,gap=60ms"])
    with closing(key.open(CHAT, ask("gpt-4o", stream=True))) as connection:
        response = connection.getresponse()
        lab.desk.do({"do": "key_revoke", "name": key.name})
        revoked = time.monotonic()
        while key.chat().status != 401:
            assert time.monotonic() - revoked < 1.0
        assert response.read().endswith(b"data: [DONE]\n\n")
    assert eventually(lambda: key.spent() > 0), "what it used is still counted"


def test_who_guesses_keys_is_slowed_down_and_the_right_key_still_passes(mortal: KeyLab) -> None:
    key, patchbay, url = mortal.key(), mortal.patchbay, "/v1/models"
    guesses = [patchbay.get(url, {"x-api-key": f"pb-guess-{n}"}).status for n in range(50)]
    assert guesses == [401] * 50
    large = {"content-type": "application/json", "authorization": "Bearer pb-wrong"}
    answers = [
        patchbay.get(url, {"x-api-key": "pb-guess"}),
        patchbay.post(MESSAGES, ask("m"), large),
        patchbay.request("POST", CHAT, b" " * 300_000, large),  # refused before it is read
        patchbay.get("/accounts", large),
    ]
    assert [answer.status for answer in answers] == [429] * 4
    assert {error_of(answer)["code"] for answer in answers} == {"too_many_wrong_keys"}
    assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in answers)
    assert patchbay.get(url).status == 401, "who sends no key does not guess"
    assert patchbay.get(url, {"x-api-key": key.text}).status == 200
    assert patchbay.log.count("wrong client keys within") == 1
    assert "pb-guess" not in patchbay.log


def test_a_restart_and_a_crash_keep_what_was_spent(mortal: KeyLab) -> None:
    key, patchbay, upstream = mortal.key(budget="1/month"), mortal.patchbay, mortal.upstream
    first = float(key.chat().headers[REMAINING])
    patchbay.stop()
    patchbay.start()
    second = float(key.chat().headers[REMAINING])
    assert 1 - second == pytest.approx(2 * (1 - first), abs=2e-6)
    assert eventually(lambda: key.spent() == pytest.approx(1 - second, abs=2e-6))
    upstream.script(["hang"])
    with closing(key.open(CHAT, ask("gpt-4o"))):
        upstream.wait_for(lambda entry: entry.script == "hang")
        assert patchbay.process is not None
        patchbay.process.send_signal(signal.SIGKILL)
        patchbay.process.wait()
    patchbay.start()
    for number in itertools.count(3):
        spent = 1 - float(key.chat().headers[REMAINING])
        if spent == pytest.approx(number * (1 - first), abs=number * 1e-6):
            break
        assert is_on(), "what was held is free again"
        assert number < 20, "what was held is free again"
        time.sleep(2)  # over Redis others cannot know at once that it was killed
