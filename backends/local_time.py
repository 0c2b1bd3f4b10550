"""The machine's own time zone, for conditions on the time of day. Django sets the process to UTC: it is read before."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOCALTIME = "/etc/localtime"


def machine_zone() -> tzinfo:
    """`TZ` if it names a zone, else what /etc/localtime says, else UTC. Ask before Django has set `TZ` to UTC."""
    try:
        if named := os.environ.get("TZ", "").lstrip(":"):
            return ZoneInfo(named)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass  # a rule such as EST5EDT4,M3.2.0 is no zone's name
    try:
        with open(LOCALTIME, "rb") as rules:
            return ZoneInfo.from_file(rules, key="local time")
    except (OSError, ValueError):
        return UTC


def zone_of(name: str) -> tzinfo:
    """The zone of this IANA name. Raises ValueError for a name that the machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(f"{name!r} is no time zone such as Europe/Berlin or UTC") from exc
