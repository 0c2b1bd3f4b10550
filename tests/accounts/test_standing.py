"""Who can serve: windows, reserves, benches, overage, and the operator's word."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.snapshot import AccountConfig, TokenFacts
from accounts.standing import (
    REFRESH_SECONDS,
    Obstacle,
    ObstacleKind,
    Standing,
    may_use,
    standing_of,
    status_of,
)
from accounts.windows import OVERAGE, BenchKind, BenchState, WindowState
from backends.wire.limits import classes_of
from tests.accounts.pools import HOUR, OPUS, SONNET, WALL, account, bench, window

NOW = 1000.0
A = account("a")


def standing(
    windows: Iterable[WindowState] = (),
    benches: Iterable[BenchState] = (),
    model: str | None = OPUS,
    *,
    of: AccountConfig = A,
    now: float = NOW,
    wall: float = WALL,
    void_before: float = -math.inf,
) -> Standing:
    classes = None if model is None else classes_of(model)
    return standing_of(of, windows, benches, classes, now=now, wall=wall, void_before=void_before)


def obstacle(*args: Iterable[object], **settings: object) -> tuple[ObstacleKind, float | None]:
    found = standing(*args, **settings).obstacle  # type: ignore[arg-type]
    assert found is not None
    return found.kind, found.recovers_at


def test_an_account_of_which_nothing_is_known_can_serve() -> None:
    found = standing()
    assert (found.obstacle, found.headroom, found.percent_left, found.valid_until) == (
        None,
        None,
        100,
        math.inf,
    )


# --- windows --------------------------------------------------------------------------------------------------------


def test_headroom_is_the_least_that_is_left_of_what_governs_the_model() -> None:
    windows = [window("5h", 0.2), window("7d", 0.5), window("7d_opus", 0.9, model_class="opus")]
    assert standing(windows, model=OPUS).headroom == pytest.approx(0.1)
    assert standing(windows, model=SONNET).headroom == pytest.approx(0.5)


def test_a_family_window_never_blocks_another_family() -> None:
    windows = [window("5h", 0.2), window("7d_opus", 1.0, model_class="opus")]
    assert obstacle(windows, model=OPUS) == (ObstacleKind.LIMITED, NOW + HOUR)
    assert standing(windows, model=SONNET).obstacle is None


def test_a_spent_window_is_over_at_its_reset() -> None:
    windows = [window("5h", 1.0, HOUR)]
    assert obstacle(windows) == (ObstacleKind.LIMITED, NOW + HOUR)
    assert standing(windows).valid_until <= NOW + HOUR
    assert standing(windows, now=NOW + HOUR).obstacle is None
    assert standing(windows, now=NOW + HOUR).headroom is None


def test_of_several_spent_windows_the_last_reset_counts() -> None:
    windows = [window("5h", 1.0, HOUR), window("7d", 0.99, 9 * HOUR), window("requests", 0.5, 99 * HOUR)]
    found = standing(windows).obstacle
    assert found is not None
    assert found.recovers_at == NOW + 9 * HOUR
    assert found.reason == "5h spent; 7d at 99%, 2% is kept in reserve"


def test_the_reserve_is_for_quotas_and_can_be_set_by_window() -> None:
    careful = account("a", reserve=0.1, reserves={"7d": 0.5, "requests": 0.2})
    assert standing([window("5h", 0.9)], of=careful).obstacle is None
    assert standing([window("5h", 0.91)], of=careful).obstacle is not None
    assert standing([window("7d", 0.51)], of=careful).obstacle is not None
    assert standing([window("tokens", 0.99, limit=1000)], of=careful).obstacle is None
    assert standing([window("requests", 0.85, limit=1000)], of=careful).obstacle is not None


def test_a_spent_rate_is_free_again_before_its_reset_and_the_standing_knows_when() -> None:
    windows = [window("requests", 1.0, 60, limit=60)]
    assert obstacle(windows) == (ObstacleKind.LIMITED, NOW + 1)
    assert standing(windows).valid_until == NOW + 1
    assert standing(windows, now=NOW + 1).obstacle is None


@given(
    used=st.floats(0, 2),
    reserve=st.floats(0, 1),
    resets_in=st.floats(1, 10**6),
    later=st.floats(0, 2 * 10**6),
)
def test_the_answer_holds_until_valid_until_and_nobody_is_kept_out_beyond_the_reset(
    used: float, reserve: float, resets_in: float, later: float
) -> None:
    windows = [window("5h", used, resets_in), window("requests", min(used, 1.0), resets_in / 2, limit=50)]
    careful = replace(A, reserve=reserve)
    first, then = standing(windows, of=careful), standing(windows, of=careful, now=NOW + later)
    if NOW + later < first.valid_until:
        assert (then.obstacle, then.headroom) == (first.obstacle, first.headroom)
    if later > resets_in + 0.001:
        assert then.obstacle is None


# --- paid overage ---------------------------------------------------------------------------------------------------

SPENT = [window("5h", 1.0, HOUR, rejected=True), window(OVERAGE, 0.1, 99 * HOUR)]


def test_open_overage_carries_on_where_it_is_allowed_and_says_so() -> None:
    found = standing(SPENT)
    assert (found.obstacle, found.is_overage) == (None, True)


def test_an_account_that_may_not_use_overage_waits_for_its_windows() -> None:
    plain = account("a", allowed_claims=frozenset(("5h", "7d")))
    assert obstacle(SPENT, of=plain) == (ObstacleKind.GUARD, NOW + HOUR)


def test_overage_does_not_pay_for_what_is_only_kept_in_reserve() -> None:
    assert obstacle([window("5h", 0.99), window(OVERAGE, 0.0)])[0] is ObstacleKind.LIMITED


def test_spent_overage_carries_nothing() -> None:
    assert obstacle([window("5h", 1.0), window(OVERAGE, 1.0)])[0] is ObstacleKind.LIMITED


def test_who_allows_a_window_allows_its_parts() -> None:
    plain = account("a", allowed_claims=frozenset(("5h", "7d")))
    assert may_use(plain, "7d_opus")
    assert not may_use(plain, OVERAGE)
    assert may_use(A, OVERAGE)


# --- benches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (BenchKind.LIMITED, ObstacleKind.COOLING),
        (BenchKind.QUOTA, ObstacleKind.COOLING),
        (BenchKind.AUTH, ObstacleKind.NEEDS_LOGIN),
        (BenchKind.FAULT, ObstacleKind.FAULTY),
    ],
)
def test_a_bench_keeps_the_account_out_until_its_probe_is_due(
    kind: BenchKind, expected: ObstacleKind
) -> None:
    held = bench(kind, until=NOW + 60)
    assert obstacle((), [held]) == (expected, NOW + 60)
    due = standing((), [held], now=NOW + 60)
    assert (due.obstacle, due.probe) == (None, held)


def test_a_charge_that_is_not_allowed_is_a_guard_until_the_operator_allows_it() -> None:
    charged = bench(BenchKind.QUOTA, until=NOW + 60, window=OVERAGE)
    plain = account("a", allowed_claims=frozenset(("5h",)))
    assert obstacle((), [charged], of=plain)[0] is ObstacleKind.GUARD
    assert (
        standing((), [charged], of=replace(plain, allowed_claims=frozenset(("5h", OVERAGE)))).obstacle is None
    )


def test_a_bench_of_one_family_leaves_the_others_alone() -> None:
    held = bench(until=NOW + 60, model_class="opus")
    assert standing((), [held], model=SONNET).obstacle is None
    assert standing((), [held], model=OPUS).obstacle is not None


def test_what_holds_longest_is_named_and_a_mere_fault_last() -> None:
    held = [
        bench(BenchKind.FAULT, until=NOW + 900),
        bench(BenchKind.QUOTA, until=NOW + 60),
        bench(BenchKind.LIMITED, until=NOW + 30),
    ]
    assert obstacle((), held) == (ObstacleKind.COOLING, NOW + 60)


def test_a_fault_does_not_hide_a_spent_window() -> None:
    # A faulty account is used when nothing else is left; a spent one is not.
    assert obstacle([window("5h", 1.0)], [bench(BenchKind.FAULT, until=NOW + 60)])[0] is ObstacleKind.LIMITED


def test_a_due_probe_of_a_spent_account_waits_for_the_reset() -> None:
    found = standing([window("5h", 1.0, HOUR)], [bench(until=NOW - 1, since=NOW - 9)])
    assert found.obstacle is not None
    assert found.obstacle.recovers_at == NOW + HOUR


def test_resuming_makes_void_what_was_known_before() -> None:
    windows, held = [window("5h", 1.0, now=NOW)], [bench(until=NOW + 900, since=NOW)]
    assert standing(windows, held, now=NOW + 1).obstacle is not None
    assert standing(windows, held, now=NOW + 1, void_before=NOW + 0.5).obstacle is None
    fresh = [window("5h", 1.0, now=NOW + 1)]
    assert standing(fresh, held, now=NOW + 1, void_before=NOW + 0.5).obstacle is not None


# --- the operator and the credential ---------------------------------------------------------------------------------


def test_a_paused_account_is_broken_and_nothing_else_is_said() -> None:
    found = standing([window("5h", 1.0)], of=account("a", is_paused=True)).obstacle
    assert found is not None
    assert (found.kind, found.recovers_at, found.is_broken) == (ObstacleKind.PAUSED, None, True)


def test_a_secret_that_cannot_be_opened_needs_a_login() -> None:
    assert obstacle(of=account("a", problem="its key cannot be opened"))[0] is ObstacleKind.NEEDS_LOGIN


def token(left: float, *, can_refresh: bool) -> AccountConfig:
    facts = TokenFacts(1, time.time() + left, can_refresh, obtained_at=0.0)
    return account(f"t{left}{can_refresh}", kind="oauth", token=facts)


def test_a_token_at_its_end_is_out_until_it_is_refreshed() -> None:
    kind, recovers_at = obstacle(of=token(10, can_refresh=True), wall=time.time())
    assert (kind, recovers_at) == (ObstacleKind.REFRESHING, NOW + REFRESH_SECONDS)
    assert obstacle(of=token(10, can_refresh=False), wall=time.time()) == (ObstacleKind.EXPIRED, None)


def test_a_refused_token_that_was_replaced_benches_nobody_and_other_benches_stay() -> None:
    refused, limited = bench(BenchKind.AUTH, until=NOW + 900), bench(until=NOW + 900)
    wall, later = time.time(), NOW + 10
    old = token(600, can_refresh=True)
    facts = replace(old.token, obtained_at=wall - 5) if old.token else None  # five seconds after the refusal
    assert obstacle((), [refused], of=old, now=later, wall=wall)[0] is ObstacleKind.NEEDS_LOGIN
    assert standing((), [refused], of=replace(old, token=facts), now=later, wall=wall).obstacle is None
    assert (
        obstacle((), [limited], of=replace(old, token=facts), now=later, wall=wall)[0] is ObstacleKind.COOLING
    )


def test_a_standing_ends_before_its_token_does() -> None:
    found = standing(of=token(600, can_refresh=True), wall=time.time())
    assert found.obstacle is None
    assert NOW + 500 < found.valid_until <= NOW + 570 + 1


def test_a_token_file_is_looked_at_every_second(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abc")
    path.chmod(0o600)
    found = standing(of=account("f", kind="token_file", token_file=str(path)))
    assert (found.obstacle, found.valid_until) == (None, NOW + 1)


# --- the account as a whole -------------------------------------------------------------------------------------------


def test_as_a_whole_an_account_is_what_it_can_serve_best() -> None:
    windows = [window("7d_opus", 1.0, model_class="opus"), window("7d_sonnet", 0.4, model_class="sonnet")]
    found = standing(windows, model=None)
    assert (found.obstacle, found.headroom) == (None, pytest.approx(0.6))


def test_a_general_window_limits_the_whole() -> None:
    windows = [window("5h", 1.0, HOUR), window("7d_sonnet", 0.4, model_class="sonnet")]
    assert obstacle(windows, model=None) == (ObstacleKind.LIMITED, NOW + HOUR)


def test_as_a_whole_it_is_back_when_its_first_family_is() -> None:
    windows = [
        window("7d_opus", 1.0, 9 * HOUR, model_class="opus"),
        window("7d_sonnet", 1.0, HOUR, model_class="sonnet"),
    ]
    assert obstacle(windows, model=None) == (ObstacleKind.LIMITED, NOW + HOUR)
    assert standing(windows, model=None).valid_until <= NOW + HOUR
    assert standing(windows, model=None, now=NOW + HOUR).obstacle is None


def test_it_tells_that_the_credential_was_refused_until_a_good_answer() -> None:
    refused = bench(BenchKind.AUTH, until=NOW + 60)
    assert standing((), [refused], model=None, now=NOW + 999).is_refused
    assert not standing((), [bench(until=NOW + 60)], model=None).is_refused


def test_every_obstacle_has_a_word_for_accounts() -> None:
    words = {"ready", "limited", "cooling", "expired", "needs-login", "paused"}
    assert status_of(None) == "ready"
    assert {status_of(Obstacle(kind, "")) for kind in ObstacleKind} == words
