"""Which header says what about which limit: the spellings of all providers, and nothing of their values.

Sources: platform.claude.com (rate limits, fast mode, service tiers) and what Claude Code reads; OpenAI's, Groq's,
Cerebras', Fireworks', Mistral's, Together's, SambaNova's and OpenRouter's pages on rate limits; Azure and GitHub
Models as they answer; codex-rs/codex-api/src/rate_limits.rs for `x-codex-*`; draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

# Where a window's model class is taken from; any other value is a model family by name.
EVERY_MODEL = ""
OF_MODEL = "*"
OF_TIER = "/"  # a service tier that a request must ask for
OVERAGE = "overage"
STARTS = frozenset((b"anth", b"x-ra", b"rate", b"retr", b"x-to", b"x-co", b"date"))  # of all names below
LONGEST = 100


class Slot(NamedTuple):
    """The place of a header's value. `window` is "" for what is said of the answer as a whole."""

    window: str
    field: str
    scope: str = EVERY_MODEL


_PERIOD = r"(?:\d{1,3}-)?(?:second|minute|hour|day|week|month)"
_PREFIX = "anthropic-ratelimit-unified"
_UNIFIED = re.compile(
    rf"{_PREFIX}-(?P<window>\d{{1,3}}[hdwm](?:_(?P<family>[a-z0-9_-]{{1,40}}?))?|{OVERAGE})"
    r"-(?P<field>status|reset|utilization|surpassed-threshold)"
)
_KEYED = re.compile(
    r"anthropic-(?P<tier>ratelimit|priority|fast)-(?P<unit>requests|(?:input-|output-)?tokens)"
    r"-(?P<field>limit|remaining|reset)"
)
_COMPATIBLE = re.compile(
    r"(?:x-)?ratelimit-(?P<field>limit|remaining|reset)(?:-(?P<kind>(?:project-|input-|output-)?)"
    r"(?P<unit>requests?|req|tokens)(?P<more>[-_]usage[-_]based|-(?:cache-adjusted-)?prompt|-generated)?)?"
    rf"(?:-(?P<period>{_PERIOD}))?"
)
_TOKENS = re.compile(
    rf"(?:(?:x-)?ratelimitbysize|x-tokenlimit)-(?P<field>limit|remaining|reset)(?:-(?P<period>{_PERIOD}))?"
)
_CODEX = re.compile(
    r"x-codex-(?P<window>primary|secondary)-(?P<field>used-percent|window-minutes|reset-at|reset-after-seconds)"
)
_PLAIN = {
    "date": Slot("", "date"),
    "retry-after": Slot("", "retry-after"),
    "retry-after-ms": Slot("", "retry-after-ms"),
    "ratelimit": Slot("", "ratelimit"),
    "ratelimit-policy": Slot("", "ratelimit-policy"),
    f"{_PREFIX}-status": Slot("", "status"),
    f"{_PREFIX}-reset": Slot("", "reset"),
    f"{_PREFIX}-representative-claim": Slot("", "claim"),
    f"{_PREFIX}-overage-in-use": Slot("", "overage-in-use"),
}


@lru_cache(maxsize=1024)
def slot_of(name: bytes) -> Slot | None:
    """Where the value of this header (lower-case name) belongs; None for a header that tells no limit.

    Call it only for names that begin as one of `STARTS` and are no longer than `LONGEST`: then what an upstream
    sends neither fills the cache nor costs more than a look.
    """
    text = name.decode("latin-1")
    if text in _PLAIN:
        return _PLAIN[text]
    if found := _UNIFIED.fullmatch(text):
        return Slot(found["window"], found["field"], scope_of(found["family"]))
    if found := _KEYED.fullmatch(text):
        tier, unit, field = found.group("tier", "unit", "field")
        return Slot(unit, field, OF_MODEL) if tier == "ratelimit" else Slot(f"{tier}-{unit}", field, OF_TIER)
    if found := _COMPATIBLE.fullmatch(text):
        return Slot(_unit(found) + _period(found), found["field"], OF_MODEL)
    if found := _TOKENS.fullmatch(text):
        return Slot("tokens" + _period(found), found["field"], OF_MODEL)
    if found := _CODEX.fullmatch(text):
        return Slot(found["window"], found["field"])
    return None


def scope_of(family: str | None) -> str:
    """`7d_oi` ("overage included") names no family: Claude Code calls it the Fable limit, and it comes only with
    answers of the models that it governs.
    """
    return OF_MODEL if family == "oi" else (family or EVERY_MODEL).replace("_", "-")


def _unit(found: re.Match[str]) -> str:
    """The window's name: `requests` where a provider counts those and says no more."""
    unit = found["unit"] or "requests"
    return (found["kind"] or "") + ("requests" if unit.startswith("req") else unit) + (found["more"] or "")


def _period(found: re.Match[str]) -> str:
    return f"-{found['period']}" if found["period"] else ""


_CLAIM = re.compile(r"\d{1,3}[hdwm](?:_[a-z0-9_-]{1,40})?|[a-z][a-z_]{0,39}")
_CLAIMS = {"five_hour": "5h", "seven_day": "7d", "seven_day_overage_included": "7d_oi"}


def claim_window(value: bytes) -> str:
    """A representative claim as the name of a window: `seven_day_opus` → `7d_opus`. "" for what is no claim.

    `five_hour_fallback` is the 5h window too, at the share that `fallback-percentage` names.
    """
    text = value.decode("latin-1").removesuffix("_fallback")
    window = _CLAIMS.get(text) or re.sub(r"^seven_day_", "7d_", text)
    return window if _CLAIM.fullmatch(window) else ""
