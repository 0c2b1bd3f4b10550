"""Conditions of targets: what holds when, and what is refused."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.conditions import (
    DAYS,
    FEATURES,
    NO_CONDITIONS,
    BadCondition,
    StatedFacts,
    parse_conditions,
)

NOON = datetime(2026, 1, 5, 12, 0)  # noqa: DTZ001  (local time; a Monday)


def at(day: str, hour: int, minute: int = 0) -> datetime:
    return NOON.replace(day=5 + DAYS.index(day), hour=hour, minute=minute)


def holds(conditions: dict[str, object], moment: datetime = NOON, **facts: object) -> bool:
    stated = StatedFacts(moment, **facts)  # type: ignore[arg-type]
    return parse_conditions(conditions).unmet(stated) == ""


def test_no_conditions_always_hold() -> None:
    assert holds({})
    assert not parse_conditions({})
    assert parse_conditions({}) == NO_CONDITIONS


@pytest.mark.parametrize("word", FEATURES)
def test_needs_and_without_are_opposites(word: str) -> None:
    for features in (frozenset[str](), frozenset({word})):
        assert holds({"needs": [word]}, features=features) is bool(features)
        assert holds({"without": [word]}, features=features) is not bool(features)


def test_needs_wants_all_and_without_wants_none() -> None:
    both = {"needs": ["tools", "images"]}
    assert not holds(both, features=frozenset({"tools"}))
    assert holds(both, features=frozenset({"tools", "images"}))
    assert not holds({"without": ["tools", "images"]}, features=frozenset({"images"}))


@pytest.mark.parametrize(
    ("tokens", "expected"), [(99, False), (100, True), (150, True), (200, True), (201, False)]
)
def test_tokens_are_bounds_that_belong_to_the_range(tokens: int, expected: bool) -> None:
    assert holds({"min_tokens": 100, "max_tokens": 200}, tokens=tokens) is expected


def test_keys_are_names() -> None:
    assert holds({"keys": ["ci", "laptop"]}, key="ci")
    assert not holds({"keys": ["ci"]}, key="CI")
    assert not holds({"keys": ["ci"]})


@pytest.mark.parametrize(
    ("hours", "minute", "expected"),
    [
        ("09:00-17:00", 8 * 60 + 59, False),
        ("09:00-17:00", 9 * 60, True),
        ("09:00-17:00", 17 * 60, False),
        ("22:00-06:00", 22 * 60, True),
        ("22:00-06:00", 5 * 60 + 59, True),
        ("22:00-06:00", 6 * 60, False),
        ("22:00-06:00", 12 * 60, False),
        ("18:00-24:00", 23 * 60 + 59, True),
        ("18:00-24:00", 0, False),
        ("0:00-0:01", 0, True),
    ],
)
def test_hours_begin_with_their_first_minute_and_end_before_their_last(
    hours: str, minute: int, expected: bool
) -> None:
    moment = NOON.replace(hour=minute // 60, minute=minute % 60)
    assert holds({"hours": [hours]}, moment) is expected


def test_several_hours_are_alternatives() -> None:
    lunch = {"hours": ["12:00-13:00", "18:00-19:00"]}
    assert holds(lunch, at("mon", 12, 30))
    assert holds(lunch, at("mon", 18, 30))
    assert not holds(lunch, at("mon", 15))


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    friday_night = {"hours": ["22:00-06:00"], "days": ["fri"]}
    assert holds(friday_night, at("fri", 23))
    assert holds(friday_night, at("sat", 2))
    assert not holds(friday_night, at("fri", 2))
    assert not holds(friday_night, at("sat", 23))
    sunday_night = {"hours": ["22:00-06:00"], "days": ["sun"]}
    assert holds(sunday_night, at("mon", 1))


def test_days_alone() -> None:
    assert [day for day in DAYS if holds({"days": ["sat", "sun"]}, at(day, 12))] == ["sat", "sun"]


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"needs": ["images"]}, "only for requests with images"),
        ({"without": ["tools"]}, "only for requests without tools"),
        ({"min_tokens": 100_000}, "only from 100,000 tokens on, and there are about 5,000"),
        ({"max_tokens": 10}, "only up to 10 tokens"),
        ({"keys": ["ci"]}, "only for client key ci"),
        ({"hours": ["22:00-06:00"]}, "only at 22:00-06:00, and it is 12:00"),
        ({"days": ["sun"]}, "only on sun, and it is mon"),
    ],
)
def test_each_condition_says_why_it_does_not_hold(conditions: dict[str, object], words: str) -> None:
    facts = StatedFacts(NOON, frozenset({"tools"}), 5000)
    assert words in parse_conditions(conditions).unmet(facts)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "conditions"),
        ({"smell": True}, "smell"),
        ({"needs": ["smell"]}, "needs"),
        ({"needs": []}, "needs"),
        ({"needs": 3}, "needs"),
        ({"min_tokens": 0}, "min_tokens"),
        ({"min_tokens": True}, "min_tokens"),
        ({"min_tokens": "9"}, "min_tokens"),
        ({"max_tokens": 10**12}, "max_tokens"),
        ({"keys": [""]}, "keys"),
        ({"hours": ["noon"]}, "hours"),
        ({"hours": ["25:00-26:00"]}, "hours"),
        ({"hours": ["10:60-11:00"]}, "hours"),
        ({"hours": ["09:00-09:00"]}, "hours"),
        ({"hours": ["24:00-06:00"]}, "hours"),
        ({"days": ["someday"]}, "days"),
        ({"needs": ["tools"], "without": ["tools"]}, "without"),
        ({"min_tokens": 10, "max_tokens": 9}, "max_tokens"),
    ],
)
def test_what_makes_no_sense_or_can_never_hold_is_refused(value: object, field: str) -> None:
    with pytest.raises(BadCondition) as caught:
        parse_conditions(value)
    assert caught.value.field == field


_CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "needs": st.lists(st.sampled_from(FEATURES[:2]), min_size=1),
        "without": st.lists(st.sampled_from(FEATURES[2:]), min_size=1),
        "min_tokens": st.integers(1, 1000),
        "max_tokens": st.integers(1000, 9000),
        "keys": st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1),
        "hours": st.lists(st.sampled_from(["22:00-06:00", "9:00-17:30", "00:00-24:00"]), min_size=1),
        "days": st.lists(st.sampled_from(DAYS), min_size=1),
    },
)


@given(_CONDITIONS)
def test_conditions_survive_being_stored(value: dict[str, object]) -> None:
    parsed = parse_conditions(value)
    assert parse_conditions(parsed.as_json()) == parsed


@given(_CONDITIONS, st.frozensets(st.sampled_from(FEATURES)), st.integers(0, 10_000), st.datetimes())
def test_any_conditions_are_decided(
    value: dict[str, object], features: frozenset[str], tokens: int, moment: datetime
) -> None:
    facts = StatedFacts(moment, features, tokens, "ci")
    assert isinstance(parse_conditions(value).unmet(facts), str)
