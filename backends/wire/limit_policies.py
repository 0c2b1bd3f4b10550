"""The two fields of draft-ietf-httpapi-ratelimit-headers, which hold several limits each.

`RateLimit-Policy: "default";q=100;w=60` names the quotas, `RateLimit: "default";r=50;t=30` what remains of them
and for how long. Drafts up to 07 had `RateLimit: limit=100, remaining=50, reset=30`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ITEM = re.compile(rb'\s*"?([A-Za-z0-9_.*-]{0,40})"?\s*((?:;[^,]{0,200})?)\s*')
_PARAMETER = re.compile(rb';\s*([a-z]{1,4})\s*=\s*"?([A-Za-z0-9_-]{1,40})')
_OLD = re.compile(rb"(limit|remaining|reset)\s*=\s*(\d{1,15})")
_MOST_ITEMS = 16
_REQUESTS = b"requests"


def policies(ratelimit: bytes, policy: bytes) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Windows and their `limit`, `remaining` and `reset`, as far as they are given and count requests."""
    old = {name.decode(): value for name, value in _OLD.findall(ratelimit)}
    if "remaining" in old:
        yield "requests", old
        return
    quotas = dict(_items(policy))
    for name, parameters in _items(ratelimit):
        quota = quotas.get(name, {})
        if quota.get(b"qu", _REQUESTS) == _REQUESTS and b"r" in parameters:
            yield _window(name), _fields(parameters, quota)


def _items(value: bytes) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    for part in value.split(b",", _MOST_ITEMS)[:_MOST_ITEMS]:
        if found := _ITEM.fullmatch(part):
            yield found[1].decode("ascii").lower(), dict(_PARAMETER.findall(found[2]))


def _fields(parameters: dict[bytes, bytes], quota: dict[bytes, bytes]) -> dict[str, bytes]:
    given = {"remaining": parameters[b"r"], "reset": parameters.get(b"t"), "limit": quota.get(b"q")}
    return {name: value for name, value in given.items() if value is not None}


def _window(name: str) -> str:
    return "requests" if name in ("", "default") else f"requests-{name}"
