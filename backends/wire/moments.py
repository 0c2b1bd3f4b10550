"""Numbers, durations and moments as upstreams spell them in headers.

Rule: everything here is total. A value that cannot be what it should be (negative, not finite, absurdly far away,
not a number at all) is None, as if the header were absent. Moments are seconds since the epoch.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

DAY = 86_400.0
LONGEST_WAIT = 7 * DAY  # a weekly window can be that far from its reset
LONGEST_WINDOW = 32 * DAY  # the longest that are reported are monthly
_MOST_SKEW = DAY
_LEAST_SKEW = 2.0  # `Date` is cut to seconds and has travelled: less than this says nothing about a clock
_MOST = 2**53 - 1
_EPOCH_SECONDS = 1e9  # from here on (2001) a number is a moment, not a number of seconds to wait
_EPOCH_MILLISECONDS = 1e11

_NUMBER = re.compile(rb"\d{1,18}(?:\.\d{0,20})?(?:[eE][-+]?\d{1,2})?|\.\d{1,20}")
_THOUSANDS = re.compile(rb"\d{1,3}(?:,\d{3})+")
_FIRST_OF_LIST = re.compile(rb"(\d{1,15})\s*(?:,[^;]*)?;")
# As Go prints a time.Duration, and with days.
_DURATION = re.compile(
    rb"(?:(\d{1,4})d)?(?:(\d{1,6})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{0,12})?)s)?"
    rb"(?:(\d{1,9}(?:\.\d{0,12})?)(ms|us|\xc2\xb5s|\xb5s|ns))?"
)
_FRACTIONS = {b"ms": 1e-3, b"us": 1e-6, b"\xc2\xb5s": 1e-6, b"\xb5s": 1e-6, b"ns": 1e-9}
_MONTHS = {
    name: at for at, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)
}
# RFC 9110 section 5.6.7: the obsolete forms of RFC 850 and of C's asctime().
_RFC_850 = re.compile(rb"[A-Za-z]+, (\d\d)-([A-Za-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d) GMT")
_ASCTIME = re.compile(rb"[A-Za-z]{3} ([A-Za-z]{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})")


def number(value: bytes) -> float | None:
    """A number ≥ 0, plain or with a fraction or an exponent."""
    if value.isdigit() and len(value) < 19:
        return int(value)
    return float(value) if _NUMBER.fullmatch(value) else None


def whole(value: bytes) -> int | None:
    """A count ≥ 0. Also `1000.0`, `30,000`, and the first of `100, 100;w=60` (RateLimit-Limit of older drafts)."""
    if value.isdigit() and len(value) < 16:
        return int(value)
    if _THOUSANDS.fullmatch(value):
        value = value.replace(b",", b"")
    elif first := _FIRST_OF_LIST.match(value):
        value = first[1]
    found = number(value)
    return int(found) if found is not None and found <= _MOST else None


def duration(value: bytes) -> float | None:
    """Seconds, of `6m0s`, `12ms`, `1h30m`, `2m59.56s`."""
    found = _DURATION.fullmatch(value) if value else None
    if not found:
        return None
    days, hours, minutes, seconds, part, unit = found.groups()
    whole_ones = int(days or 0) * DAY + int(hours or 0) * 3600 + int(minutes or 0) * 60
    return whole_ones + float(seconds or 0) + (float(part) * _FRACTIONS[unit] if unit else 0.0)


def http_date(value: bytes) -> float | None:
    """A date of RFC 9110: `Sun, 06 Nov 1994 08:49:37 GMT`, or an obsolete form of it."""
    if len(value) == 29 and value.endswith(b" GMT"):
        return _utc(value[12:16], value[8:11], value[5:7], value[17:19], value[20:22], value[23:25])
    if old := _RFC_850.fullmatch(value):
        day, month, year, *clock = old.groups()
        return _utc((b"20" if year < b"70" else b"19") + year, month, day, *clock)
    if old := _ASCTIME.fullmatch(value):
        month, day, *clock, year = old.groups()
        return _utc(year, month, day, *clock)
    return None


def _utc(year: bytes, month: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes) -> float | None:
    try:
        at = datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except (ValueError, KeyError):
        return None
    return at.timestamp()


def timestamp(value: bytes) -> float | None:
    """A moment of RFC 3339: `2025-08-21T12:40:59Z`. UTC where no offset is given."""
    if len(value) < 19 or value[10:11] not in b"Tt ":
        return None
    try:
        at = datetime.fromisoformat(value.decode("ascii").upper())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def moment(value: bytes, date: bytes | None, now: float) -> float | None:
    """When a window resets: a time to wait (seconds or a duration) or a moment on the upstream's clock (epoch
    seconds or milliseconds, RFC 3339, HTTP date). From a day ago to 32 days ahead.

    `date` is the answer's own `Date`, by which the upstream's clock is corrected.
    """
    at = _moment(value, date, now)
    return at if at is not None and now - DAY <= at <= now + LONGEST_WINDOW else None


def _moment(value: bytes, date: bytes | None, now: float) -> float | None:
    if value[4:5] == b"-":
        at = timestamp(value)
        return None if at is None else at + clock_shift(date, now)
    found = number(value)
    if found is not None:
        if found < _EPOCH_SECONDS:
            return now + found
        return (found / 1000 if found >= _EPOCH_MILLISECONDS else found) + clock_shift(date, now)
    wait = duration(value)
    if wait is not None:
        return now + wait
    at = http_date(value)
    return None if at is None else at + clock_shift(date, now)


@lru_cache(maxsize=8)  # all windows of an answer share it
def clock_shift(date: bytes | None, now: float) -> float:
    """What to add to the upstream's clock to get ours, in whole seconds. 0 where its `Date` is missing, differs
    by no more than that header's own coarseness, or by more than a day (then it is not a clock).
    """
    sent = http_date(date) if date else None
    shift = 0.0 if sent is None else now - sent
    return float(round(shift)) if _LEAST_SKEW < abs(shift) <= _MOST_SKEW else 0.0


def retry_moment(value: bytes, date: bytes | None, now: float) -> float | None:
    """When `Retry-After` says to come back: seconds (also fractions, or a duration), or a date, which counts from
    the answer's own `Date`. From now to 7 days ahead.
    """
    wait = number(value)
    if wait is None:
        wait = duration(value)
    if wait is None and (until := http_date(value)) is not None:
        sent = http_date(date) if date else None
        wait = until - (sent if sent is not None and abs(now - sent) <= _MOST_SKEW else now)
    return now + wait if wait is not None and 0 <= wait <= LONGEST_WAIT else None
