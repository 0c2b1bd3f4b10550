"""Failing accounts and targets: the client sees one answer, upstream sees no needless second request."""

from __future__ import annotations

import pytest

from tests.proxyapp.conftest import Lab


def attempts(lab: Lab) -> list[str]:
    """Keys in the order in which upstream saw them, for the proxied requests."""
    return [str(entry.key) for entry in lab.upstream.journal.entries if entry.method == "POST"]


@pytest.mark.parametrize(
    "fault", ["status=429,ra=30", "status=401", "status=403", "status=402", "status=500", "status=529"]
)
def test_an_account_that_fails_is_replaced_by_the_next(lab: Lab, fault: str) -> None:
    lab.upstream.script([fault, "ok"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat())
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "2")
    assert len(set(attempts(lab))) == 2


@pytest.mark.parametrize(
    "fault", ["error-first", "empty200", "json-for-sse", "wrong-type", "cut@0", "error200"]
)
def test_a_stream_that_fails_before_content_is_replaced_too(lab: Lab, fault: str) -> None:
    lab.upstream.script([fault, "ok"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat(stream=True))
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "2")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert b'"error"' not in answer.body


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_the_client_s_own_mistakes_are_passed_on_at_once(lab: Lab, status: int) -> None:
    lab.upstream.script([f"status={status}"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat())
    assert (answer.status, len(attempts(lab))) == (status, 1)


def test_upstream_s_error_body_and_advice_arrive_untouched(lab: Lab) -> None:
    lab.upstream.script(["status=429,ra=7835,should-retry=true", "status=429,ra=7835,should-retry=true"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat())
    sent = lab.upstream.journal.entries[-1]
    assert (answer.status, sent.status) == (429, 429)
    assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("7835", "true")
    assert answer.json()["error"]["message"]


def test_a_refused_key_is_never_the_caller_s_fault(lab: Lab) -> None:
    lab.upstream.script(["status=401"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["type"]) == (503, "account_unavailable", "server_error")
    assert "solo" in error["message"]
    assert "sk-real" not in answer.body.decode()


def test_a_lone_account_gets_one_more_try_after_a_server_error(lab: Lab) -> None:
    lab.upstream.script(["status=500", "ok"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))
    assert (answer.status, len(attempts(lab))) == (200, 2)


def test_and_then_the_upstream_s_own_answer(lab: Lab) -> None:
    lab.upstream.script(["status=503", "status=503", "status=503"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))
    assert (answer.status, len(attempts(lab))) == (503, 2)
    assert answer.headers["x-should-retry"] == "false"


def test_a_request_that_may_have_been_billed_is_not_sent_again_to_the_same_account(lab: Lab) -> None:
    lab.upstream.listen_again(lab.upstream.stop_listening())  # no kept connection is left
    lab.upstream.script(["eof-after-request", "ok"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))
    assert (answer.status, len(attempts(lab))) == (502, 1)


def test_a_kept_connection_that_had_ended_is_no_attempt(lab: Lab) -> None:
    lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))  # leaves a connection to be used again
    lab.upstream.script(["eof-before", "ok"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "1")


def test_the_next_target_of_a_route_takes_over_and_the_answer_says_so(lab: Lab) -> None:
    lab.upstream.script(["status=429,ra=60", "ok"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("chain"))
    assert (answer.status, answer.headers["x-patchbay-backend"]) == (200, "openai")
    assert answer.headers["x-patchbay-fallback"] == "chain -> openai:second"


def test_at_most_three_attempts(lab: Lab) -> None:
    lab.upstream.script(["status=500"] * 9)
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("chain"))
    assert (answer.status, len(attempts(lab))) == (500, 3)


def test_a_redirect_is_not_followed(lab: Lab) -> None:
    lab.upstream.script([f"redirect=307:{lab.upstream.url}/elsewhere"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_redirect")
    assert len(attempts(lab)) == 1


@pytest.mark.parametrize("spelling", ["plain", "b64"])
def test_our_own_secret_in_an_error_body_is_replaced(lab: Lab, spelling: str) -> None:
    lab.upstream.script([f"status=400,echo-secret={spelling}"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat("solo:m"))
    assert answer.status == 400
    assert b"sk-real-key-of-solo-1" not in answer.body
    assert b"c2stcmVhbC1rZXktb2Ytc29sby0x" not in answer.body
    assert answer.headers["x-patchbay-mutations"] == "$.model=prefix, response=redacted"


def test_each_attempt_leaves_a_row_and_the_request_one_record(lab: Lab) -> None:
    lab.upstream.script(["status=429,ra=30", "ok"])
    answer = lab.patchbay.post("/v1/chat/completions", lab.chat())
    rows = [row for row in lab.patchbay.history() if row["id"] == answer.headers["x-patchbay-request-id"]]
    assert [(row["status"], row["outcome"], row["attempts"]) for row in rows] == [(200, "ok", 2)]
