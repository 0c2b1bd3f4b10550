"""When a target of a route counts: conditions on the request, the client key and the time of day. Pure.

They are stored as JSON with these fields, each optional:
  needs       words of FEATURES: the target is for requests that have all of them
  without     words of FEATURES: not for requests that have any of them
  min_tokens  for prompts of at least so many tokens, by estimate
  max_tokens  for prompts of at most so many
  keys        names of client keys
  hours       ["22:00-06:00"], local time; one that ends before it begins goes over midnight
  days        ["mon", "fri"]; hours over midnight belong to the day on which they begin
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

FEATURES = ("tools", "images", "schema", "documents", "reasoning")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_TOKENS = 100_000_000
MOST_ENTRIES = 100
_SPAN = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_DAY_MINUTES = 24 * 60
_WORDS = {
    "tools": "tools",
    "images": "images",
    "schema": "JSON schema for the answer",
    "documents": "documents",
    "reasoning": "reasoning",
}


class BadCondition(ValueError):
    """A condition that cannot be understood, or that can never hold. `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class Facts(Protocol):
    """What a decision may know of a request. Each answer stays the same as long as the request lives."""

    @property
    def key(self) -> str:
        """The client key's name; "" for none."""

    @property
    def session(self) -> str:
        """What stands for the conversation: the same text always chooses the same target of a group."""

    @property
    def moment(self) -> datetime:
        """Local time."""

    @property
    def tokens(self) -> int:
        """The prompt's length, by estimate."""

    def has(self, feature: str) -> bool:
        """Whether the request asks for this word of FEATURES."""

    def exceeds(self, tokens: int) -> bool:
        """Whether the prompt is longer, by estimate: cheaper to tell than how long it is."""


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """Facts that somebody states, to ask what would happen."""

    moment: datetime
    features: frozenset[str] = frozenset()
    tokens: int = 0
    key: str = ""
    session: str = ""

    def has(self, feature: str) -> bool:
        """Whether it was stated."""
        return feature in self.features

    def exceeds(self, tokens: int) -> bool:
        """Whether more were stated."""
        return self.tokens > tokens


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of the day, in minutes since midnight."""

    begin: int
    end: int

    def holds(self, minute: int) -> bool:
        """Whether the minute lies in it."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def began_yesterday(self, minute: int) -> bool:
        """Whether a minute that lies in it belongs to the day before."""
        return self.begin > self.end and minute < self.end

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one target; the empty ones always hold."""

    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    min_tokens: int | None = None
    max_tokens: int | None = None
    keys: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()
    days: tuple[int, ...] = ()  # 0 is Monday

    def __bool__(self) -> bool:
        return self != NO_CONDITIONS

    def unmet(self, facts: Facts) -> str:
        """Why the target does not count for this request; "" when it does. What is cheap to know comes first."""
        return (
            self._unmet_key(facts)
            or (self._unmet_time(facts.moment) if self.hours or self.days else "")
            or self._unmet_features(facts)
            or self._unmet_tokens(facts)
        )

    def _unmet_key(self, facts: Facts) -> str:
        if not self.keys or facts.key in self.keys:
            return ""
        return f"only for client key {' or '.join(self.keys)}"

    def _unmet_time(self, moment: datetime) -> str:
        minute, today = moment.hour * 60 + moment.minute, moment.weekday()
        if not self.hours:
            return "" if today in self.days else f"only on {self._day_names()}, and it is {DAYS[today]}"
        open_hours = [hours for hours in self.hours if hours.holds(minute)]
        if not open_hours:
            return f"only at {', '.join(map(str, self.hours))}, and it is {_clock(minute)}"
        days = {(today - hours.began_yesterday(minute)) % 7 for hours in open_hours}
        return "" if not self.days or days & set(self.days) else f"only on {self._day_names()}"

    def _unmet_features(self, facts: Facts) -> str:
        for word in self.needs:
            if not facts.has(word):
                return f"only for requests with {_WORDS[word]}"
        for word in self.without:
            if facts.has(word):
                return f"only for requests without {_WORDS[word]}"
        return ""

    def _unmet_tokens(self, facts: Facts) -> str:
        if self.min_tokens is not None and facts.tokens < self.min_tokens:
            return f"only from {self.min_tokens:,} tokens on, and there are about {facts.tokens:,}"
        if self.max_tokens is not None and facts.tokens > self.max_tokens:
            return f"only up to {self.max_tokens:,} tokens, and there are about {facts.tokens:,}"
        return ""

    def _day_names(self) -> str:
        return ", ".join(DAYS[day] for day in self.days)

    def as_json(self) -> dict[str, object]:
        """What is stored: only the fields that were given."""
        fields: dict[str, object] = {
            "needs": list(self.needs),
            "without": list(self.without),
            "min_tokens": self.min_tokens,
            "max_tokens": self.max_tokens,
            "keys": list(self.keys),
            "hours": [str(hours) for hours in self.hours],
            "days": [DAYS[day] for day in self.days],
        }
        return {name: value for name, value in fields.items() if value not in ([], None)}


NO_CONDITIONS = Conditions()


def parse_conditions(value: object) -> Conditions:
    """Conditions from their JSON. Raises BadCondition, also for conditions that contradict each other."""
    if not isinstance(value, Mapping):
        raise BadCondition("conditions", 'give an object, such as {"needs": ["images"]}.')
    if unknown := [name for name in value if name not in _FIELDS]:
        known = ", ".join(_FIELDS)
        raise BadCondition(str(unknown[0])[:40], f"there is no such condition. The conditions are {known}.")
    fields: dict[str, Any] = {name: _FIELDS[name](name, given) for name, given in value.items()}
    found = Conditions(**fields)
    _check_together(found)
    return found


def _check_together(found: Conditions) -> None:
    if both := set(found.needs) & set(found.without):
        raise BadCondition("without", f"it also needs {', '.join(sorted(both))}, so it could never hold.")
    low, high = found.min_tokens, found.max_tokens
    if low is not None and high is not None and low > high:
        raise BadCondition("max_tokens", f"it is under min_tokens ({low:,}), so it could never hold.")


def _entries(name: str, given: object) -> list[str]:
    """A list of words; one word alone will do."""
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(isinstance(entry, str) and entry.strip() for entry in listed):
        raise BadCondition(name, "give a list of words.")
    if not 0 < len(listed) <= MOST_ENTRIES:
        raise BadCondition(name, f"name one to {MOST_ENTRIES}, or leave it out.")
    return list(dict.fromkeys(entry.strip() for entry in listed))


def _features(name: str, given: object) -> tuple[str, ...]:
    words = [word.lower() for word in _entries(name, given)]
    for word in words:
        if word not in FEATURES:
            raise BadCondition(name, f"{word[:40]!r} is not one of {', '.join(FEATURES)}.")
    return tuple(word for word in FEATURES if word in words)


def _tokens(name: str, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST_TOKENS:
        raise BadCondition(name, f"give a whole number from 1 to {MOST_TOKENS:,}.")
    return given


def _keys(name: str, given: object) -> tuple[str, ...]:
    return tuple(_entries(name, given))


def _hours(name: str, given: object) -> tuple[Hours, ...]:
    return tuple(_span(name, text) for text in _entries(name, given))


def _span(name: str, text: str) -> Hours:
    match = _SPAN.fullmatch(text.replace(" ", ""))
    if match is None:
        raise BadCondition(name, f"{text[:40]!r} is not like 22:00-06:00.")
    begin, end = _minutes(name, match[1], match[2]), _minutes(name, match[3], match[4])
    if begin in (end, _DAY_MINUTES):
        raise BadCondition(name, f"{text} is no part of a day. For the whole day leave it out.")
    return Hours(begin, end)


def _minutes(name: str, hour: str, minute: str) -> int:
    total = int(hour) * 60 + int(minute)
    if int(minute) > 59 or total > _DAY_MINUTES:
        raise BadCondition(name, f"{hour}:{minute} is no time of day.")
    return total


def _days(name: str, given: object) -> tuple[int, ...]:
    words = [word.lower() for word in _entries(name, given)]
    for word in words:
        if word not in DAYS:
            raise BadCondition(name, f"{word[:40]!r} is not one of {', '.join(DAYS)}.")
    return tuple(sorted({DAYS.index(word) for word in words}))


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


_FIELDS: dict[str, Callable[[str, object], object]] = {
    "needs": _features,
    "without": _features,
    "min_tokens": _tokens,
    "max_tokens": _tokens,
    "keys": _keys,
    "hours": _hours,
    "days": _days,
}
