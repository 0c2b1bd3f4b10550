"""Response heads: status line, ids, and the rate-limit headers that each service sends."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from backends.simulator.script import Script, seconds
from backends.wire.kinds import Protocol

Fields = tuple[tuple[str, str], ...]
_CLAIMS = {"5h": "five_hour", "7d": "seven_day"}
_TOKENS_PER_REQUEST = 400  # the simulated token limit is this many times the request limit


def head(status: int, fields: Iterable[tuple[str, str]], *, clock: float = 0.0) -> bytes:
    """Status line and header lines, ended by the empty line."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    date = _date(int(time.time() + clock))
    return f"{_status_line(status)}date: {date}\r\n{lines}\r\n".encode("latin-1")


@lru_cache(maxsize=256)
def _status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded" if status == 529 else "Unnamed"
    return f"HTTP/1.1 {status} {phrase}\r\nserver: patchbay-simulator\r\n"


@lru_cache(maxsize=16)
def _date(moment: int) -> str:
    return formatdate(moment, usegmt=True)


def service_fields(protocol: Protocol, script: Script, request_id: str) -> Fields:
    """What the service of this protocol adds to every answer."""
    fixed: Fields
    if protocol is Protocol.ANTHROPIC:
        fixed = (("request-id", request_id), ("anthropic-organization-id", "org-simulator"))
    else:
        fixed = (
            ("x-request-id", request_id),
            ("openai-organization", "org-simulator"),
            ("openai-processing-ms", "1"),
            ("openai-version", "2020-10-01"),
        )
    return fixed + _limits(protocol, script, int(time.time())) + script.headers


@lru_cache(maxsize=256)
def _limits(protocol: Protocol, script: Script, now: int) -> Fields:
    usual = "api" if protocol is Protocol.ANTHROPIC else "openai"
    match script.rl or usual:
        case "api":
            return _api(script, now)
        case "unified":
            return _unified(script, now)
        case "openai":
            return _openai(script)
        case _:
            return ()


def _api(script: Script, now: int) -> Fields:
    moment = datetime.fromtimestamp(now, UTC) + timedelta(seconds=_reset(script))
    reset = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = []
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        limit, left = _amounts(script, name == "requests")
        stem = f"anthropic-ratelimit-{name}"
        fields += [(f"{stem}-limit", limit), (f"{stem}-remaining", left), (f"{stem}-reset", reset)]
    return tuple(fields)


def _openai(script: Script) -> Fields:
    fields = []
    for name in ("requests", "tokens"):
        limit, left = _amounts(script, name == "requests")
        fields += [(f"x-ratelimit-limit-{name}", limit), (f"x-ratelimit-remaining-{name}", left)]
        fields.append((f"x-ratelimit-reset-{name}", _go_duration(_reset(script))))
    return tuple(fields)


def _reset(script: Script) -> float:
    return 60.0 if script.reset is None else script.reset


def _amounts(script: Script, requests: bool) -> tuple[str, str]:
    """(limit, remaining) as header text; tokens that are left are rounded to thousands."""
    limit = script.limit if requests else script.limit * _TOKENS_PER_REQUEST
    left = max(0, round(limit * (1 - script.used)))
    return str(limit), str(left if requests else round(left, -3))


def _go_duration(value: float) -> str:
    """Seconds as OpenAI writes them: `6m0s`, `1.5s`, `12ms`."""
    if value < 1:
        return f"{max(0, round(value * 1000))}ms"
    hours, rest = divmod(value, 3600)
    minutes, rest = divmod(rest, 60)
    return (f"{hours:.0f}h" if hours else "") + (f"{minutes:.0f}m" if hours or minutes else "") + f"{rest:g}s"


def _unified(script: Script, now: int) -> Fields:
    windows = {"5h": 0.1, "7d": 0.05, **dict(script.windows)}
    stem = "anthropic-ratelimit-unified"
    tightest = max(windows, key=lambda name: windows[name])
    refused = windows[tightest] >= 1 and not script.overage.startswith("allowed")
    overall = "rejected" if refused else _window_status(min(windows[tightest], 0.99))
    claim = script.claim or _CLAIMS.get(tightest, tightest.replace("7d_", "seven_day_"))
    fields = [
        (f"{stem}-status", overall),
        (f"{stem}-reset", str(_window_reset(script, tightest, now))),
        (f"{stem}-representative-claim", claim),
        (f"{stem}-fallback", "unavailable"),
    ]
    for name, value in windows.items():
        fields.append((f"{stem}-{name}-status", _window_status(value)))
        fields.append((f"{stem}-{name}-utilization", f"{value:g}"))
        fields.append((f"{stem}-{name}-reset", str(_window_reset(script, name, now))))
    fields.append((f"{stem}-overage-status", script.overage or "rejected"))
    return tuple(fields)


def _window_status(used: float) -> str:
    return "rejected" if used >= 1 else "allowed_warning" if used >= 0.9 else "allowed"


def _window_reset(script: Script, name: str, now: int) -> int:
    """Epoch seconds: two hours ahead for `5h`, three days for weekly windows, unless scripted."""
    ahead, usual = (script.reset7d, 3 * 86400) if name.startswith("7d") else (script.reset, 7200)
    return int(now + (usual if ahead is None else ahead))


def retry_fields(script: Script) -> Fields:
    """`retry-after` and `x-should-retry` as scripted."""
    kind, _, value = script.retry_after.partition(":")
    fields: list[tuple[str, str]] = []
    match kind:
        case "":
            pass
        case "date":
            moment = time.time() + script.clock + seconds(value or "30")
            fields.append(("retry-after", formatdate(moment, usegmt=True)))
        case "ms":
            fields.append(("retry-after-ms", value or "1500"))
        case _:
            words = {"neg": "-1", "huge": "1000000000", "junk": "soon", "nan": "NaN", "sec": value}
            fields.append(("retry-after", words.get(kind, kind)))
    if script.should_retry:
        fields.append(("x-should-retry", script.should_retry))
    return tuple(fields)
