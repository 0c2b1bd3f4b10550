"""What one answer shows about its account, and how it is told."""

from __future__ import annotations

import pytest

from accounts.clock import clock
from accounts.reports import Report, Result
from analytics.decision import CandidateNote, ChoiceNote
from backends.wire.errors import ApiError
from backends.wire.limits import NO_LIMITS, Limits
from proxyapp.findings import answered, of_count, unanswered
from proxyapp.notes import MAX_HEADER, decision_header
from proxyapp.unavailable import in_words, retry_after

LIMITS = Limits(retry_at=12.0)


def error(status: int, message: str = "no", **fields: str) -> ApiError:
    """An upstream's error."""
    return ApiError(status, message, **fields)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.SERVED),
        (204, Result.SERVED),
        (400, Result.NEUTRAL),
        (401, Result.REFUSED),
        (402, Result.QUOTA),
        (403, Result.NEUTRAL),
        (404, Result.NEUTRAL),
        (413, Result.NEUTRAL),
        (422, Result.NEUTRAL),
        (429, Result.LIMITED),
        (500, Result.FAULT),
        (502, Result.FAULT),
        (503, Result.OVERLOADED),
        (504, Result.FAULT),
        (529, Result.OVERLOADED),
    ],
)
def test_a_status_shows(status: int, result: Result) -> None:
    for found in (error(status), None):
        report = answered(status, found, LIMITS)
        assert (report.result, report.limits) == (result, LIMITS)


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (429, error(429, code="insufficient_quota")),
        (429, error(429, type="insufficient_quota")),
        (429, error(429, "You exceeded your current quota, please check your plan and billing details.")),
        (429, error(429, code="enforced_spend_limit_reached")),
        (400, error(400, "Your credit balance is too low to access the Anthropic API. Please go to Plans.")),
        (403, error(403, type="billing_error")),
        (403, error(403, "  Insufficient credits: buy more")),
    ],
)
def test_money_is_told_from_a_rate(status: int, found: ApiError) -> None:
    assert answered(status, found, NO_LIMITS).result is Result.QUOTA
    assert answered(status, found, NO_LIMITS).reason.startswith("out of quota or credit: ")


@pytest.mark.parametrize("status", [400, 403, 429])
def test_words_that_a_client_may_have_written_do_not_count(status: int) -> None:
    echoed = error(status, "Invalid value 'insufficient_quota': your credit balance is too low")
    assert answered(status, echoed, NO_LIMITS).result is not Result.QUOTA


def test_a_server_error_is_never_money() -> None:
    assert answered(500, error(500, code="insufficient_quota"), NO_LIMITS).result is Result.FAULT


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("connect_refused", Result.FAULT),
        ("first_byte_timeout", Result.FAULT),
        ("tls_failed", Result.BROKEN),
        ("address_refused", Result.BROKEN),
        ("header_refused", Result.NEUTRAL),
    ],
)
def test_no_answer_shows(code: str, result: Result) -> None:
    assert unanswered(code).result is result


@pytest.mark.parametrize(
    ("result", "kept"), [(result, result not in (Result.SERVED, Result.LIMITED)) for result in Result]
)
def test_a_count_of_tokens_says_nothing_about_the_limits_of_messages(result: Result, kept: bool) -> None:
    report = of_count(Report(result, LIMITS, "why"))
    assert (report.result, report.limits) == (result if kept else Result.NEUTRAL, NO_LIMITS)


# --- in words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7260, "2 h 1 min"),
        (172_800, "2 d 0 h"),
        (180_000, "2 d 2 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_retry_after_is_a_whole_number_and_never_0() -> None:
    assert retry_after(None) == retry_after(clock() - 5) == retry_after(clock()) == 1
    assert 10 <= retry_after(clock() + 9.5) <= 11


def choice(chosen: str, *candidates: CandidateNote, others: int = 0) -> ChoiceNote:
    """A choice by headroom."""
    return ChoiceNote("b", "m", "headroom", chosen, "best", candidates=candidates, others=others)


def test_a_decision_in_one_header() -> None:
    notes = (
        CandidateNote("work", 62.0, 0.62),
        CandidateNote("home", 12.0, 0.12),
        CandidateNote("new", 100.0, None),
        CandidateNote("old", 0.0, 0.0, "5h spent"),
    )
    assert (
        decision_header(choice("work", *notes))
        == "headroom: work (best), home 12%, new unknown, old: 5h spent"
    )
    assert decision_header(choice("", notes[3])) == "headroom: none (best), old: 5h spent"


def test_a_decision_among_many_counts_those_it_does_not_name() -> None:
    notes = [CandidateNote(f"a{number}", 1.0, 0.5) for number in range(20)]
    said = decision_header(choice("a0", *notes, others=980))
    assert said.endswith("a8 50%, 991 more")
    long = decision_header(choice("x" * 500))
    assert len(long) == MAX_HEADER
