"""What a client is told when no account can serve: 503 when somebody must act, 429 when time will do."""

from __future__ import annotations

import math

from django.conf import settings

from accounts.clock import clock
from accounts.pool import NoAccount, Unavailable
from accounts.standing import Obstacle
from proxyapp.errors import ProxyError

MOST_NAMED = 20  # accounts in one message
_UNKNOWN_SECONDS = 60


def unavailable_error(failure: Unavailable) -> ProxyError:
    """503 `account_unavailable` naming what is wrong with each account, or 429 with the true `retry-after`."""
    if failure.is_broken:
        return _broken(failure)
    return _spent(failure)


def queue_full_error(recovers_at: float | None) -> ProxyError:
    """429: too many requests wait already. `recovers_at`: when the first account is expected back, if known."""
    seconds = retry_after(recovers_at)
    message = (
        f"All accounts are busy and {settings.PATCHBAY_QUEUE_MAX} requests wait for them already."
        f" Try again in {in_words(seconds)}, add an account, or raise PATCHBAY_QUEUE_MAX."
    )
    return ProxyError(429, message, code="queue_full", headers={"retry-after": str(seconds)})


def retry_after(recovers_at: float | None) -> int:
    """Whole seconds until then, at least 1."""
    return 1 if recovers_at is None else max(1, math.ceil(recovers_at - clock()))


def in_words(seconds: float) -> str:
    """`40 s`, `12 min`, `2 h 10 min`, `3 d 4 h`."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 120:
        return f"{math.ceil(seconds)} s"
    if minutes < 120:
        return f"{math.ceil(minutes)} min"
    if hours < 48:
        return f"{int(hours)} h {int(minutes) % 60} min"
    return f"{int(hours / 24)} d {int(hours) % 24} h"


def broken_error(message: str, probe_at: float | None = None) -> ProxyError:
    """503: somebody has to act. `probe_at`: when the pool will try by itself, on its clock; None: it will not.

    A client's own retries would only hide the message, so it is told to leave them.
    """
    seconds = _UNKNOWN_SECONDS if probe_at is None else retry_after(probe_at)
    headers = {"retry-after": str(seconds), "x-should-retry": "false"}
    return ProxyError(503, message, code="account_unavailable", headers=headers)


def _broken(failure: Unavailable) -> ProxyError:
    found = [obstacle.recovers_at for each in failure.failures for obstacle in each.obstacles.values()]
    probe_at = min((moment for moment in found if moment is not None), default=None)
    named = "; ".join(
        f"No account of backend {each.backend} can serve: {_why(each)}" for each in failure.failures
    )
    return broken_error(f"{named}. See `python manage.py accounts list`.", probe_at)


def _why(failure: NoAccount) -> str:
    named = [f"{alias}: {obstacle.reason}" for alias, obstacle in failure.obstacles.items()]
    return _listed(named) if named else str(failure)


def _listed(parts: list[str]) -> str:
    more = [f"{len(parts) - MOST_NAMED} more"] if len(parts) > MOST_NAMED else []
    return "; ".join([*parts[:MOST_NAMED], *more])


def _spent(failure: Unavailable) -> ProxyError:
    seconds = retry_after(failure.recovers_at)
    parts = [
        f"{found.backend}/{alias}: {obstacle.reason}{_until(obstacle)}"
        for found in failure.failures
        for alias, obstacle in found.obstacles.items()
    ]
    message = (
        f"Every account is spent or resting. {_listed(parts)}."
        f" The first is expected back in {in_words(seconds)}; add an account or a fallback target to go on now."
    )
    headers = {"retry-after": str(seconds)}
    if seconds > settings.PATCHBAY_QUEUE_SECONDS:
        headers["x-should-retry"] = "false"  # clients would come back long before it makes sense
    return ProxyError(429, message, code="pool_exhausted", headers=headers)


def _until(obstacle: Obstacle) -> str:
    if obstacle.recovers_at is None:
        return ""
    return f" (in {in_words(max(1.0, obstacle.recovers_at - clock()))})"
