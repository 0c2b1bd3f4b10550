"""What an answer's headers say about the limits of the account that gave it.

Rules: it never raises, whatever an upstream sends; a value that makes no sense counts as absent; all moments are
on our clock. An answer without such headers gives `NO_LIMITS`, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from backends.wire.limit_headers import (
    EVERY_MODEL,
    LONGEST,
    OF_MODEL,
    OF_TIER,
    OVERAGE,
    STARTS,
    claim_window,
    scope_of,
    slot_of,
)
from backends.wire.limit_policies import policies
from backends.wire.model_classes import class_of, classes_of
from backends.wire.moments import LONGEST_WAIT, moment, number, retry_moment, whole

__all__ = ["NO_LIMITS", "Limits", "Reading", "class_of", "classes_of", "read_limits"]

_MOST_READINGS = 32  # a real answer has a handful
_MOST_USED = 10.0  # a share of more than this is a percentage or junk
_REJECTED = b"rejected"
_ALLOWED = (b"allowed", b"allowed_warning")


class Reading(msgspec.Struct, frozen=True):
    """One window, as the provider reports it.

    `window`: 5h, 7d, 7d_opus, requests, tokens-minute, overage, …; at most 64 characters. `model_class`: the
    models that it governs, see `classes_of`; "" means every model. A window of a service tier has a class that is
    no model's (`priority/opus`): it limits only requests that ask for that tier.

    `utilization`: the share used, ≥ 0, over 1 where the provider let more through. Where it is not told: 1 if the
    provider refuses, else the threshold that it says was passed, else 0.

    `resets_at`: seconds since the epoch, on our clock; may have passed; None if it is not told. Of a counted
    window (requests, tokens) it is the moment when that is full again; some of it comes back earlier.
    """

    window: str
    model_class: str
    utilization: float
    remaining: int | None
    limit: int | None
    resets_at: float | None
    is_rejected: bool


class Limits(msgspec.Struct, frozen=True):
    """All that one answer says.

    `retry_at`: from `retry-after-ms` or `retry-after`, on our clock; from now to 7 days ahead, else None.
    `claim`: the window that decided, for a subscription (`five_hour` is given as `5h`). `is_overage`: paid overage
    carried the request. `is_rejected`: the subscription refuses, and overage does not step in.
    """

    readings: tuple[Reading, ...] = ()
    retry_at: float | None = None
    claim: str = ""
    is_overage: bool = False
    is_rejected: bool = False


NO_LIMITS = Limits()

_Fields = dict[str, bytes]
_Windows = dict[str, tuple[str, _Fields]]  # window → (scope, fields)


def read_limits(headers: Iterable[tuple[bytes, bytes]], *, model: str, now: float) -> Limits:
    """The limits in an answer's headers (lower-case names). `model`: the one that was asked for upstream.

    `now`: seconds since the epoch, when the headers came.
    """
    found = [
        (slot, value.strip())
        for name, value in headers
        if name[:4] in STARTS and len(name) <= LONGEST and (slot := slot_of(name))
    ]
    if not found or (len(found) == 1 and found[0][0].field == "date"):
        return NO_LIMITS
    windows: _Windows = {}
    general: _Fields = {}
    for (window, field, scope), value in found:
        if not window:
            general[field] = value
        elif window in windows:
            windows[window][1][field] = value
        else:
            windows[window] = (scope, {field: value})
    if "ratelimit" in general:
        for window, fields in policies(general["ratelimit"], general.get("ratelimit-policy", b"")):
            windows.setdefault(window, (OF_MODEL, fields))
    return _limits(windows, general, model, now)


def _limits(windows: _Windows, general: _Fields, model: str, now: float) -> Limits:
    date = general.get("date")
    readings = []
    for window, (scope, fields) in islice(windows.items(), _MOST_READINGS):
        reading = _reading(window, _class(window, scope, model), fields, date, now)
        if reading is not None:
            readings.append(reading)
    if "secondary" in windows:
        readings = _distinct(readings)
    claim = claim_window(general["claim"]) if "claim" in general else ""
    refuses = _refuses(general, readings, model)
    if refuses and claim[:1].isdigit() and all(reading.window != claim for reading in readings):
        readings.append(_claimed(claim, general, model, now))
    covers = refuses and OVERAGE in windows and windows[OVERAGE][1].get("status") in _ALLOWED
    pays = general.get("overage-in-use") == b"true" or claim == OVERAGE
    return Limits(
        tuple(readings),
        _retry_at(general, now),
        claim,
        is_overage=covers or (pays and not refuses),
        is_rejected=refuses and not covers,
    )


def _distinct(readings: list[Reading]) -> list[Reading]:
    """One per window, the tightest: Codex names windows by their length, and two could be of the same."""
    tightest: dict[tuple[str, str], Reading] = {}
    for reading in sorted(readings, key=lambda reading: reading.utilization):
        tightest[reading.window, reading.model_class] = reading
    return [reading for reading in readings if tightest[reading.window, reading.model_class] is reading]


def _class(window: str, scope: str, model: str) -> str:
    if scope == OF_MODEL:
        return class_of(model)
    if scope == OF_TIER:
        return f"{window.partition('-')[0]}/{class_of(model)}"[:200]
    return scope


def _retry_at(general: _Fields, now: float) -> float | None:
    """Milliseconds first, as the SDKs of OpenAI and Anthropic have it."""
    if "retry-after-ms" in general:
        wait = number(general["retry-after-ms"])
        if wait is not None and wait / 1000 <= LONGEST_WAIT:
            return now + wait / 1000
    return (
        retry_moment(general["retry-after"], general.get("date"), now) if "retry-after" in general else None
    )


def _refuses(general: _Fields, readings: list[Reading], model: str) -> bool:
    """Whether the subscription as such refuses. Some refusals come without the status of the whole."""
    if "status" in general:
        return general["status"] == _REJECTED
    refused = [reading for reading in readings if reading.is_rejected and reading.window != OVERAGE]
    return bool(refused) and any(reading.model_class in classes_of(model) for reading in refused)


def _claimed(claim: str, general: _Fields, model: str, now: float) -> Reading:
    """The window that a refusal names without reporting it."""
    scope = scope_of(claim.partition("_")[2])
    resets_at = moment(general["reset"], general.get("date"), now) if "reset" in general else None
    return Reading(claim, _class(claim, scope, model), 1.0, None, None, resets_at, True)


def _reading(
    window: str, model_class: str, fields: _Fields, date: bytes | None, now: float
) -> Reading | None:
    if "remaining" in fields:
        return _counted(window, model_class, fields, date, now)
    if "used-percent" in fields:
        return _of_codex(window, fields, date, now)
    return _unified(window, model_class, fields, date, now)


def _counted(
    window: str, model_class: str, fields: _Fields, date: bytes | None, now: float
) -> Reading | None:
    """A limit of 0 or -1 is Azure's way to say that it does not know, and then so is what remains of it."""
    remaining = whole(fields["remaining"])
    limit = whole(fields["limit"]) if "limit" in fields else None
    if remaining is None or (not limit and not remaining):
        return None
    used = max(0.0, 1.0 - remaining / limit) if limit else 0.0
    resets_at = moment(fields["reset"], date, now) if "reset" in fields else None
    return Reading(window, model_class, used, remaining, limit or None, resets_at, False)


