"""Rate-limit headers of every provider become the same few facts, and junk becomes nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.limits import NO_LIMITS, Limits, Reading, class_of, classes_of, read_limits
from tests.backends.wire.limit_cases import (
    DATE,
    NEARLY_SPENT,
    NOW,
    READINGS,
    SPENT_5H,
    SPENT_FAMILY,
    quota,
    unified,
)


def read(headers: dict[str, str], model: str = "claude-opus-4-8", now: float = NOW) -> Limits:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return read_limits(iter(pairs), model=model, now=now)


def test_a_spent_subscription_window() -> None:
    assert read(SPENT_5H) == Limits(
        readings=(
            quota("5h", 1.01, 1_785_518_400.0, rejected=True),
            quota("7d", 0.69, 1_786_006_800.0),
            quota("overage", 1.0, None, rejected=True),
        ),
        retry_at=NOW + 7835,
        claim="5h",
        is_rejected=True,
    )


def test_a_subscription_window_that_is_nearly_spent() -> None:
    assert read(NEARLY_SPENT, "claude-fable-5") == Limits(
        readings=(
            quota("5h", 0.46, 1_785_525_000.0),
            quota("7d", 0.91, 1_785_630_000.0),
            quota("7d_oi", 0.22, 1_785_630_000.0, of="fable"),
            quota("overage", 0.0, 1_787_080_800.0),
        ),
        claim="7d",
    )


def test_a_spent_family_leaves_the_other_families_alone() -> None:
    limits = read(SPENT_FAMILY, "claude-fable-5")
    assert (limits.claim, limits.is_rejected, limits.is_overage) == ("7d_oi", True, False)
    spent = [reading.model_class for reading in limits.readings if reading.utilization >= 1]
    assert spent == ["fable", ""]
    assert "fable" not in classes_of("claude-opus-4-8")


@pytest.mark.parametrize(("headers", "readings"), READINGS)
def test_readings(headers: dict[str, str], readings: tuple[Reading, ...]) -> None:
    found = read({"date": DATE, "content-type": "application/json"} | headers).readings
    assert [(r.window, r.model_class) for r in found] == [(r.window, r.model_class) for r in readings]
    for one, meant in zip(found, readings, strict=True):
        assert one.utilization == pytest.approx(meant.utilization)
        assert one.resets_at == (None if meant.resets_at is None else pytest.approx(meant.resets_at))
        assert (one.remaining, one.limit, one.is_rejected) == (
            meant.remaining,
            meant.limit,
            meant.is_rejected,
        )


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 7),
        ({"retry-after-ms": "1000000000", "retry-after": "7"}, 7),
        ({"retry-after": "Fri, 31 Jul 2026 15:10:25 GMT", "date": DATE}, 60),
        ({"retry-after": "287441"}, 287_441),
        ({"retry-after": "604801"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after-ms": "soon"}, None),
        ({"x-ratelimit-reset-requests": "60"}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], wait: float | None) -> None:
    assert read(headers).retry_at == (None if wait is None else NOW + wait)


REJECTED = {"status": "rejected", "representative-claim": "five_hour", "5h__status": "rejected"}


@pytest.mark.parametrize(
    ("fields", "claim", "is_overage", "is_rejected"),
    [
        (REJECTED, "5h", False, True),
        (REJECTED | {"overage__status": "rejected"}, "5h", False, True),
        (REJECTED | {"overage__status": "allowed"}, "5h", True, False),
        (REJECTED | {"overage__status": "allowed_warning"}, "5h", True, False),
        ({"5h__status": "rejected"}, "", False, True),
        ({"5h__status": "rejected", "status": "allowed"}, "", False, False),
        ({"7d_sonnet__status": "rejected"}, "", False, False),
        ({"7d_opus__status": "rejected"}, "", False, True),
        ({"overage__status": "rejected"}, "", False, False),
        ({"status": "allowed", "representative-claim": "overage"}, "overage", True, False),
        ({"status": "allowed", "overage-in-use": "true"}, "", True, False),
        ({"status": "allowed", "overage-in-use": "false"}, "", False, False),
        ({"status": "rejected", "representative-claim": "overage"}, "overage", False, True),
        ({"status": "allowed", "representative-claim": "seven_day_opus"}, "7d_opus", False, False),
        ({"status": "allowed", "representative-claim": "seven_day"}, "7d", False, False),
        ({"status": "allowed", "representative-claim": "five_hour_fallback"}, "5h", False, False),
        ({"status": "allowed", "representative-claim": "seven_day_overage_included"}, "7d_oi", False, False),
        ({"status": "allowed", "representative-claim": "api"}, "api", False, False),
        ({"status": "allowed", "representative-claim": "<b>"}, "", False, False),
        ({"status": "allowed", "representative-claim": "seven_day_" + "x" * 50}, "", False, False),
        ({"status": "", "representative-claim": ""}, "", False, False),
    ],
)
def test_who_carries_a_subscriptions_request(
    fields: dict[str, str], claim: str, is_overage: bool, is_rejected: bool
) -> None:
    limits = read(unified(**fields))
    assert (limits.claim, limits.is_overage, limits.is_rejected) == (claim, is_overage, is_rejected)


def test_a_refusal_stands_for_the_window_that_it_names() -> None:
    headers = unified(status="rejected", reset=1785630000, **{"representative-claim": "seven_day_opus"})
    assert read(headers).readings == (quota("7d_opus", 1.0, 1_785_630_000.0, of="opus", rejected=True),)
    allowed = unified(status="allowed", reset=1785630000, **{"representative-claim": "seven_day_opus"})
    assert read(allowed).readings == ()


def test_resets_are_told_on_our_clock() -> None:
    """Ours is an hour ahead of the upstream's."""
    limits = read(SPENT_5H, now=NOW + 3600)
    assert limits.readings[0].resets_at == 1_785_518_400.0 + 3600
    assert limits.retry_at == NOW + 3600 + 7835


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"date": DATE, "content-type": "text/event-stream", "x-request-id": "r"},
        {"x-ratelimit-limit-images": "5", "anthropic-ratelimit-unified-upgrade-paths": "overage"},
        {"x-ratelimit-remaining-" + "requests" * 20: "5"},
    ],
)
def test_an_answer_without_limits_changes_nothing(headers: dict[str, str]) -> None:
    assert read(headers) is NO_LIMITS


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-opus-4-8", "opus"),
        ("claude-opus-4-8[1m]", "opus"),
        ("claude-3-5-sonnet-20241022", "sonnet"),
        ("anthropic/claude-haiku-4.5", "haiku"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "sonnet"),
        ("claude-2.1", "claude-2.1"),
        ("GPT-4o", "gpt-4o"),
        ("openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("", ""),
    ],
)
def test_class_of(model: str, name: str) -> None:
    assert class_of(model) == name
    assert {"", name} <= classes_of(model)


