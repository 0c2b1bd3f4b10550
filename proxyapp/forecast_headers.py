"""How far the account that answered will carry, for clients that ask with `x-patchbay-forecast: 1`."""

from __future__ import annotations

from datetime import UTC, datetime

from accounts.pool import pool
from accounts.snapshot import AccountConfig
from analytics.forecasting.tracks import tracks
from backends.wire.limits import classes_of
from proxyapp.call import ClientCall

ASKS = b"x-patchbay-forecast"


def forecast_headers(call: ClientCall) -> dict[str, str]:
    """`x-patchbay-headroom` and `x-patchbay-exhausts-at`; nothing unless the client asks, or when nobody answered.

    Both are about the windows that govern the model which was asked for upstream.
    """
    if call.headers.get(ASKS, b"").strip() != b"1":
        return {}
    draft = call.draft
    found = [a for a in call.snapshot.pool(draft.backend) if a.alias == draft.account]
    return _headers(found[0], draft.model_used) if found else {}


def _headers(account: AccountConfig, model: str) -> dict[str, str]:
    now, classes = pool.state.now(), classes_of(model)
    headroom = pool.state.standing(account, classes, now).headroom
    return {
        "x-patchbay-headroom": "unknown" if headroom is None else f"{headroom:.2f}",
        "x-patchbay-exhausts-at": _exhausts_at(account, classes, now),
    }


def _exhausts_at(account: AccountConfig, classes: frozenset[str], now: float) -> str:
    """RFC 3339, or `none`: no window is expected to be spent before its reset, or too little is known to tell."""
    windows = pool.state.account(account.uid).windows.values()
    governing = [w for w in windows if w.reading.model_class in classes and w.retires_at > now]
    moments = [tracks.forecast_of(account.uid, window).exhausts_at for window in governing]
    first = min((moment for moment in moments if moment is not None), default=None)
    if first is None:
        return "none"
    date = datetime.fromtimestamp(pool.state.wall() + (first - now), UTC)
    return date.isoformat(timespec="seconds").replace("+00:00", "Z")
