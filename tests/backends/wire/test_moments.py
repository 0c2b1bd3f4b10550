"""Numbers, durations and moments out of headers: what they mean, and that junk means nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.moments import (
    DAY,
    clock_shift,
    duration,
    http_date,
    moment,
    number,
    retry_moment,
    timestamp,
    whole,
)

NOW = 1_785_510_565.5
DATE = b"Fri, 31 Jul 2026 15:09:25 GMT"  # 1785510565


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (b"0", 0),
        (b"4000", 4000),
        (b"0.46", 0.46),
        (b"1.", 1.0),
        (b".5", 0.5),
        (b"1e-05", 0.00001),
        (b"2E3", 2000.0),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1_0", None),
        (b"0x10", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e999", None),
        (b"soon", None),
        (b"9" * 30, None),
        ("٣".encode(), None),
    ],
)
def test_number(value: bytes, meant: float | None) -> None:
    assert number(value) == meant


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (b"160000", 160_000),
        (b"1000.0", 1000),
        (b"30,000", 30_000),
        (b"1,250,000", 1_250_000),
        (b"100, 100;w=60", 100),
        (b"100;w=60", 100),
        (b"100;window=60, 5000;window=3600", 100),
        (b"10, 20", None),
        (b"1,2", None),
        (b"-1", None),
        (b"1e99", None),
        (b"", None),
    ],
)
def test_whole(value: bytes, meant: int | None) -> None:
    assert whole(value) == meant


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"6m0s", 360.0),
        (b"12ms", 0.012),
        (b"1h30m", 5400.0),
        (b"2m59.56s", 179.56),
        (b"7.66s", 7.66),
        (b"24h0m0s", DAY),
        (b"1908191s", 1_908_191.0),
        (b"1d2h", 93_600.0),
        (b"5m", 300.0),
        (b"250us", 0.00025),
        ("120µs".encode(), 0.00012),
        ("120µs".encode("latin-1"), 0.00012),
        (b"0s", 0.0),
        (b"", None),
        (b"s", None),
        (b"-6m0s", None),
        (b"6 m", None),
        (b"6s5m", None),
        (b"60", None),
        (b"9" * 40 + b"s", None),
    ],
)
def test_duration(value: bytes, seconds: float | None) -> None:
    found = duration(value)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777.0),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777.0),
        (b"Sun Nov  6 08:49:37 1994", 784_111_777.0),
        (b"Friday, 31-Jul-26 15:09:25 GMT", 1_785_510_565.0),
        (b"Fri, 31 Feb 2026 15:09:25 GMT", None),
        (b"Fri, 31 Jux 2026 15:09:25 GMT", None),
        (b"Fri, 31 Jul 2026 25:09:25 GMT", None),
        (b"2026-07-31T15:09:25Z", None),
        (b"tomorrow", None),
        (b"", None),
    ],
)
def test_http_date(value: bytes, at: float | None) -> None:
    assert http_date(value) == at


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (b"2026-07-31T15:09:25Z", 1_785_510_565.0),
        (b"2026-07-31t15:09:25z", 1_785_510_565.0),
        (b"2026-07-31T15:09:25.250Z", 1_785_510_565.25),
        (b"2026-07-31T15:09:25.123456789Z", 1_785_510_565.123456),
        (b"2026-07-31T17:09:25+02:00", 1_785_510_565.0),
        (b"2026-07-31T15:09:25", 1_785_510_565.0),
        (b"2026-07-31", None),
        (b"20260731T150925Z", None),
        (b"2026-13-31T15:09:25Z", None),
        (b"0001-01-01T00:00:00+23:59", -62_135_683_140.0),
        (b"2026-07-31T15:09:25\xff", None),
    ],
)
def test_timestamp(value: bytes, at: float | None) -> None:
    assert timestamp(value) == at


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (b"0", NOW),
        (b"11.38", NOW + 11.38),
        (b"6m0s", NOW + 360),
        (b"1785518400", 1_785_518_400.0),
        (b"1785518400500", 1_785_518_400.5),
        (b"2026-07-31T15:10:25Z", 1_785_510_625.0),
        (b"Fri, 31 Jul 2026 15:10:25 GMT", 1_785_510_625.0),
        (b"1785510560", 1_785_510_560.0),
        (b"2764800", NOW + 32 * DAY),
        (b"2764801", None),
        (b"1785400000", None),
        (b"1794000000", None),
        (b"1000000000000000000", None),
        (b"-1", None),
        (b"soon", None),
        (b"", None),
    ],
)
def test_moment(value: bytes, at: float | None) -> None:
    assert moment(value, DATE, NOW) == at


@pytest.mark.parametrize("value", [b"1785518400", b"1785518400000", b"2026-07-31T17:20:00Z"])
def test_a_moment_is_told_on_our_clock_and_a_wait_needs_none(value: bytes) -> None:
    fast = NOW + 600
    assert moment(value, DATE, fast) == pytest.approx(1_785_518_400 + 600, abs=1)
    assert moment(b"60", DATE, fast) == fast + 60
    assert moment(b"1m", DATE, fast) == fast + 60


@pytest.mark.parametrize(
    ("date", "ahead", "shift"),
    [
        (DATE, 0.0, 0.0),
        (DATE, 1.4, 0.0),
        (DATE, -1.4, 0.0),
        (DATE, 600.2, 600.0),
        (DATE, -7200.0, -7200.0),
        (DATE, DAY + 1, 0.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0, 0.0),
        (b"junk", 600.0, 0.0),
        (b"", 600.0, 0.0),
        (None, 600.0, 0.0),
    ],
)
def test_the_shift_between_two_clocks(date: bytes | None, ahead: float, shift: float) -> None:
    assert clock_shift(date, 1_785_510_565.0 + ahead) == shift


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (b"7835", 7835),
        (b"0", 0),
        (b"1.5", 1.5),
        (b"30s", 30),
        (b"Fri, 31 Jul 2026 15:10:25 GMT", 60),
        (DATE, 0),
        (b"604800", 7 * DAY),
        (b"604801", None),
        (b"Sat, 08 Aug 2026 15:10:25 GMT", None),
        (b"Fri, 31 Jul 2026 15:09:24 GMT", None),
        (b"-1", None),
        (b"1000000000", None),
        (b"NaN", None),
        (b"soon", None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("skew", [0.0, 3600.0, -3600.0])
def test_retry_moment_counts_from_the_answers_own_date(value: bytes, wait: float | None, skew: float) -> None:
    now = 1_785_510_565.0 + skew
    assert retry_moment(value, DATE, now) == (None if wait is None else now + wait)


def test_a_date_without_a_date_counts_from_our_clock() -> None:
    assert retry_moment(b"Fri, 31 Jul 2026 15:10:25 GMT", None, NOW) == 1_785_510_625.0
    assert retry_moment(b"Fri, 31 Jul 2026 15:10:25 GMT", b"junk", NOW) == 1_785_510_625.0


@given(st.floats(0, 7 * DAY), st.floats(0, 7 * DAY), st.floats(1.5e9, 2.5e9))
def test_retry_after_is_monotone(one: float, other: float, now: float) -> None:
    """The longer the wait that is asked for, the later the moment."""
    less, more = sorted((one, other))
    first, second = (retry_moment(f"{wait:.6f}".encode(), None, now) for wait in (less, more))
    assert first is not None
    assert second is not None
    assert now <= first <= second <= now + 7 * DAY + 1e-6


shaped = st.from_regex(rb"[0-9.,:+TZhmsdeE -]{0,30}|[A-Z][a-z]{2}, [0-9 A-Za-z:]{20,21} GMT", fullmatch=True)
values = st.binary(max_size=40) | shaped


@given(values, st.none() | values, st.floats(1.5e9, 2.5e9))
def test_every_value_is_read_or_refused(value: bytes, date: bytes | None, now: float) -> None:
    for read in (number, whole, duration):
        found = read(value)
        assert found is None or (math.isfinite(found) and found >= 0)
    for at in (http_date(value), timestamp(value)):
        assert at is None or math.isfinite(at)
    resets_at, retry_at = moment(value, date, now), retry_moment(value, date, now)
    assert resets_at is None or now - DAY <= resets_at <= now + 32 * DAY
    assert retry_at is None or now <= retry_at <= now + 7 * DAY
