"""Thinking, sampling, structured output and the rest of a request's knobs, written for a Messages backend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from backends.wire.anthropic.models import Traits
from backends.wire.anthropic.schemas import output_schema
from backends.wire.conversation import CannotCarry, Conversation, Lost
from backends.wire.target import Target, short_hash

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
_LEAST_BUDGET = 1024
_ROOM = 1024  # tokens left for the answer where a budget must be cut
_MOST_USER_ID = 256
_MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_PHONE = re.compile(r"\+?[\d\s().-]{7,20}")
_JSON_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence."
_OWN_FIELDS = ("cache_control", "container", "inference_geo", "speed")
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_EFFORT = "$.reasoning_effort"


def write_limits(
    talk: Conversation, target: Target, traits: Traits, body: dict[str, Any], lost: Lost
) -> None:
    """`max_tokens`, `thinking` and the effort. An answer's limit includes its thinking."""
    default = target.max_output or traits.max_output
    body["max_tokens"] = talk.max_tokens if talk.max_tokens is not None else default
    wanted = talk.reasoning
    if wanted.mode == "off" or wanted.effort == "none":
        if traits.can_stop_thinking:
            body["thinking"] = {"type": "disabled"}
        elif traits.thinking != "none":
            lost.add(_EFFORT)
        return
    if wanted.mode is None and wanted.effort is None and wanted.budget is None:
        if wanted.summary and traits.thinking == "adaptive":
            body["thinking"] = _adaptive(wanted.summary)
        return
    if traits.thinking == "none":
        lost.add(_EFFORT)
    elif traits.thinking == "adaptive":
        body["thinking"] = _adaptive(wanted.summary)
        if effort := _effort(talk, traits, lost):
            body["output_config"] = {"effort": effort}
    else:
        _write_budget(talk, target, body, lost)


def _adaptive(summary: str | None) -> dict[str, Any]:
    return {"type": "adaptive", "display": "omitted" if summary == "omitted" else "summarized"}


def _effort(talk: Conversation, traits: Traits, lost: Lost) -> str | None:
    effort = talk.reasoning.effort
    if effort is None and talk.reasoning.budget is not None:
        fitting = [name for name, least in _BUDGETS.items() if least <= talk.reasoning.budget]
        effort = fitting[-1] if fitting else "low"
    if effort is None:
        return None
    if effort == "minimal":
        effort = "low"
    if effort in traits.efforts:
        return effort
    lost.add(_EFFORT)
    return "high" if effort == "xhigh" else None


def _write_budget(talk: Conversation, target: Target, body: dict[str, Any], lost: Lost) -> None:
    """Manual thinking. The budget stays below `max_tokens`, which grows if the client left it to us."""
    wanted = talk.reasoning
    budget = wanted.budget or _BUDGETS.get(wanted.effort or "high", _BUDGETS["high"])
    budget = max(budget, _LEAST_BUDGET)
    if talk.max_tokens is None and target.max_output is None:
        body["max_tokens"] += budget
    most = body["max_tokens"]
    if most <= _LEAST_BUDGET:
        lost.add(_EFFORT)
        return
    if budget >= most:
        budget = max(_LEAST_BUDGET, most - _ROOM)
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if wanted.summary:
        body["thinking"]["display"] = "omitted" if wanted.summary == "omitted" else "summarized"


def is_thinking(body: Mapping[str, Any]) -> bool:
    """Whether the request asks for thinking."""
    return body.get("thinking", {}).get("type") in ("enabled", "adaptive")


def write_sampling(talk: Conversation, traits: Traits, body: dict[str, Any], lost: Lost) -> None:
    """Temperature and its kin, as far as the model takes them; never beside thinking."""
    wanted = talk.sampling
    for name in ("seed", "frequency_penalty", "presence_penalty"):
        if getattr(wanted, name):
            lost.add(f"$.{name}")
    given = {
        name: value
        for name in ("temperature", "top_p", "top_k")
        if (value := getattr(wanted, name)) is not None
    }
    if not traits.sampling or is_thinking(body):
        for name, value in given.items():
            if value != 1 or name == "top_k":  # 1 is the default
                lost.add(f"$.{name}")
        return
    if "temperature" in given:
        clamped = min(max(given["temperature"], 0), 1)
        if clamped != given["temperature"]:
            lost.add("$.temperature")
        given["temperature"] = clamped
        if given.pop("top_p", 1) != 1:
            lost.add("$.top_p")
    body |= given


def write_output(talk: Conversation, traits: Traits, body: dict[str, Any], lost: Lost) -> str | None:
    """Structured output; what it takes to ask for it in words instead is returned."""
    wanted = talk.output
    if wanted is None:
        return None
    if wanted.kind == "schema" and wanted.schema is not None and traits.schemas:
        schema, is_lossy = output_schema(wanted.schema)
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
        if is_lossy:
            lost.add("$.response_format")
        return None
    lost.add("$.response_format")
    if wanted.schema is None:
        return _JSON_ONLY
    return f"{_JSON_ONLY} It must match this JSON Schema:\n{msgspec.json.encode(wanted.schema).decode()}"


def write_rest(talk: Conversation, body: dict[str, Any], lost: Lost) -> None:
    """Stop sequences, end user, service tier, and what other fields the client sent. Raises CannotCarry."""
    stop = []
    for index, text in enumerate(talk.stop):
        if text.strip():
            stop.append(text)
        else:
            lost.add(f"$.stop[{index}]")
    if stop:
        body["stop_sequences"] = stop
    if talk.verbosity:
        lost.add("$.verbosity")
    if user_id := _user_id(talk, lost):
        body["metadata"] = {"user_id": user_id}
    if talk.service_tier in _TIERS:
        body["service_tier"] = _TIERS[talk.service_tier]
    elif talk.service_tier:
        lost.add("$.service_tier")
    for path, value in talk.extras.items():
        name = path.removeprefix("$.")
        if name in _OWN_FIELDS:
            body[name] = value
        else:
            _check_extra(name, value)
            lost.add(path)


def _check_extra(name: str, value: object) -> None:
    """Refuse what would change the result if it were dropped."""
    if name == "n" and isinstance(value, int) and value > 1:
        raise CannotCarry(
            "n", "This backend gives one answer to a request. Set `n` to 1 or send several requests."
        )
    if name == "modalities" and isinstance(value, list) and "audio" in value:
        raise CannotCarry(
            "modalities", "This backend answers in text only. Remove `audio` from `modalities`."
        )


def _user_id(talk: Conversation, lost: Lost) -> str | None:
    """An opaque id of the end user and the session. Addresses and numbers of people are not passed on."""
    user, session = talk.user, talk.session
    if user and (_MAIL.search(user) or _PHONE.fullmatch(user)):
        lost.add("$.user")
        user = None
    if session and _MAIL.search(session):
        session = None
    if not session:
        return user if user is None or len(user) <= _MOST_USER_ID else short_hash(user)
    packed = {"user_id": user, "session_id": session} if user else {"session_id": session}
    text = msgspec.json.encode(packed).decode()
    if len(text) <= _MOST_USER_ID:
        return text
    packed = {name: short_hash(value) for name, value in packed.items()}
    return msgspec.json.encode(packed).decode()
