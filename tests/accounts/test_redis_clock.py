"""Moments by the server's clock, and facts that come in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.pool_state import LocalPoolState
from accounts.redis_clock import DRIFT, ServerClock
from accounts.redis_facts import Fact
from accounts.redis_replica import Replica
from accounts.windows import BenchKind, BenchState, WindowState
from backends.wire.limits import Reading

delays = st.floats(0.0, 0.04)


@given(st.floats(-1e6, 1e9), st.lists(st.tuples(delays, delays), min_size=1, max_size=20))
def test_the_difference_is_known_as_well_as_the_fastest_answer_allows(
    difference: float, trips: list[tuple[float, float]]
) -> None:
    server, now = ServerClock(), 1_000_000.0
    for there, back in trips:
        sent, read, received = now, now + there, now + there + back
        server.sample(sent, received, round((read + difference) * 1e6))
        now = received + 1.0
    fastest = min(there + back for there, back in trips)
    error = abs(server.offset - difference)
    assert error <= fastest / 2 + DRIFT * 20 + 1e-5
    assert server.to_ours(server.to_server(now)) == pytest.approx(now, abs=1e-5) or difference < -now


def test_a_server_whose_clock_was_set_is_believed_at_once() -> None:
    server = ServerClock()
    server.sample(100.0, 100.01, 1_000_000_000)
    server.sample(101.0, 101.01, 1_601_000_000)  # ten minutes later than it should be
    assert server.offset == pytest.approx(1500, abs=0.1)


def test_moments_before_the_servers_epoch_are_its_epoch() -> None:
    server = ServerClock()
    server.sample(100.0, 100.0, 50_000_000)
    assert server.to_server(1.0) == 0


# --- facts ------------------------------------------------------------------------------------------------------


def replica(skew: float) -> Replica:
    """A process whose clock shows another time; the server's shows 1,000,000 s at our 0."""
    server = ServerClock()
    server.sample(skew, skew, 1_000_000_000_000)
    return Replica(server, LocalPoolState(now=lambda: skew, wall=lambda: skew + 5e8))


def bench(since: float, until: float, skew: float) -> BenchState:
    return BenchState(BenchKind.LIMITED, "opus", "limited", 1, since + skew, until + skew, "5h")


events = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["window", "set", "longer", "lift"]), st.floats(0, 1000)),
    min_size=1,
    max_size=12,
)


@given(events, st.data())
def test_all_processes_believe_the_same_in_whatever_order_they_hear_it(
    events: list[tuple[int, str, float]], data: st.DataObject
) -> None:
    skews = [0.0, 600.0, -600.0, 123_456.0]
    replicas = [replica(skew) for skew in skews]
    told: list[Fact] = []
    for who, what, at in events:
        one, skew = replicas[who], skews[who]
        told += [fact for fact in _happen(one, what, at, skew) if fact is not None]
    for one in replicas:
        for fact in data.draw(st.permutations(told)):
            one.hear(fact)
            one.hear(fact)
    seen = [_seen(one, skew) for one, skew in zip(replicas, skews, strict=True)]
    for other in seen[1:]:
        assert other.keys() == seen[0].keys()
        for name, moments in other.items():
            assert moments == pytest.approx(seen[0][name], abs=1e-3)


def _happen(one: Replica, what: str, at: float, skew: float) -> list[Fact | None]:
    state = one.pool.account("a")
    if what == "window":
        window = WindowState(Reading("5h", "", 0.5, None, None, None, False), at + 60 + skew, at + skew)
        one.pool.put_windows(state, [window])
        kept = state.windows["5h", ""]
        return [one.observe("a", kept)] if kept.observed_at == window.observed_at else []
    known = state.benches.get((BenchKind.LIMITED, "opus"))
    if what == "set":
        fresh = bench(at, at + 10, skew)
    elif known is None:
        return []
    elif what == "lift":
        one.pool.lift(state, [known.key])
        return [one.lift("a", known)]
    else:
        fresh = bench(known.since - skew, max(known.until - skew, at), skew)
    one.pool.put_bench(state, fresh)
    return [one.bench("a", fresh, known)]


def _seen(one: Replica, skew: float) -> dict[str, list[float]]:
    state = one.pool.account("a")
    benches = {str(b.key): [b.since - skew, b.until - skew] for b in state.benches.values()}
    windows = {str(w.key): [w.observed_at - skew, w.retires_at - skew] for w in state.windows.values()}
    return benches | windows


def test_what_only_the_database_remembers_yields_to_what_others_know() -> None:
    knowing, late = replica(0.0), replica(600.0)
    fact = knowing.bench("a", bench(-100, 50, 0.0), None)
    assert fact is not None
    recalled = bench(900, 999, 600.0)  # by the wall clock of another machine, it seems to be newer
    late.pool.account("a").benches[recalled.key] = recalled
    assert list(late.reconcile({fact.field: fact})) == []
    assert _seen(late, 600.0)[str(recalled.key)] == pytest.approx([-100, 50])


@pytest.mark.parametrize("forgets", [True, False])
def test_a_server_is_told_what_it_does_not_know(forgets: bool) -> None:
    one = replica(0.0)
    set_first = one.bench("a", bench(1, 10, 0.0), None)
    state = one.pool.account("a")
    state.benches[BenchKind.LIMITED, "opus"] = bench(1, 10, 0.0)
    lifted = one.lift("a", state.benches.pop((BenchKind.LIMITED, "opus")))
    assert set_first is not None
    assert lifted is not None
    told = {} if forgets else {set_first.field: set_first}
    assert list(one.reconcile(told)) == [lifted]
    assert not state.benches


def test_facts_from_before_the_server_was_ever_heard_are_told_later() -> None:
    unheard = Replica(ServerClock(), LocalPoolState(now=lambda: 5.0, wall=lambda: 5.0))
    state = unheard.pool.account("a")
    window = WindowState(Reading("5h", "", 0.5, None, None, None, False), 100.0, 5.0)
    unheard.pool.put_windows(state, [window])
    assert unheard.observe("a", window) is None
    unheard.server.sample(6.0, 6.0, 1_000_000_000_000)
    (fact,) = unheard.reconcile({})
    assert fact.at == 999_999_000_000


def test_names_that_no_text_can_hold_do_not_break_a_report() -> None:
    one = replica(0.0)
    odd = BenchState(BenchKind.FAULT, "half \ud800 a character", "reason \udfff", 1, 0.0, 5.0)
    fact = one.bench("a", odd, None)
    assert fact is not None
    other = replica(0.0)
    other.hear(fact)
    assert [known.until for known in other.pool.account("a").benches.values()] == [5.0]
