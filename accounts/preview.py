"""A request that somebody imagines, and what would happen to it: for `routes explain` and for the admin's preview."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from accounts.explain import Explanation, explain
from accounts.models import ClientKey
from accounts.pool import pool
from accounts.pool_memory import recall
from accounts.snapshot import Demo, Snapshot, keeper, load_snapshot
from backends.conditions import DAYS, FEATURES, StatedFacts
from backends.routing import NoRoute
from backends.services import ServiceError
from backends.wire.kinds import Protocol

DEMO_ADDRESS = (
    "http://127.0.0.1:9"  # only the server knows where its simulated backend listens; nothing is sent
)
_AT = re.compile(r"(?:(?P<day>[a-z]{3}) +)?(?P<hour>\d{1,2}):(?P<minute>\d{2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preview:
    """An explanation as a page shows it: one sentence, and the lines below it."""

    title: str
    lines: tuple[str, ...] = ()
    found: bool = True


def explained(request: Mapping[str, Any], snapshot: Snapshot) -> Explanation:
    """What would happen to a request, and why. Sends nothing. Raises NoRoute and ServiceError.

    `model` is asked for; all else is optional: `protocol`, `key`, `session`, `tokens`, `at` ("23:00", "fri 23:00") and
    each word of FEATURES.
    """
    asked = request.get("protocol")
    return explain(request["model"], Protocol(asked) if asked else None, snapshot, facts_of(request))


def explained_from_outside(request: Mapping[str, Any]) -> Explanation:
    """The same in a process that is not the server's: with what the pool last wrote down."""
    snapshot = load_snapshot(Demo(DEMO_ADDRESS))
    recall(pool.state)
    return explained(request, snapshot)


def preview_of(request: Mapping[str, Any]) -> Preview:
    """The same for a page of the server, which knows its pool. Never raises for what a person may type."""
    model = request["model"]
    try:
        found = explained(request, load_snapshot(keeper.demo or Demo(DEMO_ADDRESS)))
    except NoRoute as exc:
        return Preview(f"Model {model} would go nowhere: {exc}", found=False)
    except ServiceError as exc:
        return Preview(str(exc), found=False)
    targets = " → ".join(f"{target.backend}:{target.model}" for target in found.targets)
    return Preview(f"Model {model} would go to: {targets} ({found.reason})", tuple(found.lines()))


def facts_of(request: Mapping[str, Any]) -> StatedFacts:
    """The facts of an imagined request. Raises ServiceError for a key that does not exist, and for no time of day."""
    key = request.get("key") or ""
    if key and not ClientKey.objects.filter(name=key, revoked_at=None).exists():
        names = ", ".join(ClientKey.objects.filter(revoked_at=None).values_list("name", flat=True))
        raise ServiceError(f"There is no client key {key!r}. Client keys: {names or 'none yet'}.")
    return StatedFacts(
        moment=moment_of(request.get("at") or ""),
        features=frozenset(word for word in FEATURES if request.get(word)),
        tokens=request.get("tokens") or 0,
        key=key,
        session=request.get("session") or "",
    )


def moment_of(text: str) -> datetime:
    """`23:00` is today, `fri 23:00` the coming Friday, or today; empty: now. Raises ServiceError."""
    now = datetime.now(settings.PATCHBAY_TIME_ZONE)
    if not text.strip():
        return now
    match = _AT.fullmatch(text.strip())
    if match is None or int(match["hour"]) > 23 or int(match["minute"]) > 59:
        raise ServiceError(f"{text!r} is no time of day. Give it as 23:00, or as fri 23:00.")
    moment = now.replace(hour=int(match["hour"]), minute=int(match["minute"]), second=0, microsecond=0)
    if match["day"] is None:
        return moment
    if match["day"].lower() not in DAYS:
        raise ServiceError(f"{match['day']!r} is no day of the week. The days are {', '.join(DAYS)}.")
    return moment + timedelta(days=(DAYS.index(match["day"].lower()) - now.weekday()) % 7)
