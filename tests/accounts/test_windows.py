"""Windows and benches as pure functions: readings that retire, 429s that say whom they are about, probes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.windows import (
    OVERAGE,
    STALE_SECONDS,
    STALE_SPENT_SECONDS,
    BenchKind,
    BenchState,
    Blow,
    WindowState,
    backoff,
    benched,
    charge_blow,
    following,
    headroom_of,
    is_lifted,
    limit_blow,
    observed,
)
from backends.wire.limits import Limits, Reading, class_of, classes_of
from tests.accounts.pools import HOUR, OPUS, SONNET, WALL, bench, reading, window

NOW = 1000.0


# --- readings -----------------------------------------------------------------------------------------------------


def test_a_reset_is_kept_on_the_pools_clock() -> None:
    assert observed(reading("5h", 0.5, WALL + 90), now=NOW, wall=WALL).retires_at == NOW + 90


def test_a_reading_without_a_reset_grows_stale_and_sooner_when_it_says_that_nothing_is_left() -> None:
    some, none = window("5h", 0.5, None), window("5h", 1.0, None)
    refused = window("5h", 0.2, None, rejected=True)
    assert some.retires_at == NOW + STALE_SECONDS
    assert none.retires_at == refused.retires_at == NOW + STALE_SPENT_SECONDS


def test_a_refusing_window_is_spent_whatever_its_figure_says() -> None:
    assert window("5h", 0.4, rejected=True).used == 1.0
    assert window("5h", 1.01, rejected=True).used == 1.01


def test_headroom_is_what_the_fullest_window_leaves_and_overage_does_not_count() -> None:
    windows = [window("5h", 0.3), window("7d", 0.6), window(OVERAGE, 0.9)]
    assert headroom_of(windows) == pytest.approx(0.4)
    assert headroom_of([window("5h", 1.2)]) == 0.0
    assert headroom_of([window(OVERAGE, 0.9)]) is None
    assert headroom_of([]) is None


# --- when a window lets requests through again ----------------------------------------------------------------------


def test_a_quota_blocks_from_its_reserve_on_until_its_reset() -> None:
    assert window("5h", 0.97).blocks_until(0.02) == 0.0
    assert window("5h", 0.98).blocks_until(0.02) == 0.0  # 2 % are left: that is the floor, not below it
    assert window("5h", 0.99).blocks_until(0.02) == NOW + HOUR
    assert window("7d", 1.0).blocks_until(0.0) == NOW + HOUR


def test_a_spent_count_of_requests_comes_back_one_by_one() -> None:
    a_day = window("requests-day", 1.0, 86_400, limit=14_400)
    assert a_day.blocks_until(0.0) == pytest.approx(NOW + 6)


def test_a_spent_count_of_tokens_needs_enough_for_a_request() -> None:
    assert window("tokens", 1.0, 60, limit=100_000).blocks_until(0.0) == pytest.approx(NOW + 3)


def test_a_count_with_a_reserve_comes_back_when_that_is_free() -> None:
    assert window("requests", 1.0, 60, limit=100).blocks_until(0.5) == pytest.approx(NOW + 30)
    assert window("requests", 0.6, 60, limit=100).blocks_until(0.5) == pytest.approx(NOW + 10)


@given(used=st.floats(0, 3), kept=st.floats(0, 1), limit=st.integers(1, 10**9), resets_in=st.floats(0.1, 1e6))
def test_no_window_blocks_beyond_its_reset(used: float, kept: float, limit: int, resets_in: float) -> None:
    for name in ("5h", "requests", "tokens-minute"):
        found = window(name, used, resets_in, limit=limit)
        assert found.blocks_until(kept) <= found.retires_at + 1e-6


# --- steps ----------------------------------------------------------------------------------------------------------


def test_the_step_settles_at_what_an_answer_uses() -> None:
    state = window("5h", 0.0)
    for number in range(1, 300):
        state = following(state, window("5h", number * 0.002))
    assert state.step == pytest.approx(0.002, rel=0.05)


def test_a_reset_is_no_step() -> None:
    before = window("5h", 0.9)
    after = following(before, window("5h", 0.0, 5 * HOUR))
    assert after.step == before.step
    assert after.used == 0.0


def test_readings_that_come_in_the_wrong_order_make_no_negative_step() -> None:
    state = window("5h", 0.9)
    for _ in range(200):
        state = following(state, window("5h", state.used / 2))
    assert state.step >= 0.0


# --- what a 429 says ------------------------------------------------------------------------------------------------


def blow(limits: Limits, model: str = OPUS) -> Blow:
    return limit_blow(limits, class_of(model), classes_of(model), now=NOW, wall=WALL)


def test_a_429_that_names_its_window_is_about_the_models_of_that_window() -> None:
    both = (reading("5h", 0.4), reading("7d_opus", 1.0, WALL + 500, model_class="opus"))
    found = blow(Limits(both, None, "7d_opus", is_rejected=True))
    assert (found.model_class, found.until, found.window) == ("opus", NOW + 500, "7d_opus")


def test_a_general_window_benches_every_model() -> None:
    spent = (
        reading("7d_opus", 1.0, WALL + 900, model_class="opus"),
        reading("5h", 1.01, WALL + 500, rejected=True),
    )
    found = blow(Limits(spent, None, ""))
    assert (found.model_class, found.window, found.until) == ("", "5h", NOW + 900)


def test_a_wait_that_is_named_stands_before_the_reset() -> None:
    spent = (reading("5h", 1.01, WALL + 500, rejected=True),)
    assert blow(Limits(spent, WALL + 7, "5h", is_rejected=True)).until == NOW + 7


def test_a_429_without_a_word_is_about_this_model_only_and_names_no_time() -> None:
    found = blow(Limits(), "gpt-4o")
    assert (found.model_class, found.until, found.window) == ("gpt-4o", None, "")
    assert blow(Limits((), WALL + 3), "gpt-4o").until == NOW + 3


def test_the_representative_window_of_an_allowing_subscription_is_not_blamed() -> None:
    # Every answer names a claim; a 429 for speed comes while the subscription itself still allows.
    found = blow(Limits((reading("5h", 0.4),), WALL + 5, "5h"))
    assert (found.model_class, found.until) == ("opus", NOW + 5)


def test_a_window_of_other_models_is_never_the_cause() -> None:
    other = (reading("7d_opus", 1.0, WALL + 900, model_class="opus", rejected=True),)
    found = blow(Limits(other, None, "7d_opus", is_rejected=True), SONNET)
    assert (found.model_class, found.until) == ("sonnet", None)


def test_spent_overage_is_not_the_cause_but_what_it_would_have_paid_for() -> None:
    spent = (
        reading("5h", 1.0, WALL + 500, rejected=True),
        reading(OVERAGE, 1.0, WALL + 10**6, rejected=True),
    )
    found = blow(Limits(spent, None, OVERAGE, is_rejected=True))
    assert (found.window, found.until) == ("5h", NOW + 500)


READINGS = st.builds(
    Reading,
    st.sampled_from(("5h", "7d", "7d_opus", "requests", "tokens", OVERAGE)),
    st.sampled_from(("", "opus", "sonnet")),
    st.floats(0, 10),
    st.none(),
    st.none(),
    st.none() | st.floats(WALL - 86_400, WALL + 10**6),
    st.booleans(),
)
LIMITS = st.builds(
    Limits,
    st.lists(READINGS, max_size=5).map(tuple),
    st.none() | st.floats(WALL, WALL + 10**6),
    st.sampled_from(("", "5h", "7d_opus", "7d_sonnet", OVERAGE, "api")),
    st.booleans(),
    st.booleans(),
)


@given(limits=LIMITS, model=st.sampled_from((OPUS, SONNET, "gpt-4o")))
def test_a_429_is_always_about_the_model_that_was_refused(limits: Limits, model: str) -> None:
    assert blow(limits, model).model_class in classes_of(model)


# --- charges --------------------------------------------------------------------------------------------------------


def charge(*readings: Reading, charged: str = OVERAGE) -> Blow:
    limits = Limits(readings, None, charged, is_overage=charged == OVERAGE)
    return charge_blow(limits, charged, classes_of(OPUS), now=NOW, wall=WALL)


def test_paid_overage_is_avoided_until_what_was_spent_has_reset() -> None:
    found = charge(reading("5h", 1.0, WALL + 500), reading("7d", 1.0, WALL + 900), reading(OVERAGE, 0.1))
    assert (found.kind, found.until, found.window) == (BenchKind.QUOTA, NOW + 900, OVERAGE)
    assert "overage" in found.reason


def test_a_charge_of_one_family_benches_that_family() -> None:
    assert charge(reading("7d_opus", 1.0, model_class="opus"), reading("5h", 0.1)).model_class == "opus"


def test_without_a_spent_window_the_first_reset_is_the_next_try() -> None:
    assert charge(reading("7d", 0.2, WALL + 900), reading("5h", 0.2, WALL + 500)).until == NOW + 500
    assert charge().until is None


# --- benches --------------------------------------------------------------------------------------------------------


def strike(known: BenchState | None, now: float, leased_at: float, until: float | None = None) -> BenchState:
    hit = Blow(BenchKind.AUTH, "", "refused", until)
    return benched(known, hit, now=now, leased_at=leased_at, jitter=0.0)


def test_waits_double_up_to_their_longest() -> None:
    waits = [backoff(BenchKind.AUTH, strikes) for strikes in range(1, 9)]
    assert waits == [60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert backoff(BenchKind.LIMITED, 500) == 60


def test_a_burst_counts_as_one_failure() -> None:
    first = strike(None, 10, 5)
    late = strike(first, 11, 9.5)
    assert late == first
    assert strike(first, first.until + 1, first.until).strikes == 2


def test_a_burst_takes_the_longest_wait_that_the_provider_names() -> None:
    first = strike(None, 10, 5, until=40)
    assert strike(first, 11, 6, until=90).until == 90
    assert strike(first, 11, 6, until=20).until == 40


@pytest.mark.parametrize("until", [9.0, 10.0])
def test_a_moment_that_has_passed_is_no_word(until: float) -> None:
    assert strike(None, 10, 5, until=until).until == 70


@given(jitter=st.floats(0, 1), strikes=st.integers(1, 30))
def test_jitter_lengthens_our_own_guesses_by_a_tenth_at_most(jitter: float, strikes: int) -> None:
    known = BenchState(BenchKind.AUTH, "", "refused", strikes, 0.0, 50.0)
    found = benched(known, Blow(BenchKind.AUTH, "", "refused"), now=60, leased_at=55, jitter=jitter)
    wait = backoff(BenchKind.AUTH, strikes + 1)
    assert wait <= found.until - 60 <= wait * 1.1 + 1e-9


def test_a_reading_with_room_lifts_the_bench_of_its_own_window_only() -> None:
    known = bench(until=NOW + 500, window="7d_opus", model_class="opus")
    fresh: WindowState = window("7d_opus", 0.1, model_class="opus")
    assert is_lifted(known, fresh, leased_at=NOW + 1)
    assert not is_lifted(known, window("5h", 0.1), leased_at=NOW + 1)
    assert not is_lifted(known, window("7d_opus", 1.0, model_class="opus"), leased_at=NOW + 1)
    assert not is_lifted(
        bench(BenchKind.AUTH, until=NOW + 9, window="5h"), window("5h", 0.1), leased_at=NOW + 1
    )


def test_an_answer_that_was_on_its_way_already_lifts_nothing() -> None:
    known = bench(until=NOW + 500, window="5h")
    assert not is_lifted(known, window("5h", 0.99), leased_at=NOW - 1)
