"""From what an attempt showed to what the pool knows."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from accounts.pool_state import AccountState
from accounts.reports import (
    FAULT_SECONDS,
    MOST_KNOWN,
    OVERLOAD_SECONDS,
    Attempt,
    Report,
    Result,
    apply_report,
)
from accounts.snapshot import AccountConfig
from accounts.windows import OVERAGE, BenchKind, BenchState
from backends.wire.limits import Limits
from tests.accounts.pools import (
    HOUR,
    OPUS,
    SONNET,
    WALL,
    Time,
    account,
    limited,
    reading,
    served,
)


class Account:
    """One account of a pool whose time the test moves."""

    def __init__(self, **settings: object) -> None:
        self.time = Time()
        self.pool = self.time.pool().state
        self.config: AccountConfig = account("a", **settings)
        self.state: AccountState = self.pool.account("a")

    def tell(self, report: Report | Result, model: str = SONNET, *, leased_at: float | None = None) -> None:
        news = report if isinstance(report, Report) else Report(report)
        attempt = Attempt(self.config, model, self.time.now if leased_at is None else leased_at)
        apply_report(self.pool, self.state, attempt, news, jitter=0.0)

    def bench(self, kind: BenchKind, model_class: str = "") -> BenchState:
        return self.state.benches[kind, model_class]

    def later(self, seconds: float) -> Account:
        self.time.pass_(seconds)
        return self


def test_an_answer_without_headers_changes_no_window() -> None:
    known = Account()
    known.tell(served(reading("5h", 0.4), claim="5h"))
    before = (dict(known.state.windows), known.state.claim)
    for result in Result:
        known.tell(result)
    assert (known.state.windows, known.state.claim) == before


def test_an_answer_with_headers_changes_the_windows_that_it_names() -> None:
    known = Account()
    known.tell(served(reading("5h", 0.4), reading("7d", 0.1)))
    known.tell(served(reading("5h", 0.5)))
    assert {key: window.used for key, window in known.state.windows.items()} == {
        ("5h", ""): 0.5,
        ("7d", ""): 0.1,
    }


# --- 429 ------------------------------------------------------------------------------------------------------------


def test_a_429_benches_what_it_is_about_until_the_provider_says() -> None:
    known = Account()
    known.tell(limited(retry_at=WALL + 7), "gpt-4o")
    assert known.bench(BenchKind.LIMITED, "gpt-4o").until == known.time.now + 7


def test_429s_without_a_word_wait_longer_each_time() -> None:
    known, waits = Account(), []
    for _ in range(8):
        known.tell(limited())
        waits.append(known.bench(BenchKind.LIMITED, "sonnet").until - known.time.now)
        known.later(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_step_of_the_wall_clock_moves_no_wait() -> None:
    known = Account()
    known.tell(limited(reading("5h", 1.0, WALL + HOUR, rejected=True)))
    known.time.step_wall(86_400)
    assert known.bench(BenchKind.LIMITED).until == known.time.now + HOUR
    assert known.state.windows["5h", ""].retires_at == known.time.now + HOUR


def test_a_good_answer_to_a_later_request_ends_the_bench_and_its_strikes() -> None:
    known = Account()
    known.tell(limited())
    known.later(1).tell(limited())
    known.later(2).tell(Result.SERVED)
    assert known.state.benches == {}


def test_a_good_answer_that_was_on_its_way_ends_nothing() -> None:
    known = Account()
    before = known.time.now
    known.later(1).tell(limited())
    known.later(1).tell(Result.SERVED, leased_at=before)
    assert known.bench(BenchKind.LIMITED, "sonnet").strikes == 1


def test_a_good_answer_of_one_family_says_nothing_about_another() -> None:
    known = Account()
    known.tell(limited(), OPUS)
    known.later(1).tell(Result.SERVED, SONNET)
    assert known.bench(BenchKind.LIMITED, "opus")


def test_a_reading_of_another_family_can_show_that_there_is_room_again() -> None:
    known = Account()
    opus = reading("7d_opus", 1.0, model_class="opus", rejected=True)
    known.tell(limited(opus, claim="7d_opus"), OPUS)
    known.later(1).tell(served(msgspec.structs.replace(opus, utilization=0.1, is_rejected=False)), SONNET)
    assert known.state.benches == {}


# --- credentials, quota, faults ---------------------------------------------------------------------------------------


def test_a_refused_credential_waits_a_minute_then_longer_and_a_burst_counts_once() -> None:
    known, waits = Account(), []
    for _ in range(3):
        leased_at = known.time.now
        for _ in range(20):
            known.later(0.01).tell(Result.REFUSED, leased_at=leased_at)
        waits.append(known.bench(BenchKind.AUTH).strikes)
        known.later(1800)
    assert waits == [1, 2, 3]


def test_any_good_answer_proves_the_credential() -> None:
    known = Account()
    before = known.time.now
    known.later(1).tell(Result.REFUSED)
    known.later(1).tell(Result.SERVED, "another-model", leased_at=before)
    assert known.state.benches == {}


def test_spent_credit_benches_the_account_for_the_time_that_is_named_or_minutes() -> None:
    known = Account()
    known.tell(Report(Result.QUOTA, reason="out of credit"))
    assert known.bench(BenchKind.QUOTA).until == known.time.now + 300
    known.later(300).tell(Report(Result.QUOTA, Limits(retry_at=known.time.wall + HOUR)))
    assert known.bench(BenchKind.QUOTA).until == known.time.now + HOUR


def test_three_faults_in_half_a_minute_bench_and_fewer_do_not() -> None:
    known = Account()
    known.tell(Result.FAULT)
    known.tell(Result.FAULT)
    known.later(FAULT_SECONDS).tell(Result.FAULT)
    assert known.state.benches == {}
    known.tell(Result.FAULT)
    known.tell(Result.FAULT)
    assert known.bench(BenchKind.FAULT).until == known.time.now + 30


def test_a_good_answer_forgives_earlier_faults() -> None:
    known = Account()
    for result in (Result.FAULT, Result.FAULT, Result.SERVED, Result.FAULT, Result.FAULT):
        known.tell(result)
    assert known.state.benches == {}


def test_one_fault_of_the_probe_is_enough_to_wait_longer() -> None:
    known = Account()
    for _ in range(3):
        known.tell(Result.FAULT)
    known.later(30).tell(Result.FAULT)
    assert known.bench(BenchKind.FAULT).strikes == 2
    assert known.bench(BenchKind.FAULT).until == known.time.now + 60


def test_overload_is_over_in_seconds_and_about_one_model() -> None:
    known = Account()
    known.tell(Result.OVERLOADED, OPUS)
    assert known.bench(BenchKind.FAULT, "opus").until == known.time.now + OVERLOAD_SECONDS


def test_broken_trust_benches_at_once() -> None:
    known = Account()
    known.tell(Result.BROKEN)
    assert known.bench(BenchKind.FAULT).until == known.time.now + 30


def test_the_requests_own_errors_bench_nobody() -> None:
    known = Account()
    for _ in range(50):
        known.tell(Result.NEUTRAL)
    assert known.state.benches == {}


# --- charges ----------------------------------------------------------------------------------------------------------

SUBSCRIPTION = frozenset(("5h", "7d"))


def test_an_answer_that_overage_paid_for_benches_where_the_operator_forbids_it() -> None:
    known = Account(allowed_claims=SUBSCRIPTION)
    paid = served(reading("5h", 1.0, WALL + HOUR, rejected=True), claim=OVERAGE, is_overage=True)
    known.tell(paid)
    assert known.bench(BenchKind.QUOTA).until == known.time.now + HOUR
    assert "overage" in known.bench(BenchKind.QUOTA).reason


def test_the_next_answer_that_the_subscription_paid_for_ends_that() -> None:
    known = Account(allowed_claims=SUBSCRIPTION)
    known.tell(served(claim=OVERAGE, is_overage=True))
    known.later(400).tell(served(reading("5h", 0.0), claim="5h"))
    assert known.state.benches == {}


def test_a_charge_that_goes_on_waits_longer() -> None:
    known = Account(allowed_claims=SUBSCRIPTION)
    known.tell(served(claim="api"))
    known.later(301).tell(served(claim="api"))
    assert known.bench(BenchKind.QUOTA).strikes == 2


@pytest.mark.parametrize("allowed", [frozenset(), SUBSCRIPTION | {OVERAGE}])
def test_allowed_charges_bench_nobody(allowed: frozenset[str]) -> None:
    known = Account(allowed_claims=allowed)
    known.tell(served(claim=OVERAGE, is_overage=True))
    known.tell(served(claim="7d_opus"))
    assert known.state.benches == {}


# --- resume, and room -------------------------------------------------------------------------------------------------


def test_what_began_before_a_resume_benches_nobody_after_it() -> None:
    known = Account()
    before = known.time.now
    known.later(5)
    known.config = replace(known.config, resumed_at=known.time.wall)
    known.later(1).tell(limited(), leased_at=before)
    known.tell(Result.REFUSED, leased_at=before)
    assert known.state.benches == {}
    known.tell(limited())
    assert known.bench(BenchKind.LIMITED, "sonnet").strikes == 1


def test_a_resume_forgives_strikes_and_faults() -> None:
    known = Account()
    known.tell(Result.REFUSED)
    known.later(60).tell(Result.REFUSED)
    known.tell(Result.FAULT)
    known.tell(Result.FAULT)
    known.later(1)
    known.config = replace(known.config, resumed_at=known.time.wall)
    known.later(1).tell(Result.REFUSED)
    known.tell(Result.FAULT)
    assert known.bench(BenchKind.AUTH).strikes == 1
    assert (BenchKind.FAULT, "") not in known.state.benches


def test_made_up_models_do_not_pile_up() -> None:
    known = Account()
    for number in range(MOST_KNOWN * 3):
        name = f"model-{number}"
        known.later(0.1).tell(
            limited(reading("requests", 1.0, known.time.wall + 60, model_class=name, limit=9)), name
        )
    assert len(known.state.windows) <= MOST_KNOWN
    assert len(known.state.benches) <= MOST_KNOWN
    assert (BenchKind.LIMITED, f"model-{MOST_KNOWN * 3 - 1}") in known.state.benches
