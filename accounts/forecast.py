"""How far an account will carry: for the strategy that spends first what resets soonest. Pure.

Two figures, both from the windows' own readings. *Room*: how many requests still fit in the shortest quota window,
by what an answer has used of it lately; so a large plan counts as large, and nobody has to say its size. *Pace*: what
is left of the longer windows, for each part of their time that is left; over 1, some of it will lapse at the reset.

Their product is the outlook. A session goes where the outlook for each running request is best: there it is least
likely to meet a limit, and there the quota is spent that would be lost soonest. How well this does beside the other
strategies is measured by `python -m bench.pool`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter

from accounts.windows import USUAL_STEP, WindowState, is_quota

LEAST_STEP = 1e-5  # a window of which an answer takes less is as good as endless
SLOWEST, FASTEST = 0.02, 3.0  # a pace beyond these says no more
UNKNOWN = FASTEST / USUAL_STEP  # the outlook of an account that reports no quota
RENEWED_SECONDS = 600.0  # pace changes as time passes: after so long it is worked out again
_NAME = re.compile(r"(\d{1,4})([mhdw])(?:_.*)?")
_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0}


def outlook(windows: Iterable[tuple[WindowState, float]], now: float) -> float:
    """Room times pace, of the windows that govern a model and the share of each that stays unspent.

    A window that has retired is unused. If that is the shortest, it lapses from now on without being used, for its
    time runs only from the next request: that counts like a window which lapses fast.
    """
    quotas = [
        (hours, window, kept)
        for window, kept in windows
        if (hours := hours_of(window.reading.window)) is not None
    ]
    if not quotas:
        return UNKNOWN
    shortest, window, kept = min(quotas, key=itemgetter(0))
    room = _left(window, kept, now) / max(window.step, LEAST_STEP)
    longer = [quota for quota in quotas if quota[0] > shortest]
    pace = min(_pace(hours, window, kept, now) for hours, window, kept in longer or quotas)
    return room * pace * (1.0 if window.retires_at > now else FASTEST)


def _left(window: WindowState, kept: float, now: float) -> float:
    used = window.used if window.retires_at > now else 0.0
    return max(0.0, 1 - used - kept)


def _pace(hours: float, window: WindowState, kept: float, now: float) -> float:
    """Share left ÷ share of time left, within bounds; 1 for a window that has retired or names no reset."""
    time_left = (window.retires_at - now) / 3600 / hours
    if time_left <= 0 or window.reading.resets_at is None:
        return 1.0
    return min(FASTEST, max(SLOWEST, _left(window, kept, now) / time_left))


@lru_cache(maxsize=256)
def hours_of(name: str) -> float | None:
    """The length of a quota window by its name: 5h, 7d, 7d_opus; a day for a name that tells none.

    None for what is no quota: rates, and paid overage.
    """
    if not is_quota(name):
        return None
    found = _NAME.fullmatch(name)
    return (int(found[1]) * _HOURS[found[2]] if found else 0.0) or 24.0
