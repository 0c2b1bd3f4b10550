"""A `.env` file as a plan: each provider key that is known by its name becomes a backend with an account."""

from __future__ import annotations

import re

from backends.addresses import BadBaseUrl
from backends.move_in import reasons
from backends.move_in.endpoints import Endpoint, endpoint, is_placeholder
from backends.move_in.plan import Draft, MoveInError, Plan
from backends.move_in.providers import BY_BASE, BY_KEY, FoundKey, found_keys
from backends.presets import PRESETS
from backends.wire.kinds import Protocol

SOURCE = ".env file"
# A quoted value may hold line breaks: a private key does, and no part of it may be taken for a name.
_SINGLE = r"'(?P<single>[^']*)'"
_DOUBLE = r'"(?P<double>(?:[^"\\]|\\.)*)"'
_ASSIGNMENT = re.compile(
    r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*"
    rf"(?:(?:{_SINGLE}|{_DOUBLE})[ \t]*(?:#[^\n]*)?|(?P<plain>(?!['\"])[^\n]*))(?:\n|\Z)",
    re.DOTALL,
)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
_NOT_A_KEY = "It is no provider key that Patchbay knows by its name."
_TOKEN = "A bearer token is not a key. Add it by itself: python manage.py accounts add ALIAS --key-stdin"


def parse_dotenv(text: str) -> Plan:
    """The plan of a `.env` file. Raises MoveInError for a line that is no assignment."""
    values, lines = read_dotenv(text)
    draft = Draft(SOURCE)
    used: set[str] = set()
    backends: dict[tuple[str, str], str] = {}
    for found in found_keys(values):
        used |= {found.name, found.base_name}
        where = f"line {lines[found.name]}: {found.name}"
        try:
            _add(draft, backends, found, key_endpoint(found), where)
        except BadBaseUrl as exc:
            draft.skip(f"line {lines[found.base_name]}: {found.base_name}", str(exc))
    for name, line in lines.items():
        if name not in used:
            draft.skip(f"line {line}: {name}", _why(name, values[name]))
    return draft.plan()


def key_endpoint(found: FoundKey) -> Endpoint:
    """Where a key from an environment is used. Raises BadBaseUrl."""
    preset = PRESETS.get(found.provider.name)
    protocol = preset.protocol if preset else Protocol.OPENAI
    place = endpoint(
        found.base_url, protocol, hint=found.provider.name, add_version=not found.provider.needs_key
    )
    if place.preset or found.base_name:
        return place
    return Endpoint(found.provider.name, place.base_url, place.protocol)


def read_dotenv(text: str) -> tuple[dict[str, str], dict[str, int]]:
    """The variables of a `.env` file, and the line of each. The last one of a name counts. Raises MoveInError."""
    text = text.replace("\r\n", "\n")
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    position, line = 0, 1
    while position < len(text):
        match = _BLANK.match(text, position) or _ASSIGNMENT.match(text, position)
        if match is None:
            raise MoveInError(
                f"Line {line} is not NAME=value, or has a quote that is not closed. Correct it, or put a # before it."
            )
        if name := match.groupdict().get("name"):
            values[name], lines[name] = _value(match), line
        line += text.count("\n", position, match.end())
        position = match.end()
    return values, lines


def _value(match: re.Match[str]) -> str:
    """Single quotes: as it stands. Double quotes: with escapes. None: up to ` #`."""
    if match["single"] is not None:
        return match["single"]
    if match["double"] is not None:
        return re.sub(
            r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), match["double"], flags=re.DOTALL
        )
    return re.split(r"\s#|^#", match["plain"], maxsplit=1)[0].strip()


def _add(
    draft: Draft, backends: dict[tuple[str, str], str], found: FoundKey, place: Endpoint, where: str
) -> None:
    identity = (place.base_url, place.protocol.value)
    if identity not in backends:
        backends[identity] = draft.free_name(place.name)
        draft.add_backend(place.shape(name=backends[identity]), where)
    is_key = bool(found.key) and not is_placeholder(found.key)
    if is_key or not found.provider.needs_key or not place.wants_key(found.key):
        draft.add_account(
            backends[identity], where, key=found.key if is_key else "", kind="api_key" if is_key else "none"
        )
    else:
        draft.skip(where, "It says that there is no key, so no account is made.")


def _why(name: str, value: str) -> str:
    if name in BY_KEY:
        return (
            "It is empty."
            if not value.strip()
            else "The same key stands under another name, or its server has no base URL."
        )
    if name in BY_BASE:
        return "There is no key beside it."
    if name == "ANTHROPIC_AUTH_TOKEN":
        return _TOKEN
    if name.startswith("PATCHBAY_"):
        return reasons.ENVIRONMENT
    return _NOT_A_KEY