def test_a_limit_governs_no_other_model() -> None:
    assert classes_of("mistral-large") == {"", "mistral-large"}
    assert {"opus", "opus-4", "opus-4-8"} <= classes_of("claude-opus-4-8")
    assert not {"sonnet", "priority/opus", "fast/opus"} & classes_of("claude-opus-4-8")
    assert len(classes_of("claude-" + "a-" * 90)) < 50


known = st.sampled_from(sorted({name for headers, _ in READINGS for name in headers} | set(SPENT_5H)))
shaped = st.from_regex(
    rb"(anthropic-ratelimit-unified-[0-9]{1,3}[hdwm](_[a-z0-9_-]{1,45})?|x-ratelimit-limit|retry-after)"
    rb"(-[a-z_-]{0,20})?",
    fullmatch=True,
)
header_names = known.map(str.encode) | shaped | st.binary(max_size=120)
header_values = (
    st.sampled_from(
        [b"rejected", b"allowed", b"five_hour", b"true", DATE.encode(), b"6m0s", b"2026-07-31T15:10:25Z"]
    )
    | st.integers(-(10**20), 10**20).map(lambda n: str(n).encode())
    | st.floats().map(lambda x: str(x).encode())
    | st.binary(max_size=40)
)


@given(st.lists(st.tuples(header_names, header_values), max_size=60), st.text(max_size=250))
def test_whatever_an_upstream_sends_is_read_or_left_out(
    headers: list[tuple[bytes, bytes]], model: str
) -> None:
    limits = read_limits(headers, model=model, now=NOW)
    assert limits.retry_at is None or NOW <= limits.retry_at <= NOW + 7 * 86_400
    assert len(limits.readings) <= 33
    assert len({(r.window, r.model_class) for r in limits.readings}) == len(limits.readings)
    for reading in limits.readings:
        assert 0 <= reading.utilization <= 10
        assert reading.resets_at is None or math.isfinite(reading.resets_at)
        assert reading.resets_at is None or NOW - 86_400 <= reading.resets_at <= NOW + 32 * 86_400
        assert 1 <= len(reading.window) <= 64
        assert len(reading.model_class) <= 200
        assert all(n is None or 0 <= n < 2**63 for n in (reading.remaining, reading.limit))
    assert len(limits.claim) <= 64
    assert not (limits.is_overage and limits.is_rejected)