def _unified(
    window: str, model_class: str, fields: _Fields, date: bytes | None, now: float
) -> Reading | None:
    status = fields.get("status")
    used = _share(fields.get("utilization"))
    if used is None:
        used = 1.0 if status == _REJECTED else _share(fields.get("surpassed-threshold"))
    if used is None and status not in _ALLOWED:
        return None
    resets_at = moment(fields["reset"], date, now) if "reset" in fields else None
    return Reading(window, model_class, used or 0.0, None, None, resets_at, status == _REJECTED)


def _share(value: bytes | None) -> float | None:
    share = number(value) if value else None
    return float(share) if share is not None and share <= _MOST_USED else None


def _of_codex(window: str, fields: _Fields, date: bytes | None, now: float) -> Reading | None:
    """ChatGPT's plans as Codex reads them: a percentage, and the window's length in minutes."""
    percent = number(fields["used-percent"])
    minutes = whole(fields["window-minutes"]) if "window-minutes" in fields else None
    if percent is None or percent > 100 * _MOST_USED or not (percent or minutes):
        return None
    resets_at = moment(fields["reset-at"], date, now) if "reset-at" in fields else None
    if resets_at is None and "reset-after-seconds" in fields:
        resets_at = moment(fields["reset-after-seconds"], date, now)
    name = _length(minutes) if minutes else window
    return Reading(name, EVERY_MODEL, percent / 100, None, None, resets_at, False)


def _length(minutes: int) -> str:
    """300 → 5h, 10080 → 7d, as Anthropic names its windows."""
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
